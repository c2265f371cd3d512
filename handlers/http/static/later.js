// @ts-check
// Texts that nobody sees yet, far above the end of a chat. They are drawn when the browser has nothing else to do, from the
// last to the first.

import { stayAtEnd } from "./scroll.js";

const AT_ONCE_MS = 8; // half of a picture
const whenIdle = globalThis.requestIdleCallback ?? ((/** @type {() => void} */ act) => setTimeout(act, 2 * AT_ONCE_MS));

/** @import { Markdown } from "./markdown.js" */

const waiting = /** @type {Map<Markdown, string>} */ (new Map());
let isAsked = false;

/** Draw a text, now or, if it is `isFar`, later. @param {Markdown} markdown @param {string} text @param {boolean} isFar */
export function drawText(markdown, text, isFar) {
  waiting.delete(markdown);
  if (markdown.text === text) return;
  if (!isFar) return markdown.set(text);
  waiting.set(markdown, text);
  ask();
}

function ask() {
  if (!isAsked) whenIdle(draw);
  isAsked = true;
}

function draw() {
  const until = performance.now() + AT_ONCE_MS;
  isAsked = false;
  for (const [markdown, text] of [...waiting].reverse()) {
    if (performance.now() > until) break;
    waiting.delete(markdown);
    if (markdown.node.isConnected) markdown.set(text);
  }
  if (waiting.size) ask();
  stayAtEnd();
}
