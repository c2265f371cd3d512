// What every part of the page makes its elements of. What comes from outside becomes text nodes and attributes, never markup.

export const $ = (id) => document.getElementById(id);

/** An element, with properties and children; text children become text. */
export function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** A picture of one line, as an SVG path has it, 20 wide and high. @param {string} d @param {string} [className] */
export function icon(d, className = "") {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  for (const [name, value] of Object.entries({ viewBox: "0 0 20 20", "aria-hidden": "true", class: className })) svg.setAttribute(name, value);
  path.setAttribute("d", d);
  svg.append(path);
  return svg;
}

/** Have these children, in this order; each is made once for its key, and then only changed. */
export function keyed(parent, items, key, make, change) {
  const known = (parent.known ??= new Map()), kept = new Map(), focused = document.activeElement;
  let place = parent.firstChild;
  for (const item of items) {
    const id = key(item), node = known.get(id) ?? make(item);
    kept.set(id, node);
    change(node, item);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const [id, node] of known) if (!kept.has(id)) node.remove();
  parent.known = kept;
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true }); // it was moved
}

/** A node's text: what is only longer than before is appended, so that a selection and a reader stay where they are. */
export function setText(node, text) {
  setData(node.firstChild ?? node.appendChild(document.createTextNode("")), text);
}

/** The same of a text node. A part is compared as a whole since `startsWith` takes a hundred times as long for a long text. */
export function setData(node, text) {
  const { data } = node;
  if (data === text) return;
  if (data && text.slice(0, data.length) === data) node.appendData(text.slice(data.length));
  else node.data = text;
}

/** Copy the text, and say on the button whether that went well. `shown` is selected where a page may not copy by itself. */
export async function copy(text, button, shown) {
  try {
    await navigator.clipboard.writeText(text);
    setText(button, "Copied");
  } catch { // not over HTTPS: then by hand
    if (shown) getSelection().selectAllChildren(shown);
    setText(button, shown ? "Press Ctrl+C" : "Only over HTTPS");
  }
}
