// Markdown as trees that can be compared: what ours draws, and what markdown-it makes of the same text.
//
// Both become one string, an element a line. Differences on purpose are taken out here and nowhere else:
// - an image is a link with the image's alternative in it; a link without a text shows its address;
// - a paragraph of a tight list is an element, which markdown-it hides;
// - a link within a link is its text;
// - a table has no thead and tbody, and no empty cells at a row's end; its cells have a class for their alignment, not a style;
// - the headings' levels follow the outline, from h3 on;
// - blanks at the end of indented code are left out;
// - a hard break is not followed by an end of line.

import { createRequire } from "node:module";

import "./dom.mjs";
import { Markdown } from "../../handlers/http/static/markdown.js";

const require = createRequire(import.meta.url);
const MarkdownIt = require("markdown-it");
const taskLists = require("markdown-it-task-lists");

const ALLOWED = /^(?:https?:\/\/[^/?#\\]|mailto:)/i;

/** The judge: markdown-it, without what ours leaves out. `lenient`: a link may lead anywhere, as in CommonMark's examples. */
export function judge({ lenient = false, linkify = false } = {}) {
  const judge = new MarkdownIt({ html: false, linkify }).use(taskLists).disable("reference");
  judge.validateLink = (href) => lenient || ALLOWED.test(href);
  judge.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
  const { __rules__: rules } = judge.block.ruler, [table] = rules.splice(rules.findIndex(({ name }) => name === "table"), 1);
  rules.splice(rules.findIndex(({ name }) => name === "lheading"), 0, table); // as GitHub has it, all other blocks come before
  judge.block.ruler.__cache__ = null;
  judge.normalizeLink = judge.normalizeLinkText = (href) => href;
  return judge;
}

/** Adjacent texts as one, and each element with what it has of these. */
function element(tag, attributes, children) {
  const has = Object.entries(attributes).filter(([, value]) => !["", undefined, null, false].includes(value));
  return { tag, has: has.map(([name, value]) => ` ${name}=${JSON.stringify(value)}`).join(""), children };
}

function written(nodes, indent = "") {
  const lines = [];
  let text = "";
  const say = () => {
    if (text) lines.push(indent + JSON.stringify(text));
    text = "";
  };
  for (const node of nodes) {
    if (typeof node === "string") text += node;
    else {
      say();
      lines.push(`${indent}<${node.tag}${node.has}>`, ...written(node.children, `${indent}  `));
    }
  }
  say();
  return lines;
}

/** The tree that ours has after these pieces, one after the other. */
export function drawn(text, { lenient = false, pieces = [text] } = {}) {
  const box = document.createElement("div"), view = new Markdown(box, lenient ? () => true : undefined);
  let whole = "";
  for (const piece of pieces) view.set((whole += piece));
  return treeOf(box);
}

/** A tree as it is, with each text node by itself and all that an element was given. */
export function exactly(node) {
  if (node.nodeType === 3) return node.data;
  const { localName, className, href, title, start, checked, dir } = node;
  return [localName, { className, href, title, start, checked, dir }, node.childNodes.map((child) => exactly(child))];
}

export const treeOf = (box) => written(box.childNodes.flatMap((node) => ours(node))).join("\n");

function ours(node) {
  if (node.nodeType === 3) return [node.data];
  const { localName: tag, className } = node, children = () => node.childNodes.flatMap((child) => ours(child));
  if (className === "table" || tag === "span") return children();
  if (className === "code") {
    const [name, code] = [node.firstChild.firstChild.textContent, node.lastChild.textContent];
    return [element("pre", { name }, [code])];
  }
  if (tag === "p") {
    const isTight = node.parentNode.localName === "li" && node.parentNode.parentNode.className === "tight";
    return [element("p", { isTight }, children())];
  }
  if (tag === "a") return [element("a", { href: node.href, title: node.title }, children())];
  if (tag === "ol") return [element("ol", { start: node.start ?? 1 }, children())];
  if (tag === "th" || tag === "td") return [element(tag, { className }, children())];
  if (tag === "input") return [element("input", { checked: node.checked }, [])];
  const cells = children();
  while (tag === "tr" && cells.at(-1)?.tag === "td" && !cells.at(-1).children.length) cells.pop();
  return [element(tag, {}, cells)];
}

/** The judge's tree. */
export function judged(judge, text) {
  return written(theirs(judge.parse(text.endsWith("\n") ? text : `${text}\n`, {}))).join("\n");
}

function theirs(tokens) {
  const root = { children: [] }, levels = [root];
  let outline = [];
  const put = (...nodes) => levels.at(-1).children.push(...nodes);
  const isInLink = () => levels.some(({ isLink }) => isLink);
  const link = (token) => {
    const href = token.attrGet("href") ?? token.attrGet("src"), title = token.attrGet("title");
    return Object.assign(element("a", { href, title }, []), { isLink: true });
  };
  const inline = (children) => {
    for (const token of children) one(token);
  };
  const one = (token) => {
    const attribute = (name) => token.attrGet(name);
    if (token.type === "inline") inline(token.children);
    else if (token.type === "text" || token.type === "text_special") put(token.content);
    else if (token.type === "softbreak") put("\n");
    else if (token.type === "hardbreak") put(element("br", {}, []));
    else if (token.type === "code_inline") put(element("code", {}, [token.content]));
    else if (token.type === "fence") put(element("pre", { name: unescaped(token.info) }, [token.content]));
    else if (token.type === "code_block") put(element("pre", {}, [`${token.content.trimEnd()}\n`]));
    else if (token.type === "html_inline") put(element("input", { checked: token.content.includes("checked=") }, []));
    else if (token.type === "image") {
      open(isInLink() ? null : link(token), isInLink(), attribute("src"));
      inline(token.children);
      close();
    } else if (/^t(?:head|body)_/.test(token.type)) return;
    else if (token.nesting < 0) close();
    else if (token.type === "link_open") open(isInLink() ? null : link(token), isInLink(), attribute("href"));
    else {
      if (token.type === "heading_open") outline = [...outline.filter((level) => level < token.tag[1]), token.tag[1]];
      const has = {
        ol: { start: attribute("start") ?? 1 },
        p: { isTight: token.hidden },
        th: { className: attribute("style")?.split(":")[1] },
        td: { className: attribute("style")?.split(":")[1] },
      };
      const tag = token.type === "heading_open" ? `h${Math.min(6, 2 + outline.length)}` : { s: "del" }[token.tag] ?? token.tag;
      const made = element(tag, has[token.tag] ?? {}, []);
      put(made);
      if (token.nesting > 0) levels.push(made);
    }
  };
  const open = (made, isWithin, href) => {
    if (!isWithin) put(made);
    const level = isWithin ? { children: levels.at(-1).children } : made;
    levels.push(Object.assign(level, { before: level.children.length, shown: href }));
  };
  const close = () => {
    const level = levels.pop();
    if (level.shown !== undefined && level.children.length === level.before) level.children.push(level.shown);
    const isEmpty = (cell) => cell?.tag === "td" && !cell.children.length;
    if (level.tag === "tr") while (isEmpty(level.children.at(-1))) level.children.pop();
  };
  inline(tokens);
  return root.children;
}

const { unescapeAll } = new MarkdownIt().utils;
const unescaped = (info) => unescapeAll(info).trim().split(/\s+/)[0];

/** What the judge reads in another way than we do, with the reason. No generated text that is compared has it. */
const OTHERWISE = [
  [/^[ >\t]*(?:(?:[-+*]|\d+[.)])[ \t]*)+(?:\n[> \t]*){2,}[-+*\d]/m, "an empty item and blank lines: one list, or two"],
  [/`[^`]*\n[> \t]*[ \t]/, "blanks that begin a line within code: CommonMark takes them away before, markdown-it does not"],
  [/>[ >]*\t[ \t]*\t/, "two tabs in a quote: as CommonMark has it, a quote's mark takes one column of a tab"],
  [/^[ >]*>.*\n {4,}-/m, "a line that a quote's paragraph goes on with though it looks like an item in code"],
  [/\\\[[ \t]*$/m, "which begins maths"],
  [/~{3,}/, "as GitHub has it, three tildes or more strike nothing"],
];
export const isOtherwise = (text) => OTHERWISE.some(([pattern]) => pattern.test(text));
