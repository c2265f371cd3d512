// A menu: one for the whole page, below the button that has opened it.

import { made } from "./dom.js";

const GAP = 4;

const menu = made("div", { id: "chat-menu", popover: "auto", role: "menu" });
let opener = null, isOpen = false, wasOpen = false; // `wasOpen`: when the pointer came down, which closes it

/** A button that opens a menu. `items()` gives a name and what to do for each, `label` says of what it is. */
export function menuButton(label, items) {
  const kind = { type: "button", className: "more", ariaHasPopup: "menu", ariaExpanded: "false" };
  const button = made("button", { ...kind, ariaLabel: label }, "⋯");
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

function open(button, items) {
  if (isOpen) menu.hidePopover();
  opener = button;
  menu.ariaLabel = button.ariaLabel;
  const kind = { type: "button", role: "menuitem", tabIndex: -1 };
  menu.replaceChildren(...items.map(([name, act]) => made("button", { ...kind, onclick: () => choose(act) }, name)));
  button.closest("nav, header").append(menu); // all of a page is to be in one of its regions
  menu.showPopover();
  const place = button.getBoundingClientRect(), { offsetWidth: width, offsetHeight: height } = menu;
  const below = place.bottom + GAP, top = below + height > innerHeight ? Math.max(GAP, place.top - GAP - height) : below;
  menu.style.left = `${Math.max(GAP, Math.min(place.left, innerWidth - width - GAP))}px`;
  menu.style.top = `${top}px`;
  button.ariaExpanded = "true";
  menu.firstChild.focus();
}

/** Close it, so that the focus is back before what is chosen may take it elsewhere. */
function choose(act) {
  menu.hidePopover();
  act();
}

menu.addEventListener("toggle", ({ newState }) => {
  isOpen = newState === "open";
  if (!isOpen && opener) opener.ariaExpanded = "false";
});

menu.addEventListener("keydown", (event) => {
  const items = [...menu.children], at = items.indexOf(document.activeElement), last = items.length - 1;
  const next = { ArrowDown: at === last ? 0 : at + 1, ArrowUp: at === 0 ? last : at - 1, Home: 0, End: last }[event.key];
  if (next !== undefined) items[next].focus();
  else if (event.key === "Escape" || event.key === "Tab") menu.hidePopover();
  else return;
  event.stopPropagation(); // an Escape would stop the answer
  if (event.key !== "Tab") event.preventDefault();
});
