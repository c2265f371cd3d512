// @ts-check
// The assets that can be picked: those that an address or the server has named, and those that were seen in answers.

import { $, made } from "./dom.js";
import { tab } from "./kept.js";

const MOST_ASSETS = 100;

/** Let an asset be picked. @param {string} value its type and id @param {string} name */
export function offer(value, name) {
  if ($("asset").length <= MOST_ASSETS + 1) add(value, `${name} (${value.split(":")[0]})`);
}

/** @param {string} value @param {string} label */
function add(value, label) {
  const select = $("asset"), isThere = [...select.options].some((option) => option.value === value);
  if (!isThere) select.insertBefore(made("option", { value }, label), select.lastElementChild);
}

/** Let these be picked, and remember them in this tab. @param {string[]} assets each a type, an id and a name */
export function offerAll(assets) {
  tab.setItem("assets", JSON.stringify(assets));
  for (const asset of assets) {
    const [type, id, ...name] = asset.split(":");
    offer(`${type}:${id}`, name.join(":"));
  }
}

/** What is chosen, for `choose`. */
export function chosen() {
  const { value, selectedOptions } = $("asset");
  return { value, label: selectedOptions[0]?.textContent ?? "", other: $("other-asset").value };
}

/** Choose again what was chosen before the page was left. @param {ReturnType<typeof chosen>} before */
export function choose({ value, label, other }) {
  if (value) add(value, label);
  [$("asset").value, $("other-asset").value] = [value, other];
  $("asset").dispatchEvent(new Event("change", { bubbles: true }));
}

/** A dev server tells its demo assets. */
export async function offerDemo() {
  const answer = await fetch("demo.json");
  if (answer.ok) offerAll(await answer.json());
}
