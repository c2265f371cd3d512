// @ts-check
// What every part of the page makes its elements of. What comes from outside becomes text nodes and attributes, never markup.

/**
 * The elements of index.html that are more than an HTMLElement.
 * @typedef {Record<"asset" | "request", HTMLSelectElement> & { prompt: HTMLTextAreaElement, "sign-in": HTMLButtonElement }
 *   & Record<"other-asset" | "token" | "filter" | "new-title" | "search", HTMLInputElement> & { send: HTMLButtonElement }
 *   & Record<"token-dialog" | "switch-dialog" | "rename-dialog", HTMLDialogElement> & { composer: HTMLFormElement }} Elements
 */

/**
 * The element of index.html that has this id.
 * @template {string} Id @param {Id} id @returns {Id extends keyof Elements ? Elements[Id] : HTMLElement}
 */
export const $ = (id) => /** @type {any} */ (document.getElementById(id));

/**
 * An element, with properties and children; text children become text.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {Partial<HTMLElementTagNameMap[Tag]>} [properties]
 * @param {(Node | string | null | undefined)[]} children @returns {HTMLElementTagNameMap[Tag]}
 */
export function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.flatMap((child) => child || []));
  return element;
}

/** A picture of one line, as an SVG path has it, 20 wide and high. @param {string} d @param {string} [className] */
export function icon(d, className = "") {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  const attributes = { viewBox: "0 0 20 20", "aria-hidden": "true", class: className };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  path.setAttribute("d", d);
  svg.append(path);
  return svg;
}

/** The children of an element that `made` has made. @param {Element} parent */
export const childrenOf = (parent) => /** @type {HTMLCollectionOf<HTMLElement>} */ (parent.children);

/**
 * Have these children, in this order; each is made once for its key, and then only changed.
 * @template Item @template {HTMLElement} Child
 * @param {HTMLElement & { known?: Map<string, Child> }} parent @param {readonly Item[]} items
 * @param {(item: Item) => string} key @param {(item: Item) => Child} make @param {(child: Child, item: Item) => void} change
 */
export function keyed(parent, items, key, make, change) {
  const known = (parent.known ??= new Map()), kept = new Map();
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  let place = parent.firstChild;
  for (const item of items) {
    const id = key(item), node = known.get(id) ?? make(item);
    kept.set(id, node);
    change(node, item);
    if (node === place) place = node.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const [id, node] of known) if (!kept.has(id)) node.remove();
  parent.known = kept;
  if (focused !== document.activeElement && parent.contains(focused)) focused?.focus({ preventScroll: true }); // it was moved
}

/**
 * A node's text: what is only longer than before is appended, so that a selection and a reader stay where they are.
 * @param {Element} node which has no other children @param {string} text
 */
export function setText(node, text) {
  setData(/** @type {Text} */ (node.firstChild ?? node.appendChild(document.createTextNode(""))), text);
}

/**
 * The same of a text node. A part is compared as a whole since `startsWith` takes a hundred times as long for a long text.
 * @param {Text} node @param {string} text
 */
export function setData(node, text) {
  const { data } = node;
  if (data === text) return;
  if (data && text.slice(0, data.length) === data) node.appendData(text.slice(data.length));
  else node.data = text;
}

/**
 * Copy the text, and say on the button whether that went well. `shown` is selected where a page may not copy by itself.
 * @param {string} text @param {Element} button @param {Node} [shown]
 */
export async function copy(text, button, shown) {
  try {
    await navigator.clipboard.writeText(text);
    setText(button, "Copied");
  } catch { // not over HTTPS: then by hand
    if (shown) getSelection()?.selectAllChildren(shown);
    setText(button, shown ? "Press Ctrl+C" : "Only over HTTPS");
  }
}
