// `make test-js`: what the page draws of Markdown, held against markdown-it, which has the same rules switched off.
//
// Of CommonMark's 652 examples 641 are held; in all of them references and HTML are text for both. The eleven others are in
// OTHER_EXAMPLES, each with its reason: 7 need names of entities that the page does not know, 3 have bare addresses, and 1 has
// maths. trees.mjs says in what else the trees differ on purpose.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";

import { work } from "./dom.mjs";
import { EVIL, around, hostileTexts } from "./hostile.mjs";
import { GITHUB, WILD, chance, madeText } from "./texts.mjs";
import { drawn, exactly, isOtherwise, judge, judged, treeOf } from "./trees.mjs";
import { Markdown } from "../../handlers/http/static/markdown.js";

const { tests: EXAMPLES } = createRequire(import.meta.url)("commonmark-spec");

const SEED = 20_261_128;
const MOST_CPU_MS = 20_000; // for a hostile text of up to 1 MB, of which the slowest takes 2,000; quadratic time takes minutes

const OTHER_EXAMPLES = new Map([
  [12, "`\\(..\\)` is maths"],
  ...[25, 31, 32, 33, 34, 503, 630].map((number) => [number, "of the 2,125 entities with a name, the page knows ten"]),
  ...[602, 608, 611].map((number) => [number, "a bare address is a link"]),
]);

const box = () => document.createElement("div");

/** The elements within a node, in their order. */
const elements = (node) => node.childNodes.flatMap((child) => (child.nodeType === 1 ? [child, ...elements(child)] : []));
const tags = (node) => elements(node).map(({ localName }) => localName);
const links = (node) => elements(node).filter(({ localName }) => localName === "a");

function drawnInto(text) {
  const node = box();
  new Markdown(node).set(text);
  return node;
}

test("CommonMark's examples are drawn as markdown-it draws them", () => {
  const lenient = judge({ lenient: true });
  for (const { number, markdown } of EXAMPLES) {
    const text = markdown.replaceAll("→", "\t"), ours = drawn(text, { lenient: true });
    if (OTHER_EXAMPLES.has(number)) assert.notEqual(ours, judged(lenient, text), `example ${number} needs no mention`);
    else assert.equal(ours, judged(lenient, text), `example ${number}: ${JSON.stringify(text)}`);
  }
  assert.deepEqual([EXAMPLES.length, OTHER_EXAMPLES.size], [652, 11]);
});

test("GitHub's tables, task lists, struck text and bare addresses are drawn as markdown-it draws them", () => {
  const strict = judge({ linkify: true });
  for (const text of GITHUB) assert.equal(drawn(text), judged(strict, text), JSON.stringify(text));
});

test("10,000 generated texts are drawn as markdown-it draws them", () => {
  const lenient = judge({ lenient: true }), next = chance(SEED);
  let held = 0;
  for (let i = 0; i < 10_000; i++) {
    const text = madeText(next);
    if (isOtherwise(text)) continue;
    held++;
    assert.equal(drawn(text, { lenient: true }), judged(lenient, text), JSON.stringify(text));
  }
  assert(held > 7500, `${held}`);
});

test("10,000 generated texts in pieces become the same nodes as whole, and so does each prefix of some", () => {
  const next = chance(SEED + 1);
  for (let i = 0; i < 10_000; i++) {
    const text = madeText(next, WILD), step = 1 + Math.floor(next() * 8), node = box(), view = new Markdown(node);
    for (let end = 0; end < text.length; end += step) {
      const piece = text.slice(0, end);
      view.set(piece);
      if (i % 10 === 0) assert.deepEqual(exactly(node), exactly(drawnInto(piece)), JSON.stringify(piece));
    }
    view.set(text);
    assert.deepEqual(exactly(node), exactly(drawnInto(text)), `${JSON.stringify(text)} in steps of ${step}`);
  }
});

test("a text that does not go on with the last one is drawn anew", () => {
  const node = box(), view = new Markdown(node);
  for (const text of ["# a\n\n- b\n- c", "# a\n\n- b", "[a](http://b.c)", "[a]", "", "```\na", "x"]) {
    view.set(text);
    assert.equal(treeOf(node), drawn(text));
  }
});

test("the nodes of finished blocks, items, rows and lines of code stay, and so do those of a paragraph that grows", () => {
  const node = box(), view = new Markdown(node), text = "# a\n\n- b\n- c *d* e\n\n| f | g |\n|---|---|\n| h | i |\n\n```\nj\n";
  let known = [];
  for (let end = 1; end <= text.length; end++) {
    view.set(text.slice(0, end));
    if (text[end - 1] !== "\n" || text[end - 2] !== "\n") continue;
    for (const each of known) assert(elements(node).includes(each));
    known = elements(node);
  }
  const code = elements(node).find(({ localName }) => localName === "code"), [line] = code.childNodes;
  view.set(`${text}k\n`);
  assert.equal(code.childNodes[0], line);
  view.set(`${text}k\n\`\`\`\nl *m*`);
  const paragraph = node.lastChild, inner = [...paragraph.childNodes];
  view.set(`${text}k\n\`\`\`\nl *m* n`);
  assert.equal(node.lastChild, paragraph);
  assert(inner.every((each, i) => paragraph.childNodes[i] === each));
});

test("a call makes, and looks at, as few nodes at the end of a long answer as at its beginning", () => {
  const block = "Some *words*.\n\n- a\n- b\n\n| a |\n|---|\n| b |\n\n";
  const cost = (text, last) => {
    const view = new Markdown(box());
    view.set(text);
    view.set(text); // which passes by the blocks that are finished
    const before = { ...work };
    view.set(text + last);
    return { made: work.made - before.made, walked: work.walked - before.walked };
  };
  for (const last of ["- c", "c", "\n", "> c", "```\nc"]) {
    assert.deepEqual(cost(block.repeat(1000), last), cost(block.repeat(2), last));
  }
});

test("an item, a row, a line of code or of a quote costs no new nodes of those before it", () => {
  for (const unit of ["- a *b*\n", "1. a\n\n", "| a | b |\n|---|---|\n", "> a\n>\n", "```\n"]) {
    const more = unit.split("\n").slice(0, 1)[0].replace("```", "code"), view = new Markdown(box());
    let text = unit, made = 0;
    for (let i = 0; i < 100; i++) {
      view.set((text += `${more}\n`));
      const before = work.made;
      view.set((text += `${more}\n`));
      made = Math.max(made, work.made - before);
    }
    assert(made < 30, `${JSON.stringify(unit)}: ${made}`);
  }
});

test("maths is text, as it is written", () => {
  const inline = ["$a_b*c*d_e$", "x $$a_1 * b_2 * c$$ y", "\\(a_b * c_d * e\\)", "$\\alpha_{1}*\\beta_{2}*\\{3\\}$"];
  for (const text of [...inline, "\\[ x_1 * y_2 * z \\]"]) {
    assert.equal(drawnInto(text).textContent, text);
    assert.deepEqual(tags(drawnInto(text)), ["p", "span"]);
  }
  for (const text of ["$$\na_b * c_d\n- e_f\n=\n$$", "\\[\n# \\alpha\n\\]"]) {
    assert.equal(drawnInto(text).textContent, text.split("\n").slice(1, -1).map((line) => `${line}\n`).join(""));
    assert.deepEqual(tags(drawnInto(text)), ["div"]);
  }
  assert.equal(drawn("it costs $5 or *$10*"), '<p>\n  "it costs $5 or "\n  <em>\n    "$10"');
  assert.deepEqual(tags(drawnInto("$5 *and* 10$5, $ *a* $")), ["p", "em", "em"]);
});

test("headings follow the outline from h3 on, and none leaves a level out", () => {
  const shown = (text) => tags(drawnInto(text)).filter((tag) => /^h\d/.test(tag)).join(" ");
  assert.equal(shown("# a\n## b\n### c\n#### d\n##### e\n# f"), "h3 h4 h5 h6 h6 h3");
  assert.equal(shown("## a\n#### b\n## c\n\nd\n=\n\n- # e\n  ## f\n\n> ###### g"), "h3 h4 h3 h3 h3 h4 h5");
});

test("each outermost block has the direction of its words, and code always its own", () => {
  const text = "# א\n\nב `a`\n\n- ג\n  - b\n\n> ד\n\n| ה |\n|---|\n| b |\n\n```js\na\n```\n\n    b\n\n$$\nc\n$$";
  assert.deepEqual(elements(drawnInto(text)).filter(({ dir }) => dir).map(({ localName, dir }) => `${localName} ${dir}`), [
    "h3 auto", "p auto", "code ltr", "ul auto", "blockquote auto", "table auto", "div ltr", "div ltr", "div ltr",
  ]);
});

test("a task's box cannot be changed and has a name", () => {
  const boxes = elements(drawnInto("- [ ] a\n- [x] b\n  - [X] c\n\n[ ] d")).filter(({ localName }) => localName === "input");
  assert.deepEqual(boxes.map(({ type, disabled, checked, ariaLabel }) => [type, disabled, checked, ariaLabel]), [
    ["checkbox", true, false, "To do"], ["checkbox", true, true, "Done"], ["checkbox", true, true, "Done"],
  ]);
});

test("a link opens a new tab that knows nothing of this one, an image is a link, and HTML is text", () => {
  const html = "<script>alert(1)</script> <img src=x>", linked = "[![i](http://j.k)](mailto:l@m.n)";
  const node = drawnInto(`[a](https://b.c 'd') ![e](http://f.g/h.png) ${linked} ${html}`);
  const shown = links(node).map(({ href, title, target, rel, textContent }) => [href, title, target, rel, textContent]);
  const rel = "noopener noreferrer nofollow";
  assert.deepEqual(shown, [
    ["https://b.c", "d", "_blank", rel, "a"],
    ["http://f.g/h.png", undefined, "_blank", rel, "e"],
    ["mailto:l@m.n", undefined, "_blank", rel, "i"],
  ]);
  assert.deepEqual(new Set(tags(node)), new Set(["p", "a", "span"]));
  assert(node.textContent.endsWith(html));
  assert.equal(links(drawnInto("见https://例子.cn/路。然后 https://a.b/c_d_(e)). f"))[0].textContent, "https://例子.cn/路");
});

test("an address that is not of http, https or mailto is no link", () => {
  for (const evil of EVIL) {
    for (const text of around(evil)) {
      for (const { href } of links(drawnInto(text))) {
        assert.match(href, /^(?:https?:\/\/[a-z]|mailto:)/i, JSON.stringify(text));
        assert(["http:", "https:", "mailto:"].includes(new URL(href, "http://page").protocol), JSON.stringify(text));
      }
    }
    assert(links(drawnInto(`[a](${evil})`)).every(({ textContent }) => textContent !== "a"), JSON.stringify(evil));
  }
});

for (const [name, text] of hostileTexts()) {
  test(`drawn without a hang: ${name}`, () => {
    const view = new Markdown(box()), before = process.cpuUsage();
    view.set(text);
    view.set(`${text}a`);
    const { user, system } = process.cpuUsage(before);
    assert((user + system) / 1000 < MOST_CPU_MS, `${(user + system) / 1000} ms`);
    assert(depthOf(view.node) < 300);
  });
}

/** How deep a tree is, without recursion. */
function depthOf(root) {
  let depth = 0;
  for (let level = [root]; level.length; depth++) level = level.flatMap((node) => node.childNodes ?? []);
  return depth;
}

test("code is coloured once it is closed, and stays the same text", () => {
  const code = 'const a = "b"; // c\n/* d\n e */ f(1.5, `g`)\n', node = drawnInto(`\`\`\`js\n${code}\`\`\``);
  const parts = elements(node).filter(({ className }) => ["comment", "keyword", "number", "string"].includes(className));
  assert.deepEqual(parts.map(({ className, textContent }) => [className, textContent]), [
    ["keyword", "const"], ["string", '"b"'], ["comment", "// c"], ["comment", "/* d\n e */"], ["number", "1.5"],
    ["string", "`g`"],
  ]);
  assert.equal(elements(node).find(({ localName }) => localName === "code").textContent, code);
  assert.equal(tags(drawnInto(`\`\`\`js\n${code}`)).filter((tag) => tag === "span").length, 1);
});
