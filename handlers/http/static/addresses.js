// @ts-check
// Addresses: each chat has one, so that Back, Forward, a reload and a link lead to it.

/** @type {string | null} the id of the chat that the address names */
let shown = null;

const parameters = () => new URLSearchParams(location.hash.slice(1));
/** @param {string | null} id */
const textOf = (id) => location.pathname + (id ? `#chat=${encodeURIComponent(id)}` : "");

/** The chat that the address names, or null. */
export const chatOfAddress = () => parameters().get("chat");

/** Whether the address has more after its # than a chat, such as a token. */
export const bringsMore = () => [...parameters().keys()].some((key) => key !== "chat");

/** Have the address of this chat; by default of the one before. @param {string | null} [id] */
export const clean = (id = shown) => history.replaceState(null, "", textOf((shown = id)));

/**
 * Go to the chat's address: `push` for what a person chose, `replace` for what came by itself.
 * @param {string | null} id @param {"push" | "replace"} how
 */
export function go(id, how) {
  if (id !== chatOfAddress() || bringsMore()) history[how === "push" ? "pushState" : "replaceState"](null, "", textOf(id));
  shown = id;
}

/**
 * Have `show(id)` called when a person goes back or forward, or types another address.
 * @param {(id: string | null) => void} show
 */
export function haveAddresses(show) {
  addEventListener("popstate", () => bringsMore() || show((shown = chatOfAddress())));
}
