// @ts-check
// Colours for code: one reader for all languages, which knows comments, strings, numbers and words, by one table.

const MOST_CHARACTERS = 50_000; // of a code that is coloured, as each word of it may become an element

const SLASHES = String.raw`//.*|/\*[^]*?(?:\*/|$)`;
const HASH = "#.*";
const DASHES = String.raw`--.*|/\*[^]*?(?:\*/|$)`;

const SCRIPT = `
  as async await break case catch class const continue debugger default delete do else enum export extends false finally for
  from function get if implements import in instanceof interface let new null of return set static super switch this throw
  true try type typeof undefined var void while yield`;
const C = `
  auto bool boolean break byte case catch char class const constexpr continue default delete do double else enum extends
  extern false final finally float for foreach goto if implements import in include inline int interface internal long
  namespace new null nullptr operator override package private protected public readonly return short signed sizeof static
  string struct super switch template this throw throws true try typedef typename union unsigned using var virtual void
  volatile while`;
const NEWER = `
  as async await break case chan const continue crate default defer dyn else enum extension extern fallthrough false fn for
  func fun go goto guard if impl import in init interface is let loop map match mod move mut nil null object override package
  private protocol pub range ref return select self Self static struct super switch this throw trait true try type unsafe use
  val var when where while`;
const PYTHON = `
  and as assert async await break case class continue def del elif else except False finally for from global if import in is
  lambda match None nonlocal not or pass raise return True try while with yield`;
const SHELL = `
  case do done elif else esac export fi for function if in local return set then until while`;
const RUBY = `
  alias and begin break case class def do else elsif end ensure false for if in module next nil not or redo rescue retry
  return self super then true undef unless until when while yield`;
const SQL = `
  add all alter and any as asc begin between by case check column commit constraint create cross default delete desc distinct
  drop else end exists false foreign from full group having in index inner insert into is join key left like limit not null
  offset on or order outer primary references returning right rollback select set table then true union unique update using
  values view when where with`;

/** @type {Map<string, { comment: string, keywords: Set<string>, flags: string, pattern?: RegExp }>} */
const LANGUAGES = new Map();
for (const [names, comment, keywords, flags = ""] of [
  ["js javascript jsx mjs cjs ts typescript tsx", SLASHES, SCRIPT],
  ["c h cpp c++ cc java cs csharp c# php scala", SLASHES, C],
  ["go rust rs swift kotlin kt dart", SLASHES, NEWER],
  ["py python py3", HASH, PYTHON],
  ["sh bash shell zsh console dockerfile makefile", HASH, SHELL],
  ["rb ruby", HASH, RUBY],
  ["yaml yml toml", HASH, "true false null yes no on off"],
  ["sql postgres postgresql sqlite mysql", DASHES, SQL, "i"],
  ["json jsonc json5", SLASHES, "true false null"],
  ["css scss less", SLASHES, "important media import keyframes supports"],
]) {
  const language = { comment, keywords: new Set(keywords.split(/\s+/)), flags };
  for (const name of names.split(" ")) LANGUAGES.set(name, language);
}

/** What a language's code is read with: three groups, for comments, strings and numbers, and a fourth for words. */
function patternOf(/** @type {{ comment: string }} */ { comment }) {
  const long = String.raw`"""[^]*?(?:"""|$)|\x27\x27\x27[^]*?(?:\x27\x27\x27|$)`;
  const template = String.raw`\x60(?:[^\x60\\]|\\[^])*\x60?`;
  const strings = String.raw`"(?:[^"\\\n]|\\.)*"?|\x27(?:[^\x27\\\n]|\\.)*\x27?`;
  return new RegExp(`(${comment})|(${long}|${strings}|${template})|(\\d[\\w.]*)|([\\p{L}_$@][\\p{L}\\d_$]*)`, "gu");
}

/** A code as strings, and as elements whose class says what they are if its language's name is known. */
export function highlight(/** @type {string} */ text, /** @type {string | false | undefined} */ name) {
  const language = name && LANGUAGES.get(name.toLowerCase());
  if (!language || text.length > MOST_CHARACTERS) return [text];
  const parts = [];
  let at = 0;
  language.pattern ??= patternOf(language);
  for (const { 0: found, 1: comment, 2: string, 3: number, index } of text.matchAll(language.pattern)) {
    const isKeyword = language.keywords.has(language.flags ? found.toLowerCase() : found);
    const className = comment ? "comment" : string ? "string" : number ? "number" : isKeyword ? "keyword" : null;
    if (!className) continue;
    parts.push(text.slice(at, index), { tag: "span", props: { className }, children: [found] });
    at = index + found.length;
  }
  return [...parts, text.slice(at)].filter(Boolean);
}
