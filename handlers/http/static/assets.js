// @ts-check
// The assets that can be picked: those that an address or the server has named, and those that were seen in answers.

import { $, made } from "./dom.js";
import { tab } from "./kept.js";

const MOST_ASSETS = 100;

/** Let an asset be picked. @param {string} value its type and id @param {string} name */
export function offer(value, name) {
  const select = $("asset");
  if (select.length > MOST_ASSETS + 1 || [...select.options].some((option) => option.value === value)) return;
  select.insertBefore(made("option", { value }, `${name} (${value.split(":")[0]})`), select.lastElementChild);
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
  const select = $("asset");
  if (value && ![...select.options].some((option) => option.value === value)) {
    select.insertBefore(made("option", { value }, label), select.lastElementChild);
  }
  [select.value, $("other-asset").value] = [value, other];
  select.dispatchEvent(new Event("change", { bubbles: true }));
}

/** A dev server tells its demo assets. */
export async function offerDemo() {
  const answer = await fetch("demo.json");
  if (answer.ok) offerAll(await answer.json());
}
