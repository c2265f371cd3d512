// @ts-check
// What a person does to chats: begins one, and names, favours, copies, saves and deletes it.

import { $, setText } from "./dom.js";
import { save } from "./export.js";
import { menuButton } from "./menu.js";
import { titleOf } from "./running.js";
import { deleteSoon } from "./undo.js";

/**
 * @import { Connected, Page } from "./console.js"
 * @import { Items } from "./menu.js"
 * @import { Titled } from "./running.js"
 */

/** @type {Connected} */
let page;
let renamed = ""; // the id of the chat that is being named

/** Have the page's buttons and keys do what they say. @param {Page} of */
export function haveDoings(of) {
  page = /** @type {Connected} */ (of); // there is no chat before there is a client
  $("doings").append(menuButton("More about this chat", () => chatMenu(page.view.chat ?? "")));
}

/** Draw the title of the chat that is shown. @param {Page} page */
export function drawTitle({ client, view }) {
  const chat = client?.chats.get(view.chat ?? ""), title = chat ? titleOf(chat) : view.chat ? "…" : "New chat";
  setText($("title"), title);
  document.title = chat ? `${title} · Threadcast` : "Threadcast";
  $("doings").hidden = !chat;
  $("asset").disabled = Boolean(view.chat || view.post);
  $("asset").title = view.chat ? "a chat goes on about what it began with" : "";
}

/** The chat, or what the list has of it. @param {string} id @returns {Titled} */
function find(id) {
  const { chats } = page.client;
  return chats.get(id) ?? chats.getSnapshot().list.find((item) => item.id === id) ?? { id, title: "" };
}

/** What can be done to a chat: names, and what they do. @param {string} id @returns {Items} */
export function chatMenu(id) {
  const chat = find(id), { chats } = page.client, isFavorited = Boolean(chat.is_favorited);
  return [
    ["Rename", () => rename(chat)],
    [isFavorited ? "Remove from favourites" : "Add to favourites", () => update(id, { isFavorited: !isFavorited })],
    ["Make a copy", () => chats.duplicate(id).then((copy) => page.show(copy.id)).catch(page.notify)],
    ["Save as Markdown", () => saveChat(id)],
    ["Delete", () => deleteSoon(id, titleOf(chat))],
  ];
}

/** @param {string} id @param {{ title?: string, isFavorited?: boolean }} change */
const update = (id, change) => page.client.chats.update(id, change).catch(page.notify);

/** @param {string} id */
async function saveChat(id) {
  try {
    const chat = page.client.chats.get(id) ?? (await page.client.request("/chats/get", { id }));
    save(chat, titleOf(chat));
  } catch (error) {
    page.notify(error);
  }
}

/** @param {Titled} chat */
function rename({ id, title }) {
  renamed = id;
  $("new-title").value = title;
  $("rename-dialog").returnValue = "";
  $("rename-dialog").showModal();
  $("new-title").select();
}

$("rename-cancel").addEventListener("click", () => $("rename-dialog").close());
$("rename-dialog").addEventListener("close", () => {
  const title = $("new-title").value.trim();
  if ($("rename-dialog").returnValue === "rename" && title) update(renamed, { title });
});

addEventListener("keydown", (event) => {
  const isInspected = $("inspector").contains(/** @type {Node | null} */ (event.target));
  const isElsewhere = event.isComposing || isInspected || document.querySelector("dialog[open]");
  if (event.key === "Escape" && !$("stop").hidden && !isElsewhere) $("stop").click();
  if (event.altKey && event.key.toLowerCase() === "n") {
    event.preventDefault();
    $("new-chat").click();
  }
});
$("new-chat").addEventListener("click", () => {
  page.show(null);
  $("prompt").focus();
});
