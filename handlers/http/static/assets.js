// The assets that can be picked: those that an address or the server has named, and those that were seen in answers.

import { $, made } from "./dom.js";

const MOST_ASSETS = 100;

/** Let an asset be picked. `value` is its type and id. */
export function offer(value, name) {
  const select = $("asset");
  if (select.length > MOST_ASSETS + 1 || [...select.options].some((option) => option.value === value)) return;
  select.insertBefore(made("option", { value }, `${name} (${value.split(":")[0]})`), select.lastElementChild);
}

/** Let these be picked, each a type, an id and a name, and remember them in this tab. */
export function offerAll(assets) {
  sessionStorage.setItem("assets", JSON.stringify(assets));
  for (const asset of assets) {
    const [type, id, ...name] = asset.split(":");
    offer(`${type}:${id}`, name.join(":"));
  }
}

/** A dev server tells its demo assets. */
export async function offerDemo() {
  const answer = await fetch("demo.json");
  if (answer.ok) offerAll(await answer.json());
}
