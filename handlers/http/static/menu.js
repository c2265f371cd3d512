// @ts-check
// A menu: one for the whole page, below the button that has opened it.

import { childrenOf, made } from "./dom.js";

/** @typedef {[name: string, act: () => unknown][]} Items */

const GAP = 4;

const menu = made("div", { id: "chat-menu", popover: "auto", role: "menu" });
let opener = /** @type {HTMLElement | null} */ (null);
let isOpen = false, wasOpen = false; // `wasOpen`: when the pointer came down, which closes it

/** A button that opens a menu. @param {string} label of what it is @param {() => Items} items */
export function menuButton(label, items) {
  const states = { ariaHasPopup: "menu", ariaExpanded: "false", ariaLabel: label };
  const button = made("button", { type: "button", className: "more", ...states }, "⋯");
  button.addEventListener("pointerdown", () => { wasOpen = isOpen && opener === button; });
  button.addEventListener("click", () => {
    if (!wasOpen) open(button, items());
    wasOpen = false;
  });
  button.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown") return;
    event.preventDefault();
    open(button, items());
  });
  return button;
}

/** @param {HTMLElement} button @param {Items} items */
function open(button, items) {
  if (isOpen) menu.hidePopover();
  opener = button;
  menu.ariaLabel = button.ariaLabel;
  menu.replaceChildren(...items.map(([name, act]) => {
    return made("button", { type: "button", role: "menuitem", tabIndex: -1, onclick: () => choose(act) }, name);
  }));
  button.closest("nav, header")?.append(menu); // all of a page is to be in one of its regions
  menu.showPopover();
  const place = button.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = menu;
  const below = place.bottom + GAP, top = below + height > innerHeight ? Math.max(GAP, place.top - GAP - height) : below;
  menu.style.left = `${Math.max(GAP, Math.min(place.left, innerWidth - width - GAP))}px`;
  menu.style.top = `${top}px`;
  button.ariaExpanded = "true";
  childrenOf(menu)[0].focus();
}

/** Close it, so that the focus is back before what is chosen may take it elsewhere. @param {() => unknown} act */
function choose(act) {
  menu.hidePopover();
  act();
}

menu.addEventListener("toggle", ({ newState }) => {
  isOpen = newState === "open";
  if (!isOpen && opener) opener.ariaExpanded = "false";
});

menu.addEventListener("keydown", (event) => {
  const items = [...childrenOf(menu)], last = items.length - 1;
  const at = items.findIndex((item) => item === document.activeElement);
  /** @type {Record<string, number>} */
  const next = { ArrowDown: at === last ? 0 : at + 1, ArrowUp: at === 0 ? last : at - 1, Home: 0, End: last };
  if (event.key in next) items[next[event.key]].focus();
  else if (event.key === "Escape" || event.key === "Tab") menu.hidePopover();
  else return;
  event.stopPropagation(); // an Escape would stop the answer
  if (event.key !== "Tab") event.preventDefault();
});
