// Deleting a chat: it goes at once, and a person has some time to have it back before the server is asked.

import { $, made } from "./dom.js";
import { tab } from "./kept.js";
import { sentence } from "./words.js";

const UNDO_MS = 7000;

let page = null;
const deleted = new Map(); // by chat id: what was deleted here and is not to be seen, also once the server has done it

/** Have chats deleted. `page` has the client, `say(text)`, `show(id)` and `redrawList()`. */
export function haveUndo(of) {
  page = of;
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => document.hidden && leave()); // on a phone nothing else may come
}

/** Whether the chat was deleted here. */
export const isDeleted = (id) => deleted.has(id);

/** Delete the chat when the time to undo that is over, or when the page is left. */
export function deleteSoon(id, title) {
  if (deleted.has(id)) return;
  const undo = made("button", { type: "button", onclick: () => bringBack(id, true) }, "Undo");
  const note = made("p", {}, made("span", { className: "text" }, `Deleted “${title}”.`), undo);
  const wasShown = page.view.chat === id, token = tab.getItem("token");
  deleted.set(id, { id, title, note, token, wasShown, isDone: false, timer: setTimeout(() => ask(id), UNDO_MS) });
  if (wasShown) page.show(null);
  $("undo").append(note);
  undo.focus(); // what had it goes
  page.redrawList();
}

function dismiss({ note, timer }) {
  clearTimeout(timer);
  if (note.contains(document.activeElement)) $("new-chat").focus();
  note.remove();
}

function bringBack(id, isWanted) {
  const chat = deleted.get(id);
  deleted.delete(id);
  dismiss(chat);
  if (isWanted && chat.wasShown) page.show(id);
  page.redrawList();
}

function refused({ id, title }, error) {
  if (!deleted.has(id)) return;
  bringBack(id, false);
  page.say(`“${title}” is still here. ${error.code === "NOT_FOUND" ? "Only its owner may delete it." : sentence(error)}`);
}

function ask(id) {
  const chat = deleted.get(id);
  dismiss(chat);
  page.client.chats.delete([id]).then(() => { chat.isDone = true; }, (error) => refused(chat, error));
}

/** Nobody can undo it any more: ask over HTTP, which goes on when the page is gone, with the token of who deleted it. */
function leave() {
  for (const chat of [...deleted.values()].filter(({ isDone }) => !isDone)) {
    chat.isDone = true;
    dismiss(chat);
    const headers = { authorization: `Bearer ${chat.token}`, "content-type": "application/json" };
    fetch("api/v1/chats", { method: "DELETE", keepalive: true, headers, body: JSON.stringify({ ids: [chat.id] }) })
      .then(async (response) => response.ok || Promise.reject(await response.json()))
      .catch((error) => refused(chat, error));
  }
}
