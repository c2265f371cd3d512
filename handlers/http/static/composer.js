// @ts-check
// Where a person writes: the prompt, what it is about, and how long it may be.

import { $, setText } from "./dom.js";
import { draftOf, keepDraft } from "./waiting.js";
import { lengthOf } from "./words.js";

/** @import { Page } from "./console.js" */

/** @type {Page} */
let page;
let chat = /** @type {string | null} */ (null); // the one whose prompt is in the box

/** Have the page's composer do what it says. @param {Page} of */
export function haveComposer(of) {
  page = of;
}

/** Have the prompt of this chat in the box, and keep that of the one before. @param {string | null} id */
export function compose(id) {
  if (id === chat) return;
  keepDraft(chat, $("prompt").value);
  chat = id;
  write(draftOf(id));
}

/** What was kept is known by now. */
export function restoreDraft() {
  if (!$("prompt").value) write(draftOf(chat));
}

/** Have what is in the box as that of a chat which has just begun with what was posted. @param {string} id */
export function composeOn(id) {
  keepDraft(chat, "");
  chat = id;
  keepDraft(chat, $("prompt").value);
}

/** Have this text in the box. @param {string} text */
export function write(text) {
  $("prompt").value = text;
  $("prompt").dispatchEvent(new Event("input")); // whoever looks at the box sees it
}

/**
 * Say in `note` how long a text is where that matters. Gives whether it is too long.
 * @param {string} text @param {HTMLElement} note
 */
export function drawLength(text, note) {
  const { count, tooLong } = lengthOf(text);
  note.hidden = !count;
  setText(note.children[0], count);
  setText(note.children[1], tooLong && ` ${tooLong}`);
  return Boolean(tooLong);
}

/** Have Enter send the form of a box; with Shift it begins a line. @param {HTMLTextAreaElement} box */
export function sendsByEnter(box) {
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    box.form?.requestSubmit();
  });
}

$("prompt").addEventListener("input", () => {
  const { value } = $("prompt");
  $("send").disabled = drawLength(value, $("length"));
  keepDraft(chat, value);
});

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = $("prompt").value.trim(), chatId = page.view.chat, chosen = chatId ? "" : $("asset").value;
  const [type, id] = (chosen === "other" ? $("other-asset").value.trim() : chosen).split(":");
  page.say("");
  if ($("send").disabled) return;
  if (!prompt && !type) return page.say("Type a prompt, or pick an asset.");
  if (chosen && !id) return page.say("An asset is a type and an id, such as metric:33333333-…");
  const about = type ? { asset: { type, id } } : chatId ? { chatId } : {};
  if (page.post({ ...about, ...(prompt && { prompt }) }, prompt || `Open ${$("asset").selectedOptions[0].textContent}`)) {
    write("");
    $("asset").value = "";
    $("other-asset").hidden = true;
  }
});
sendsByEnter($("prompt"));
$("asset").addEventListener("change", () => { $("other-asset").hidden = $("asset").value !== "other"; });
