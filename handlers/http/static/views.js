// @ts-check
// What is drawn of blocks of Markdown that are no elements themselves: tables, which are scrolled, maths, and code with its
// language's name and a button that copies it.

import { copy } from "./dom.js";
import { highlight } from "./highlight.js";
import { literal } from "./markdown-inlines.js";

/** @import { Block, View } from "./markdown-types.js" */

const TABLE = { className: "table", tabIndex: 0, role: "group", ariaLabel: "Table" };

/** @param {MouseEvent} event */
function copyCode({ target }) {
  const button = /** @type {Element} */ (target), code = /** @type {Element} */ (button.closest(".code")).children[1];
  copy(code.textContent ?? "", button, code);
}

/** By the block's type. @type {Record<string, (block: Block) => View>} */
export const VIEWS = {
  table: ({ children }) => ({ tag: "div", props: TABLE, children: [{ tag: "table", props: { dir: "auto" }, children }] }),
  code: ({ isMaths, info = "", text, isClosed, until }) => {
    if (isMaths) return { tag: "div", props: { className: "maths", dir: "ltr" }, children: [text] };
    const name = literal(info.split(/\s/, 1)[0]), all = until ? text : `${text.trimEnd()}\n`;
    const button = { tag: "button", props: { type: "button", textContent: "Copy", onclick: copyCode } };
    const head = { tag: "div", children: [{ tag: "span", children: [name] }, button] };
    const pre = { tag: "pre", props: { tabIndex: 0 }, children: [{ tag: "code", children: highlight(all, isClosed && name) }] };
    return { tag: "div", props: { className: "code", dir: "ltr" }, children: [head, pre] };
  },
};
