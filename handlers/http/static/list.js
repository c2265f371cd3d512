// The list of chats: the newest, or those in which words are found.

import { $, keyed, made, setText } from "./dom.js";

const PAGE_SIZE = 25;
const MOST_LISTED = 500;
const TYPING_MS = 250; // without another letter, before words are looked for

let client = null, show = () => {}, redraw = () => {}, notify = () => {};
let query = "", found = []; // the chats that have the words
let pages = 1, hasMore = false; // of what is shown
let timer = 0;

/** Have a list of the client's chats. `showChat(id)` is called when one is chosen, `notifyOf(error)` when they cannot be got. */
export function listChats(of, showChat, draw, notifyOf) {
  [client, show, redraw, notify] = [of, showChat, draw, notifyOf];
  client.on("state", (state) => {
    if (state !== "live" || query) return;
    pages = 1;
    hasMore = client.chats.getSnapshot().list.length >= PAGE_SIZE;
  });
  client.on("frame", ({ event, payload }) => {
    if (event === "deleteChats" && payload) found = found.filter((chat) => !payload.ids.includes(chat.id));
  });
}

/** Draw it. `chosen` is the id of the chat that is shown. */
export function drawList(chosen) {
  const list = client?.chats.getSnapshot().list ?? [];
  if (drawList.list === list && drawList.found === found && drawList.chosen === chosen) return;
  Object.assign(drawList, { list, found, chosen });
  const held = new Map(list.map((chat) => [chat.id, chat]));
  const shown = query ? found.map((chat) => held.get(chat.id) ?? chat) : list;
  keyed($("chats"), shown, (chat) => chat.id, makeItem, ({ firstChild: button }, chat) => {
    setText(button.firstChild, chat.title || "untitled");
    setText(button.lastChild, `${chat.is_favorited ? "★ " : ""}${new Date(chat.updated_at).toLocaleString()}`);
    button.ariaCurrent = String(chat.id === chosen);
  });
  $("more-chats").hidden = !hasMore || shown.length >= MOST_LISTED;
  setText($("found"), query && !shown.length ? "No chat has all of these words." : "");
}

function makeItem({ id }) {
  const button = made("button", { type: "button", onclick: () => show(id) }, made("span", { className: "text" }), made("small"));
  return made("li", {}, button);
}

async function get(page) {
  const asked = query;
  try {
    const chats = await client.chats.list({ pageToken: page, pageSize: PAGE_SIZE, ...(asked && { query: asked }) });
    if (asked !== query) return; // other words are looked for by now
    found = asked ? [...(page ? found : []), ...chats] : [];
    [pages, hasMore] = [page + 1, chats.length === PAGE_SIZE];
  } catch (error) {
    notify(error);
  }
  redraw();
}

$("more-chats").addEventListener("click", () => get(pages));
$("search").addEventListener("input", ({ target }) => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    query = target.value.trim();
    if (client) get(0);
  }, TYPING_MS);
});
