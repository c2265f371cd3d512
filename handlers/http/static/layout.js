// @ts-check
// The frame of the page: the list of chats and the inspector beside the chat, each a drawer over it where there is no room.

import { $ } from "./dom.js";
import { browser } from "./kept.js";

const isPhone = matchMedia("(width < 48rem)"); // the same widths stand in console.css and inspector.css
const isNarrow = matchMedia("(width < 64rem)");
const LEAST_WIDTH = 280, STEP = 24;

let isDrawer = false; // the list of chats is open over the chat
let hasInspector = false;
let hasList = browser.getItem("chats") !== "closed"; // beside the chat
let redraw = () => {};
/** @type {HTMLElement | null} */
let opener = null; // what had the focus before a drawer opened

/** Have the frame's buttons and keys do what they say. @param {() => void} draw */
export function layOut(draw) {
  redraw = draw;
  hasInspector = browser.getItem("inspector") === "open" && !isNarrow.matches;
  setWidth(Number(browser.getItem("inspector width")) || 416);
  place();
}

function place() {
  const isOver = isPhone.matches && isDrawer, isCovered = isNarrow.matches && hasInspector;
  const isListed = isPhone.matches ? isDrawer : hasList;
  document.body.dataset.drawer = isOver ? "chats" : isCovered ? "inspector" : "";
  $("sidebar").classList.toggle("closed", !isListed);
  $("sidebar").inert = !isListed || isCovered;
  $("middle").inert = isOver || isCovered;
  $("backdrop").hidden = !isOver && !isCovered;
  $("sidebar-open").hidden = isListed && !isPhone.matches;
  $("sidebar-open").ariaExpanded = String(isListed);
  $("inspector").hidden = !hasInspector;
  $("inspector").inert = isOver;
  $("divider").hidden = !hasInspector || isNarrow.matches;
  $("inspector-button").ariaExpanded = String(hasInspector);
}

/** @param {boolean} isOpen */
function showList(isOpen) {
  if (isPhone.matches) isDrawer = isOpen;
  else browser.setItem("chats", (hasList = isOpen) ? "open" : "closed");
  place();
  (isOpen ? $("sidebar-close") : isPhone.matches || !isOpen ? $("sidebar-open") : $("prompt")).focus();
}

/** @param {boolean} isOpen */
function showInspector(isOpen) {
  hasInspector = isOpen;
  browser.setItem("inspector", isOpen ? "open" : "closed");
  if (isOpen) opener = $("menu-button");
  place();
  if (isOpen) $("inspector-close").focus();
  else opener?.focus();
  redraw();
}

$("sidebar-open").addEventListener("click", () => showList(true));
$("sidebar-close").addEventListener("click", () => showList(false));
$("inspector-close").addEventListener("click", () => showInspector(false));
$("inspector-button").addEventListener("click", () => {
  $("menu").hidePopover();
  showInspector(!hasInspector);
});
$("backdrop").addEventListener("click", closeDrawer);
$("sidebar").addEventListener("click", ({ target }) => { // a chat was chosen, or a new one
  if (!isDrawer || !(/** @type {Element} */ (target).closest("#chats [aria-current], #new-chat"))) return;
  isDrawer = false;
  place();
  $("messages").focus({ preventScroll: true });
}, { capture: true }); // before what is clicked takes the focus where it wants it
for (const each of [isPhone, isNarrow]) {
  each.addEventListener("change", () => {
    isDrawer = false;
    place();
    redraw();
  });
}

function closeDrawer() {
  if (isDrawer) showList(false);
  else if (isNarrow.matches && hasInspector) showInspector(false);
}

// Escape closes what is over the chat, and stops no answer then.
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open]")) return;
  const menu = /** @type {HTMLElement | null} */ (document.querySelector(":popover-open"));
  if (!menu && $("backdrop").hidden) return;
  event.preventDefault();
  event.stopPropagation();
  if (menu) menu.hidePopover();
  else closeDrawer();
}, { capture: true });

// The menu stands below its button, wherever the inspector has moved it.
$("menu").addEventListener("toggle", ({ newState }) => {
  $("menu-button").ariaExpanded = String(newState === "open");
});
$("menu").addEventListener("beforetoggle", ({ newState }) => {
  const { right, bottom } = $("menu-button").getBoundingClientRect();
  if (newState === "open") Object.assign($("menu").style, { right: `${innerWidth - right}px`, top: `${bottom + 6}px` });
});
for (const id of ["second", "token-button"]) $(id).addEventListener("click", () => $("menu").hidePopover());

// The inspector's width

const mostWidth = () => Math.max(LEAST_WIDTH, Math.round(innerWidth * 0.6));

/** @param {number} wanted in pixels */
function setWidth(wanted) {
  const width = Math.round(Math.min(Math.max(wanted, LEAST_WIDTH), mostWidth())), divider = $("divider");
  document.documentElement.style.setProperty("--inspector", `${width}px`);
  Object.assign(divider, { ariaValueNow: String(width), ariaValueMax: String(mostWidth()), ariaValueText: `${width} pixels` });
}

const width = () => Number($("divider").ariaValueNow);
const keep = () => browser.setItem("inspector width", String(width()));

$("divider").addEventListener("keydown", (event) => {
  /** @type {Record<string, number>} */
  const steps = { ArrowLeft: width() + STEP, ArrowRight: width() - STEP, Home: LEAST_WIDTH, End: mostWidth() };
  if (!(event.key in steps)) return;
  event.preventDefault();
  setWidth(steps[event.key]);
  keep();
});
$("divider").addEventListener("pointerdown", (event) => {
  event.preventDefault();
  $("divider").focus();
  $("divider").setPointerCapture(event.pointerId);
});
$("divider").addEventListener("pointermove", (event) => {
  if ($("divider").hasPointerCapture(event.pointerId)) setWidth(innerWidth - event.clientX);
});
$("divider").addEventListener("pointerup", keep);
addEventListener("resize", () => setWidth(Number(browser.getItem("inspector width")) || width()));

// A keyboard on the screen takes its part of the height. Zooming in does not.
visualViewport?.addEventListener("resize", () => {
  const { height, scale } = /** @type {VisualViewport} */ (visualViewport);
  if (Math.abs(scale - 1) < 0.01) document.documentElement.style.setProperty("--screen", `${height}px`);
});

// The prompt grows with its text: by itself in most browsers, and in the others by this.
if (!CSS.supports("field-sizing", "content")) {
  const prompt = $("prompt"), fit = () => {
    prompt.style.height = "auto";
    prompt.style.height = `${prompt.scrollHeight}px`;
  };
  prompt.addEventListener("input", fit);
  $("composer").addEventListener("submit", () => requestAnimationFrame(fit));
}
