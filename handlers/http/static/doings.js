// What a person does to chats: begins one, and names, favours, copies, saves and deletes it.

import { $, setText } from "./dom.js";
import { save } from "./export.js";
import { menuButton } from "./menu.js";
import { titleOf } from "./running.js";
import { deleteSoon } from "./undo.js";

let page = null, renamed = null; // the id of the chat that is being named

/** Have the page's buttons and keys do what they say. */
export function haveDoings(of) {
  page = of;
  $("doings").append(menuButton("More about this chat", () => chatMenu(page.view.chat)));
}

/** Draw the title of the chat that is shown. */
export function drawTitle({ client, view }) {
  const chat = client?.chats.get(view.chat), title = chat ? titleOf(chat) : view.chat ? "…" : "New chat";
  setText($("title"), title);
  document.title = chat ? `${title} · Threadcast` : "Threadcast";
  $("doings").hidden = !chat;
  $("asset").disabled = Boolean(view.chat || view.post);
  $("asset").title = view.chat ? "a chat goes on about what it began with" : "";
}

/** The chat, or what the list has of it. */
function find(id) {
  const { chats } = page.client;
  return chats.get(id) ?? chats.getSnapshot().list.find((item) => item.id === id) ?? { id, title: "" };
}

/** What can be done to a chat: names, and what they do. */
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

const update = (id, change) => page.client.chats.update(id, change).catch(page.notify);

async function saveChat(id) {
  try {
    const chat = page.client.chats.get(id) ?? (await page.client.request("/chats/get", { id }));
    save(chat, titleOf(chat));
  } catch (error) {
    page.notify(error);
  }
}

function rename({ id, title }) {
  renamed = id;
  $("new-title").value = title;
  $("rename-dialog").returnValue = "";
  $("rename-dialog").showModal();
  $("new-title").select();
}

$("rename-cancel").addEventListener("click", () => $("rename-dialog").close());
$("rename-dialog").addEventListener("close", ({ target: { returnValue } }) => {
  const title = $("new-title").value.trim();
  if (returnValue === "rename" && title) update(renamed, { title });
});

addEventListener("keydown", (event) => {
  const isElsewhere = event.isComposing || $("inspector").contains(event.target) || document.querySelector("dialog[open]");
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
