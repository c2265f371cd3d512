// @ts-check
// What is within a block of Markdown: its text as a list of strings and of elements `{ tag, props, children }`. One pattern
// reads it once. Nothing in it can match a text in two ways, and what may be sought in vain is bounded, so no text takes long.

/** @import { Bottoms, Drawn, Groups, Item, Mark, Opener } from "./markdown-types.js" */

const MOST_LEVELS = 100; // of elements within each other; what is deeper is text
const NAMES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", hellip: "…", mdash: "—", ndash: "–" };
const ENTITY = String.raw`&(?:#x[\da-f]{1,6}|#\d{1,7}|${Object.keys(NAMES).join("|")});`;
const ESCAPED = String.raw`\\[!-/:-@[-\x60{-~]`;
const LITERAL = new RegExp(`${ESCAPED}|${ENTITY}`, "gi");
const TOKEN = new RegExp([
  String.raw`(?<maths>\$\$(?!\$)[^]{1,999}?\$\$|\$(?![\s$])(?:[^$\\]|\\[^]){1,999}(?<!\s)\$(?!\d)`, // prices are none
  String.raw`\\\([^]{0,999}?\\\)|(?<![^\n])\\\[[^]{0,999}?\\\])|(?<literal>${ESCAPED}|${ENTITY})|(?<ticks>\x60+)`,
  String.raw`(?<run>\*+|_+|(?<!~)~~(?!~))|(?<open>!?\[)|(?<close>\])|(?<end>\\\n|(?<! ) *\n)`,
  String.raw`<(?<angled>[a-z][a-z\d+.-]{1,31}:[^<>\0- ]*|[\w.!#$%&'*+/=?^\x60{|}~-]+@[a-z\d]+(?:[.-][a-z\d]+)*)>`,
  String.raw`(?<bare>(?<![a-z\d])https?:\/\/[\p{L}\p{N}][\p{L}\p{N}\p{M}!#$%&'()*+,./:;=?@_~-]*)`,
].join("|"), "giu");

const within = (/** @type {string} */ inner) => String.raw`(?:[^\0- \x7f()\\]|\\[()\\]|\\(?![()\\])|\(${inner}\))*`; // of ( )
const ADDRESS = String.raw`<(?<quoted>(?:[^<>\n\\]|\\.)*)>|(?!<)(?<plain>${within(within(within("")))})`;
const TITLE = String.raw`"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|\((?:[^()\\]|\\[^])*\)`;
const LINK = new RegExp(String.raw`\([ \t\n]{0,9}(?:${ADDRESS})(?:[ \t\n]{1,9}(?<title>${TITLE}))?[ \t\n]{0,9}\)`, "y");

/** A text without its backslashes, and with what its entities stand for. */
export const literal = (/** @type {string} */ text) => text.replace(LITERAL, meant);

function meant(/** @type {string} */ found) {
  if (found[0] === "\\") return found[1];
  if (found[1] !== "#") return NAMES[/** @type {keyof typeof NAMES} */ (found.slice(1, -1))] ?? found; // in capitals it is none
  const code = Number(`0${found.slice(2, -1)}`);
  return code === 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? "\ufffd" : String.fromCodePoint(code);
}

export class Inlines {
  /** `target(href)`: whether a link may lead there. */
  constructor(/** @type {string} */ text, /** @type {(href: string) => boolean} */ target) {
    this.at = this.dead = 0; // so many of the brackets are around a link
    Object.assign(this, { text, target, items: [], brackets: [] });
  }

  read() {
    for (let found; ; this.take(found.groups ?? {}, found.index)) {
      TOKEN.lastIndex = this.at;
      found = TOKEN.exec(this.text);
      this.say(this.text.slice(this.at, found?.index));
      if (!found) return this.paired(this.items);
      this.at = TOKEN.lastIndex;
    }
  }

  take(/** @type {Groups} */ { maths, literal, ticks, run, open, close, angled, bare, end }, /** @type {number} */ index) {
    const address = angled && (/^[^:]*@/.test(angled) ? `mailto:${angled}` : angled);
    if (maths) this.put("span", { dir: "ltr" }, [maths]);
    else if (literal) this.say(meant(literal));
    else if (ticks) this.code(ticks, index);
    else if (run) this.run(run, index);
    else if (open) this.brackets.push({ open, at: this.at, place: this.items.push({ mark: open, count: 1, length: 1 }) });
    else if (close) this.close(index);
    else if (angled && this.target(address)) this.link(address, [angled]);
    else if (angled) this.say(`<${angled}>`);
    else if (bare) this.bare(bare, index);
    else if (end.length > 2 || end[0] === "\\") this.put("br", {}, []);
    else this.say("\n");
  }

  say(/** @type {string} */ text) {
    if (typeof this.items.at(-1) === "string") this.items.push(this.items.pop() + text);
    else if (text) this.items.push(text);
  }

  put(/** @type {string} */ tag, /** @type {object} */ props, /** @type {Drawn[]} */ children, items = this.items) {
    const depth = children.reduce((most, each) => Math.max(most, (typeof each === "object" && each.depth) || 0), 0) + 1;
    items.push({ tag, props, children, depth });
    this.isFull ||= depth >= MOST_LEVELS; // nothing more is put within another
  }

  link(/** @type {string} */ href, /** @type {Drawn[]} */ children, title = "") {
    const props = { href, target: "_blank", rel: "noopener noreferrer nofollow", ...(title && { title }) };
    this.put("a", props, children.map(unlinked));
  }

  code(/** @type {string} */ ticks, /** @type {number} */ index) {
    this.last ??= new Map(Array.from(this.text.matchAll(/`+/g), (run) => [run[0].length, run.index])); // by their lengths
    if ((this.last.get(ticks.length) ?? -1) <= index) return this.say(ticks);
    const same = new RegExp(`(?<!\`)${ticks}(?!\`)`, "g");
    same.lastIndex = this.at;
    const inner = this.text.slice(this.at, same.exec(this.text)?.index).replaceAll("\n", " ");
    this.put("code", { dir: "ltr" }, [inner.replace(/^ (?=.*[^ ])(.*) $/s, "$1")]);
    this.at = same.lastIndex;
  }

  /** A run of `*`, `_` or `~~`: whether it may open or close is told by the characters beside it. */
  run(/** @type {string} */ run, /** @type {number} */ index) {
    const weight = (/** @type {string} */ character) => (/\s/.test(character) ? 0 : /[\p{P}\p{S}]/u.test(character) ? 1 : 2);
    const before = weight([...this.text.slice(Math.max(0, index - 2), index)].at(-1) ?? " ");
    const after = weight(String.fromCodePoint(this.text.codePointAt(this.at) ?? 32));
    const isWithin = run[0] === "_" && before + after === 4; // a word, as in a_b
    const canOpen = after > 0 && after >= before && !isWithin, canClose = before > 0 && before >= after && !isWithin;
    this.items.push({ mark: run[0], canOpen, canClose, count: run.length, length: run.length });
  }

  close(/** @type {number} */ index) {
    const bracket = this.brackets.pop(), isImage = bracket?.open === "![", { length } = this.brackets;
    LINK.lastIndex = this.at;
    const mayLink = bracket && !this.isFull && (isImage || length >= this.dead); // a link holds no link
    const { quoted, plain = quoted, title = "" } = (mayLink && LINK.exec(this.text)?.groups) || {}, href = literal(plain ?? "");
    this.dead = Math.min(this.dead, length);
    if (!bracket || plain === undefined || !this.target(href)) return this.say("]");
    if (bracket.at === index) this.say(href);
    const children = this.paired(this.items.splice(bracket.place));
    this.items.pop();
    this.link(href, children, literal(title.slice(1, -1)));
    if (!isImage) this.dead = length;
    this.at = LINK.lastIndex;
  }

  /** An address as it is, without what rather belongs to the sentence: its last marks, and a bracket that it has not opened. */
  bare(/** @type {string} */ found, /** @type {number} */ index) {
    let end = found.length, surplus = found.split(")").length - found.split("(").length;
    while (found[end - 1] === ")" ? surplus-- > 0 : "?!.,:;*_~'".includes(found[end - 1])) end--;
    this.at = index + end;
    this.link(found.slice(0, end), [found.slice(0, end)]);
  }

  /** Makes elements of the runs that belong together, as CommonMark has it. Below `bottoms` a kind of run finds no opener. */
  paired(/** @type {Item[]} */ items) {
    const done = /** @type {Item[]} */ ([]), open = /** @type {Opener[]} */ ([]), bottoms = /** @type {Bottoms} */ ({});
    for (const [number, item] of /** @type {Mark[]} */ (items).entries()) { // of strings and elements, nothing is there
      const kind = `${item.mark}${item.canOpen}${item.length % 3}`;
      while (item.canClose && item.count > 0) {
        const opener = open.findLast((each) => each.number < bottoms[kind] || fit(each, item));
        if (this.isFull || !opener || opener.number < bottoms[kind]) {
          bottoms[kind] = number;
          break;
        }
        const used = Math.min(opener.count, item.count, 2), tag = item.mark === "~" ? "del" : used > 1 ? "strong" : "em";
        for (const each of [opener, item]) each.count -= used;
        open.length = open.lastIndexOf(opener) + (opener.count > 0 ? 1 : 0);
        this.put(tag, {}, done.splice(opener.place).map(shown), done);
        if (opener.count === 0) done.splice(opener.place - 1, 1);
      }
      if (item.count === 0) continue;
      const place = done.push(item);
      if (item.canOpen) open.push(Object.assign(item, { place, number }));
    }
    return done.map(shown);
  }
}

const fit = (/** @type {Mark} */ { mark, canClose, length }, /** @type {Mark} */ closer) => mark === closer.mark
  && (!(closer.canOpen || canClose) || closer.length % 3 === 0 || (length + closer.length) % 3 !== 0);

const shown = (/** @type {Item} */ item) => (typeof item === "object" && "mark" in item ? item.mark.repeat(item.count) : item);
const unlinked = /** @type {(node: Drawn) => Drawn} */ ((node) => (typeof node === "object" && node.children
  ? { ...node, ...(node.tag === "a" && { tag: "span", props: {} }), children: node.children.map(unlinked) } : node));
