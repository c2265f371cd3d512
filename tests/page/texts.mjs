// Texts made by chance, the same for the same seed, of what means something in Markdown.

const PIECES = [
  "a", "b", "foo", "é", "😀", "“", ".", ",", "!", "'", "\"", ";", " ", " ", " ", "  ", "    ", "\t", "\n", "\n", "\n", "\n\n",
  "\n\n", "\n ", "\n   ",
  "\n\n    ", "*", "**", "***", "_", "__", "~~", "~", "`", "``", "```", "\n```\n", "\n~~~\n", "~~~~", "#", "# ", "## ",
  "####### ", "> ", ">", "\n> ",
  "- ", "\n- ", "\n  - ", "\n    - ", "* ", "+ ", "1. ", "\n1. ", "2) ", "\n10. ", "-", "---", "\n---\n", "===", "\n===\n",
  "[ ] ", "[x] ",
  "- [x] ", "| ", "|", " | ", "\n| a | b |\n|---|:-:|\n", "\n|-|-|\n", ":-", "[", "]", "(", ")", "[a]", "![", "](", "](/u)",
  "](<u> \"t\")", "][a]",
  "<", ">", "<b>", "<http:a>", "&amp;", "&#65;", "&", "\\", "\\\n", "\\*", "\n\n[a]: <u v> 'x'\n\n", "\n\n[b]: /u\n\n",
];

/** What the judges do not read as we do, or in more ways than one, beside the rest. */
export const WILD = [
  ...PIECES,
  "\u00a0", "\u2003", "\0", "\r", "\r\n", "[b]: /u\n", "]:", "$", "$$", "\\(", "\\)", "\\[", "\\]", "<!--", "http://a.b",
  "https://", "www.", "www.a_b",
  "@", "a@b.cc", "://", "javascript:", "\ud83d", "\n[a]: http://c.d\n", "\n[a]: http://", "```js\n", "const x = 'y' // z\n",
  "/*", "*/",
];

/** GitHub's own examples of what it has besides CommonMark, and others like them. */
export const GITHUB = [
  "| foo | bar |\n| --- | --- |\n| baz | bim |", "| abc | defghi |\n:-: | -----------:\nbar | baz",
  "| f\\|oo  |\n| ------ |\n| b `\\|` az |\n| b **\\|** im |",
  "| abc | def |\n| --- | --- |\n| bar | baz |\n> bar", "| abc | def |\n| --- | --- |\n| bar | baz |\nbar\n\nbar",
  "| abc | def |\n| --- |\n| bar |",
  "| abc | def |\n| --- | --- |\n| bar |\n| bar | baz | boo |", "| abc | def |\n| --- | --- |", "a\nb | c\n--|--\nd | e",
  "- | a | b |\n  |:-|-:|\n  | c | d |\n\ne",
  "> | a |\n> |---|\n> | b |\nc", "| a |\n|---|\n# b", "| a |\n|---|\n- b", "| a |\n|---|\n```\nb", "| a |\n|---|\n    b",
  "|a|b|\n|-|-|\n|*c|d*|",
  "~~Hi~~ Hello, ~there~ world!", "This ~~has a\n\nnew paragraph~~.", "~~a *b~~ c*", "a~~b~~c", "~~ a ~~", "~~~a~~~ b",
  "**a ~~b~~ c**",
  "- [ ] foo\n- [x] bar", "- [x] foo\n  - [ ] bar\n  - [X] baz\n- [ ] bim", "1. [x] a\n\n   b\n2. [ ] c", "[x] a", "- [x]a",
  "- a [x] b",
  "www.commonmark.org", "Visit www.commonmark.org/help for more information.", "Visit www.commonmark.org.",
  "Visit www.commonmark.org/a.b.",
  "www.google.com/search?q=Markup+(business)", "(www.google.com/search?q=Markup+(business))", "(see http://a.b/c_(d))",
  "www.commonmark.org/he<lp",
  "http://commonmark.org", "(Visit https://encrypted.google.com/search?q=Markup+(business))",
  "http://localhost:8000/a_b_c is it.", "*http://a.b/c*",
  "foo@bar.baz", "hello@mail.com isn't valid", "[http://a.b/c](http://d.e)", "`http://a.b`", "<http://a.b> http://c.d",
  "xhttp://a.b", "HTTPS://A.B/c!",
];

/** A generator of numbers from 0 to below 1. */
export function chance(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function madeText(next, pieces = PIECES) {
  const below = (most) => Math.floor(next() * most);
  const some = (count, from) => Array.from({ length: count }, () => from[below(from.length)]);
  const few = some(2 + below(8), pieces); // of which most texts are made, so that they meet often
  return some(1 + below(20), next() < 0.5 ? few : pieces).join("");
}
