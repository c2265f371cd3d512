// @ts-check
// A prompt that is changed where it stands, and run again.

import { drawLength, sendsByEnter } from "./composer.js";
import { $, icon, made, setText } from "./dom.js";

/** @typedef {[text: HTMLElement, pencil: HTMLElement, form: HTMLFormElement]} Editor */

let edited = /** @type {string | null} */ (null); // the id of the message whose prompt is being changed

/** Whether the prompt of this message is being changed. @param {string} id */
export const isEdited = (id) => edited === id;

/** A pencil, and a form that is filled when it is opened, for the request of a message. */
export function makeEditor() {
  const title = "Edit the prompt", kind = { className: "edit", title, ariaLabel: title, hidden: true };
  const pencil = made("button", { type: "button", ...kind }, icon("M4 16l1-4 8-8 3 3-8 8zM11 6l3 3"));
  return [pencil, made("form", { className: "editor", hidden: true })];
}

/** @param {HTMLFormElement} form @param {string} prompt */
function fill(form, prompt) {
  const length = made("p", { className: "length", hidden: true }, made("span"), made("span", { role: "status" }));
  const box = made("textarea", { rows: 3, ariaLabel: "The prompt", value: prompt });
  const run = made("button", { type: "submit" }, "Save & run"), cancel = made("button", { type: "button" }, "Cancel");
  const row = made("div", { className: "row" }, run, cancel);
  form.replaceChildren(box, length, made("p", { className: "state" }), row);
  box.addEventListener("input", () => { run.disabled = drawLength(box.value, length); });
  sendsByEnter(box);
  form.onkeydown = (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    event.stopPropagation(); // it would stop an answer
    cancel.click();
  };
  box.dispatchEvent(new Event("input"));
  return { box, run, cancel };
}

/**
 * Draw it for message `id`. `can`: whether its prompt may be changed now. `run(prompt)` is called with another prompt, and
 * tells whether it was posted.
 * @param {Editor} editor
 * @param {{ id: string, prompt: string, can: boolean, isLast: boolean, run: (prompt: string) => boolean | Promise<boolean>,
 *   redraw: () => void }} state
 */
export function drawEditor([text, pencil, form], { id, prompt, can, isLast, run, redraw }) {
  if (edited === id && !can) edited = null;
  const isOpen = edited === id && form.childElementCount > 0;
  if (!isOpen && form.contains(document.activeElement)) $("messages").focus({ preventScroll: true });
  if (!isOpen) form.replaceChildren();
  else setText(form.children[2], isLast ? "" : "It is run in a copy of this chat, so that what came after it is kept.");
  text.hidden = isOpen;
  pencil.hidden = !can || isOpen;
  form.hidden = !isOpen;
  const draw = () => {
    drawEditor([text, pencil, form], { id, prompt, can, isLast, run, redraw });
    redraw();
  };
  const leave = (/** @type {HTMLElement} */ next) => {
    edited = null;
    draw();
    next.focus({ preventScroll: true });
  };
  pencil.onclick = () => {
    const { box, run: button, cancel } = fill(form, prompt);
    edited = id;
    cancel.onclick = () => leave(pencil);
    form.onsubmit = async (event) => {
      event.preventDefault();
      const changed = box.value.trim();
      if (!changed || button.disabled) return;
      button.disabled = true; // a copy may take its time
      const isPosted = await run(changed);
      button.disabled = false;
      if (isPosted) leave($("messages"));
    };
    draw();
    box.focus();
  };
}
