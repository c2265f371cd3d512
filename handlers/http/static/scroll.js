// @ts-check
// Where the messages are scrolled to: at the end while they are at the end, and else where somebody has scrolled them.

import { $ } from "./dom.js";

const NEAR = 40; // pixels from the end, at which whoever scrolls down means the end

const box = $("messages"), button = $("to-end");
const left = () => box.scrollHeight - box.scrollTop - box.clientHeight;
let shown = /** @type {string | null} */ (null), follows = true, top = 0;

/** Stay at the end from now on. */
export function followEnd() {
  follows = true;
  box.scrollTop = box.scrollHeight;
  top = box.scrollTop;
  offerEnd(false);
}

/** Stay at the end, if that is where the messages are: something has grown above. */
export function stayAtEnd() {
  if (follows) followEnd();
}

/** Keep the place, once the messages are drawn. @param {string | null} id of what is shown @param {boolean} isGrowing */
export function keepPlace(id, isGrowing) {
  if (id !== shown) follows = true;
  shown = id;
  if (follows) followEnd();
  else offerEnd(isGrowing);
}

/** @param {boolean} isGrowing */
function offerEnd(isGrowing) {
  button.hidden = follows || left() < NEAR;
  button.dataset.new = String(isGrowing);
  button.ariaLabel = isGrowing ? "New text below: jump to the end" : "Jump to the end";
}

box.addEventListener("scroll", () => {
  if (box.scrollTop < top) follows = left() < 2; // the end itself may come nearer
  else if (left() < NEAR) follows = true;
  top = box.scrollTop;
  offerEnd(button.dataset.new === "true");
}, { passive: true });
// Somebody has opened something to read it.
box.addEventListener("toggle", () => { follows &&= left() < NEAR; }, { capture: true });
box.addEventListener("click", () => requestAnimationFrame(() => { follows &&= left() < NEAR; }));
new ResizeObserver(() => (follows ? followEnd() : offerEnd(button.dataset.new === "true"))).observe(box);
button.addEventListener("click", () => {
  box.focus({ preventScroll: true }); // the button goes
  followEnd();
});
$("composer").addEventListener("submit", () => {
  follows = true;
  if (matchMedia("(pointer: coarse)").matches) $("prompt").blur(); // the keyboard makes room for the answer
});
