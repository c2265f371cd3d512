// @ts-check
// Deleting a chat: it goes at once, and a person has some time to have it back before the server is asked.

import { $, made } from "./dom.js";
import { tab } from "./kept.js";
import { sentence } from "./words.js";

const UNDO_MS = 7000;

/**
 * @import { Connected, Page } from "./console.js"
 * @import { Refusal } from "./words.js"
 * @typedef {{ id: string, title: string, note: HTMLElement, token: string | null, wasShown: boolean, isDone: boolean,
 *   timer: number }} Deleted
 */

/** @type {Connected} */
let page;
/** @type {Map<string, Deleted>} by chat id: what was deleted here and is not to be seen, also once the server has done it */
const deleted = new Map();

/** Have chats deleted. @param {Page} of */
export function haveUndo(of) {
  page = /** @type {Connected} */ (of); // nothing can be deleted before there is a client
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => document.hidden && leave()); // on a phone nothing else may come
}

/** Whether the chat was deleted here. @param {string} id */
export const isDeleted = (id) => deleted.has(id);

/** Delete the chat when the time to undo that is over, or when the page is left. @param {string} id @param {string} title */
export function deleteSoon(id, title) {
  if (deleted.has(id)) return;
  const undo = made("button", { type: "button", onclick: () => bringBack(chat, true) }, "Undo");
  const note = made("p", {}, made("span", { className: "text" }, `Deleted “${title}”.`), undo);
  const wasShown = page.view.chat === id, token = tab.getItem("token");
  const chat = { id, title, note, token, wasShown, isDone: false, timer: setTimeout(() => ask(chat), UNDO_MS) };
  deleted.set(id, chat);
  if (wasShown) page.show(null);
  $("undo").append(note);
  undo.focus(); // what had it goes
  page.redrawList();
}

/** @param {Deleted} chat */
function dismiss({ note, timer }) {
  clearTimeout(timer);
  if (note.contains(document.activeElement)) $("new-chat").focus();
  note.remove();
}

/** @param {Deleted} chat @param {boolean} isWanted */
function bringBack(chat, isWanted) {
  deleted.delete(chat.id);
  dismiss(chat);
  if (isWanted && chat.wasShown) page.show(chat.id);
  page.redrawList();
}

/** @param {Deleted} chat @param {Refusal} error */
function refused(chat, error) {
  if (!deleted.has(chat.id)) return;
  bringBack(chat, false);
  const why = error.code === "NOT_FOUND" ? "Only its owner may delete it." : sentence(error);
  page.say(`“${chat.title}” is still here. ${why}`);
}

/** @param {Deleted} chat */
function ask(chat) {
  dismiss(chat);
  page.client.chats.delete([chat.id]).then(() => { chat.isDone = true; }, (error) => refused(chat, error));
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
