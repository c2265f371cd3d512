// Texts that are made to take long, to nest deeply, or to get a script or an address past the reader.

const UNITS = [
  ">", "> ", ">\n", "[", "![", "]", "](", "[](", "[a](", "[a](<", "[](<b", "[a](b \"", "[a](b '", "[a](b (", "[a](\\(",
  "![[]()", "[a][", "[a]:", "[a]: b\n", "[a]: b\n[a] ",
  "\\[", "\\(", "\\", "*", "**", "*a **a ", "*a_ ", "**a *b _c __d ~~e ", "a**b", "*a* ", "_a __b ", "_", "~", "~~", "~~a ",
  "a~~ b~~ ", "***a ", "`", "``` ", "`a``b", "` `` ```",
  "<", "<a", "<a:", "<a@", "<a@b.c", "</", "<!--", "&", "&#", "&a", "&amp", "$", "$$", "$a $", "$a", "!", "- ", "-\n", "- - ",
  "* a\n", "+ a\n\n", "1. ", "1) a\n", "  - a\n",
  "\t", " ", "\n", " \n", "\r", "\0", "|", "| ", "|a", "a|b\n-|-\n", "|\n", "\\|", "#", "# ", "# #", "```\n", "~~~\n", "=",
  "a\n=\n", "-", "a\n-\n", "--- ", "***\n",
  "http://", "http://a", "http://a.b)", "http://a.b/(", "www.", "www.a", "www.a)", "https://a.b?!.,:", "a@", "a@b.", "a@b.c",
  "a.", "a-@", "a@b-", ":", "://", "javascript:",
  "a", "a\n", "a b ", "\ud83d", "é", "    a\n", "\n\n", "[ ] ", "- [ ] a\n", "[x]\n", "\\\n", "a  \n", "a   ", "\"", "'", "(",
  ")", "[a]()", "[a](javascript:b)", "[](\n", "[^a]",
];

const PAIRS = [
  ["[", "a](http://b.c)"], ["![", "](http://b.c)"], ["[", "]"], ["[a](", ")"], ["*a ", "b*"], ["**a ", " b**"], ["_", "_"],
  ["(", ")"], ["`", "``"], ["[![", "](http://b.c)](http://b.c)"],
  ["> ", "a"], ["- ", "a"], ["1. ", "a"], ["<", ">"], ["$", "$"], ["~~a", "b~~"], ["http://a.b/(", ")"],
  ["[", "][a]\n\n[a]: http://b.c"], ["[a]: http://b.c '", "'"], ["  ", "\n- a"],
];

const each = (make, count = 10_000) => Array.from({ length: count }, (_, i) => make(i)).join("");

/** Each with its name. */
export function hostileTexts() {
  const texts = [];
  for (const unit of UNITS) texts.push([`${JSON.stringify(unit)}, again and again`, unit.repeat(100_000 / unit.length)]);
  for (const [before, after] of PAIRS) texts.push([`${before} .. ${after}`, before.repeat(20_000) + after.repeat(20_000)]);
  const megabyte = (unit) => unit.repeat(1e6 / unit.length);
  for (const unit of "a*[` |$<&\\") texts.push([`a line of 1 MB of ${unit}`, megabyte(unit)]);
  for (const unit of ["- ", "> ", "a@"]) texts.push([`a line of 1 MB of ${unit}`, megabyte(unit)]);
  for (const unit of ["a ", "<b>", "a\n\n", "|a"]) texts.push([`an open fence of 1 MB of ${unit}`, `~~~\n${megabyte(unit)}`]);
  return [
    ...texts,
    ["quotes, 1,000 deep", `${">".repeat(1000)} a\n`.repeat(100)],
    ["lists, 1,000 deep", each((i) => `${"  ".repeat(i)}- a\n`, 1000)],
    ["lists, 1,000 deep, in a line", "- ".repeat(1000)],
    ["rules that are none", `${"- ".repeat(200_000)}a`],
    ["rules that are none, at the end", `- - a${" -".repeat(200_000)}`],
    ["runs of backticks of each length", each((i) => `a${"`".repeat(i + 1)}`, 1000)],
    ["a table of 1,000 rows of 100", `${"|a".repeat(100)}|\n${"|-".repeat(100)}|\n${`${"|b".repeat(100)}|\n`.repeat(1000)}`],
    ["a table of 10,000 columns and short rows", `${"|a".repeat(10_000)}|\n${"|-".repeat(10_000)}|\n${"b\n".repeat(10_000)}`],
    ["a table of cells of pipes", `|a|\n|-|\n${"\\|".repeat(100_000)}`],
    ["10,000 labels, which are defined at the end", `${each((i) => `[a${i}] `)}\n\n${each((i) => `[a${i}]: http://b.c\n`)}`],
    ["a label that is used by 10,000 blocks", `${"[a]\n\n".repeat(10_000)}[a]: http://b.c`],
    ["a title without an end", `[a]: http://b.c "${"a\n".repeat(100_000)}`],
    ["white space and then a word", `${" ".repeat(500_000)}\n${"\t".repeat(100_000)}a`],
    ["a heading of spaces", `# a${" ".repeat(500_000)}#${" ".repeat(500_000)}b`],
    ["a text with spaces within", `a${" ".repeat(500_000)}b\n`.repeat(2)],
    ["items in quotes in items", "- > ".repeat(5000)],
    ["loose lists in lists", "- - - - a\n\n".repeat(10_000)],
  ];
}

/** What an address, or HTML, may stand in. */
export const around = (evil) => [
  ...[`[a](${evil})`, `[a](<${evil}>)`, `![a](${evil})`, `<${evil}>`, evil],
  ...[`[a]\n\n[a]: ${evil}`, `[a]\n\n[a]: <${evil}>`],
];

export const HTML = [
  "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<iframe src=//a.b>",
  "![a](http://127.0.0.1:1/x.png)",
  "<a href='javascript:alert(1)'>a</a>", "<style>@import '//a.b'</style>",
];

/** Addresses that must not become links. */
export const EVIL = [
  "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", "java\tscript:alert(1)",
  "\u0001javascript:alert(1)", "javascript&colon;alert(1)",
  "javascript&#58;alert(1)", "javascript&#x3a;alert(1)", "&#106;avascript:alert(1)", "&#x6A&#x61;vascript:alert(1)",
  "java&#10;script:alert(1)", "java&Tab;script:alert(1)",
  "java\\script:alert(1)", "javascript\\:alert(1)", "\u00a0javascript:alert(1)", "\u200bjavascript:alert(1)", "vbscript:a",
  "data:text/html,<script>alert(1)</script>",
  "data:image/svg+xml,<svg onload=alert(1)>", "blob:http://a.b/c", "file:///etc/passwd", "about:blank",
  "view-source:http://a.b", "//a.b/c", "/a", "a", "#a", "?a", "http:", "http:/", "http://",
  "http:a", "http:///a", "http:\\\\a", "https:%0ajavascript:alert(1)", "ftp://a.b", "xhttp://a.b", "http&#58",
  "\ufeffhttp://a.b", "feed:http://a.b", "intent://a", "mailt&#111;", "tel:1", "ws://a.b",
];
