// What markdown.js, markdown-inlines.js and views.js hand each other. Beside them it would be served.

/** What is to be there: a text, or an element. */
export type Drawn = string | Shown;

export interface Shown {
  tag: string;
  props?: object;
  children?: Drawn[];
  depth?: number; // so many elements are within each other, with this one
}

/** What is there already, with what it was drawn of. */
export type Known = ChildNode & { drawn?: Drawn | Block; key?: string; className?: string };

// Blocks

/** A line that is being read: up to `at`; then `indent` columns of blanks, then `rest`. */
export interface Line {
  text: string;
  at: number;
  indent: number;
  rest: string;
}

/** What a block is drawn as, and what may be within that. */
export type Wanted = Drawn | Block | View;

export interface View {
  tag: string;
  props?: object;
  className?: string;
  children?: Wanted[];
}

export interface Block {
  type: string;
  tag?: string;
  props?: object;
  className?: string;
  children: Block[];
  text: string;
  width: number; // the columns that a line of an item or of a code is indented by
  kind?: string; // of a list: its mark
  until?: RegExp; // the end of a fenced code
  info?: string; // of a fenced code: what stands behind its fence
  isMaths?: boolean;
  isClosed?: boolean;
  isFirst?: boolean; // in its item
  aligns: string[]; // of a table's columns
  end: number; // the number of its last line
}

declare module "../../handlers/http/static/markdown.js" {
  interface Markdown {
    node: HTMLElement;
    target: (href: string) => boolean;
    text?: string;
    number: number;
    used: number;
  }
}

// Inlines

/** What a text is read into: marks are runs of `*`, `_` or `~~`, and brackets, until it is known what becomes of them. */
export type Item = Drawn | Mark;

export interface Mark {
  mark: string;
  count: number; // of its characters that no element was made of
  length: number; // of all
  canOpen?: boolean;
  canClose?: boolean;
}

/** `place` is behind it, among the items that are read; `number` its place among all. */
export type Opener = Mark & { place: number; number: number };

/** By kind of mark: the number of that below which no opener of it is found. */
export type Bottoms = Record<string, number>;

/** What of a text was found. */
export type Groups = Record<string, string>;

declare module "../../handlers/http/static/markdown-inlines.js" {
  interface Inlines {
    text: string;
    target: (href: string) => boolean;
    items: Item[];
    brackets: { open: string; at: number; place: number }[];
    isFull?: boolean;
    last?: Map<number, number>;
  }
}
