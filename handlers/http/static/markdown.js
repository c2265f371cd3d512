// @ts-check
// Markdown that is drawn while it is being written: CommonMark without references and HTML, and GitHub's tables, task lists, ~~
// and bare addresses; maths stays as it is written. It becomes elements and text nodes, never markup: HTML is text, an image a
// link (loading it would tell its server something). Each whole line is read once, and the last, which may grow, into a copy of
// the blocks that are open before it. Nodes that are the same or only longer stay, so that nothing flickers. The page has an h1
// and an h2, so headings begin at h3, and none leaves a level out. An outermost block has the direction of its first words.

import { made, setData } from "./dom.js";
import { Inlines } from "./markdown-inlines.js";
import { VIEWS } from "./views.js";

/** @import { Block, Known, Line, Wanted } from "./markdown-types.js" */

const MOST = 100; // quotes and lists within each other, and columns of a table; what is beyond is text
const HEADING = /^(#{1,6})(?:[ \t]+(.*))?$/s;
const FENCE = /^(`{3,}(?=[^`]*$)|~{3,}|\$\$(?=[ \t]*$)|\\\[(?=[ \t]*$))(.*)$/s; // of code, or of maths
const MARKER = /^(?:([-+*])|(\d{1,9})([.)]))(?=[ \t]|$)/;
const isSafe = (/** @type {string} */ href) => /^(?:https?:\/\/[^/?#\\]|mailto:)/i.test(href);

/** Reads up to so many columns of a line's indent, then so many characters. Tabs become blanks: a place is a column, too. */
function take(/** @type {Line} */ line, /** @type {number} */ columns, characters = 0) {
  for (const end = line.at + Math.min(columns, line.indent); line.at < end; line.at++) {
    const { text, at } = line;
    if (text[at] === "\t") line.text = text.slice(0, at) + " ".repeat(4 - (at % 4)) + text.slice(at + 1);
  }
  line.at += characters;
  let next = line.at, column = next;
  for (; /[ \t]/.test(line.text[next]); next++) column += line.text[next] === " " ? 1 : 4 - (column % 4);
  return Object.assign(line, { indent: column - line.at, rest: line.text.slice(next) });
}

/** Whether an open block goes on with a line, of which it then has taken its part. */
function goesOn(/** @type {Block} */ block, /** @type {Line} */ line) {
  const { indent, rest } = line, { type, width, until } = block;
  if (type === "quote") return indent < 4 && rest[0] === ">" && take(take(line, indent, 1), 1);
  if (type === "item") return (rest ? indent >= width : block.children.length > 0) && take(line, width);
  if (type === "code" && !until) return (indent > 3 || !rest) && take(line, 4);
  if (type !== "code") return type === "list" || (rest !== "" && (type === "paragraph" || type === "table"));
  block.isClosed = indent < 4 && Boolean(until?.test(rest));
  return !block.isClosed && take(line, width);
}

/** A row of a table. What it has too much is left out, and what it has too little is not there. */
function row(/** @type {string} */ line, /** @type {string[]} */ aligns, /** @type {string} */ tag) {
  const texts = cells(line).slice(0, aligns.length);
  const children = texts.map((text, i) => ({ tag, props: { className: aligns[i] }, text }));
  return /** @type {Block} */ ({ tag: "tr", children });
}

function cells(/** @type {string} */ line) {
  const parts = line.trim().split(/(?<!\\)\|/).map((each) => each.trim().replaceAll("\\|", "|"));
  return parts.slice(parts[0] ? 0 : 1, parts.length > 1 && !parts.at(-1) ? -1 : undefined);
}

export class Markdown {
  at = 0; // so much of the text is read
  /** @type {number[]} */ outline = [];
  /** @type {Block[]} */ open = [];
  /** @type {Known | null} */ last = null; // the node of the last finished block

  /** Draws into this element, which is the drawing's alone. `target(href)`: whether a link may lead there. */
  constructor(/** @type {HTMLElement} */ node, target = isSafe) {
    Object.assign(this, { node, target });
  }

  /** Draws this text. If it goes on where the last one ended, only what is not finished is drawn again. */
  set(/** @type {string} */ text) {
    const isOther = this.text === undefined || text.slice(0, this.text.length) !== this.text;
    if (isOther) Object.assign(this, { at: 0, number: 0, outline: [], open: [{ type: "text", children: [] }], last: null });
    const { children } = this.open[0], next = () => (this.last ? this.last.nextSibling : this.node.firstChild);
    for (; children.length > 1; children.shift()) this.last = next();
    for (let end; (end = text.indexOf("\n", this.at)) >= 0; this.at = end + 1) this.#line(text.slice(this.at, end));
    const whole = { ...this, text };
    this.open = this.open.map((block) => ({ ...block, children: block.children?.slice() }));
    for (const [i, block] of this.open.slice(1).entries()) this.open[i].children.splice(-1, 1, block);
    if (this.at < text.length) this.#line(text.slice(this.at));
    this.#patch(this.node, this.open[0].children, next());
    Object.assign(this, whole);
  }

  #line(/** @type {string} */ text) {
    const line = take({ text: text.replace(/\r$/, ""), at: 0, indent: 0, rest: "" }, 0), { open } = this;
    let depth = 1; // that many open blocks go on with this line; those that have something of it, even if it is blank: used
    Object.assign(this, { number: this.number + 1, used: 1 });
    for (; open[depth] && goesOn(open[depth], line); depth++) if (open[depth].type === "quote") this.used = depth + 1;
    const isEnd = open[depth]?.isClosed, isCode = open[depth - 1].type === "code", mayBegin = !isEnd && !isCode;
    while (mayBegin && line.rest && this.#begin(line, depth)) depth = this.used = open.length;
    const top = open[depth - 1], tip = open[open.length - 1], rest = mayBegin ? line.rest : "";
    if (isCode) top.text += `${line.text.slice(line.at)}\n`;
    else if (rest && tip.type === "paragraph") tip.text += `\n${rest}`;
    else if (rest && top.type === "table") top.children.push(row(rest, top.aligns, "td"));
    else if (rest) this.#add({ type: "paragraph", tag: "p", text: rest }, depth);
    if (line.rest || open[open.length - 1].until) this.used = open.length;
    for (const block of open.slice(0, this.used)) block.end = this.number;
    if (!rest) open.length = depth;
  }

  /** Begins a block, if one begins here. One that has no blocks in it takes the whole line. */
  #begin(/** @type {Line} */ line, /** @type {number} */ depth) {
    const { open } = this, { rest, indent } = line, top = open[depth - 1], isLater = top.type === "paragraph";
    const [, marks, title = ""] = HEADING.exec(rest) ?? [], [, fence, info] = FENCE.exec(rest) ?? [];
    if (indent > 3 && open[open.length - 1].type === "paragraph") return false;
    if (indent > 3) this.#add({ type: "code", text: `${take(line, 4).text.slice(line.at)}\n` }, depth);
    else if (rest[0] === ">" && depth < MOST) {
      this.#add({ type: "quote", tag: "blockquote", children: [] }, depth);
      return take(take(line, indent, 1), 1);
    } else if (marks) this.#add(this.#heading(marks.length, title.trim().replace(/(?<![^ \t])#+$/, "")), depth);
    else if (fence) {
      const until = new RegExp(fence === "\\[" ? "^\\\\\\][ \\t]*$" : `^\\${fence[0]}{${fence.length},}[ \\t]*$`);
      this.#add({ type: "code", isMaths: /[$\\]/.test(fence), info: info.trim(), until, width: indent, text: "" }, depth);
    } else if (isLater && this.#table(top, rest, depth)) line.rest = "";
    else if (isLater && /^(?:=+|-+)[ \t]*$/.test(rest)) Object.assign(top, this.#heading(rest[0] === "=" ? 1 : 2, top.text));
    else if (/^([-*_])(?:[ \t]*\1){2,}[ \t]*$/.test(rest)) this.#add({ tag: "hr" }, depth);
    else return this.#item(line, depth, top);
    line.rest = "";
    return true;
  }

  #item(/** @type {Line} */ line, /** @type {number} */ depth, /** @type {Block} */ top) {
    const { rest, indent } = line, [found, bullet, digits, delimiter] = MARKER.exec(rest) ?? [], kind = bullet ?? delimiter;
    if (!found || depth >= MOST) return false;
    if (top.type === "paragraph" && ((digits && Number(digits) !== 1) || found.length === rest.trimEnd().length)) return false;
    const [tag, props] = bullet ? ["ul", {}] : ["ol", { start: Number(digits) }];
    this.open.length = depth;
    if (top.kind !== kind) this.#add({ type: "list", kind, tag, props, className: "tight", children: [] });
    take(line, indent, found.length);
    const space = !line.rest || line.indent > 4 ? 1 : line.indent;
    return this.#add({ type: "item", tag: "li", width: indent + found.length + space, children: [] }) && take(line, space);
  }

  /** Adds a block to the innermost of so many open ones that may hold it. */
  #add(/** @type {Partial<Block>} */ begun, depth = this.open.length) {
    const { open, number } = this, block = /** @type {Block} */ (begun);
    open.length = depth;
    while (!["text", "quote", block.type === "item" ? "list" : "item"].includes(open[open.length - 1].type)) open.pop();
    const parent = open[open.length - 1], list = parent.type === "item" ? open[open.length - 2] : parent, { children } = parent;
    if (list.type === "list" && (children.at(-1)?.end ?? number) < number - 1) list.className = "loose";
    if (parent.type === "text") block.props = { ...block.props, dir: "auto" };
    block.isFirst = parent.type === "item" && !children.length;
    children.push(block);
    open.push(block);
    return block;
  }

  /** A heading, whose level is its place in the outline: where `####` comes after `##`, it is the second, and an h4. */
  #heading(/** @type {number} */ level, /** @type {string} */ text) {
    this.outline = [...this.outline.filter((each) => each < level), level];
    return { type: "heading", tag: `h${Math.min(this.outline.length + 2, 6)}`, text };
  }

  /** Makes a table of a paragraph's last line, if this is the line below a table's head. */
  #table(/** @type {Block} */ paragraph, /** @type {string} */ rest, /** @type {number} */ depth) {
    const columns = cells(rest).map((mark) => /^(:?)-+(:?)$/.exec(mark) ?? []);
    if (!columns[0] || columns.length > MOST || columns.some((each) => !each.length)) return false;
    if (/^-\s/.test(rest)) return false; // an item
    const cut = paragraph.text.lastIndexOf("\n"), head = paragraph.text.slice(cut + 1);
    if (!head.includes("|") || cells(head).length !== columns.length) return false;
    const aligns = columns.map(([, left, right]) => (left && right ? "center" : left ? "left" : right ? "right" : ""));
    const table = { type: "table", aligns, children: [row(head, aligns, "th")] };
    if (cut < 0) return Object.assign(paragraph, table);
    paragraph.text = paragraph.text.slice(0, cut);
    return this.#add(table, depth - 1);
  }

  /** Has an element hold these strings, elements and blocks, from one of its nodes on. What was drawn stays as it is. */
  #patch(/** @type {Node} */ parent, /** @type {Wanted[]} */ wanted, node = /** @type {Known?} */ (parent.firstChild)) {
    for (const want of /** @type {Block[]} */ (wanted)) { // of a string, nothing is there
      if (node?.drawn !== want) {
        const { tag, props = {}, className, children = this.#inner(want) } = VIEWS[want.type]?.(want) ?? want;
        const key = tag ? JSON.stringify([tag, props]) : "text";
        const make = () => (tag ? made(/** @type {"div"} */ (tag), props) : new Text());
        if (node?.key !== key) node = parent.insertBefore(Object.assign(make(), { key }), node);
        if (!tag) setData(/** @type {Text} */ (node), String(want));
        if (children) this.#patch(node, children);
        if (className && node.className !== className) node.className = className;
        node.drawn = want;
      }
      node = node.nextSibling;
    }
    while (node?.nextSibling) node.nextSibling.remove();
    node?.remove();
  }

  /** What is within a block that has a text. */
  #inner(/** @type {Block} */ { type, text, isFirst }) {
    if (text === undefined) return null;
    const whole = text.trim(), isTask = isFirst && type === "paragraph" && /^\[[ xX]\] /.test(whole);
    const nodes = new Inlines(whole.slice(isTask ? 3 : 0), this.target).read(), checked = whole[1] !== " ";
    const props = { type: "checkbox", disabled: true, checked, ariaLabel: checked ? "Done" : "To do" };
    return isTask ? [{ tag: "input", props }, ...nodes] : nodes;
  }
}
