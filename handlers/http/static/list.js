// The list of chats: the newest, or those in which words are found, by days.

import { chatMenu } from "./doings.js";
import { $, keyed, made, setText } from "./dom.js";
import { menuButton } from "./menu.js";
import { askForBeginnings, isRunning, titleOf, watchRunning } from "./running.js";
import { isDeleted } from "./undo.js";
import { ago, groupOf } from "./when.js";

const PAGE_SIZE = 25;
const MOST_LISTED = 500;
const TYPING_MS = 250; // without another letter, before words are looked for
const MINUTE = 60_000;
const FAVOURITES = "Favourites";

let page = null, client = null;
let query = "", found = []; // the chats that have the words
let pages = 1, hasMore = false; // of what is shown
let timer = 0, isOld = true; // `isOld`: something but the list has changed since it was drawn

/** Have a list of the client's chats. `of` has the client, `show(id)`, `notify(error)` and `draw()`. */
export function listChats(of) {
  [page, client] = [of, of.client];
  client.on("state", (state) => {
    if (state !== "live" || query) return;
    pages = 1;
    hasMore = client.chats.getSnapshot().list.length >= PAGE_SIZE;
  });
  client.on("frame", ({ event, payload }) => {
    if (event === "deleteChats" && payload) found = found.filter((chat) => !payload.ids.includes(chat.id));
  });
  watchRunning(client, redraw);
  setInterval(redraw, MINUTE);
}

/** Draw it anew for another reason than what the client holds. */
export function redraw() {
  isOld = true;
  page.draw();
}

/** Draw it. `chosen` is the id of the chat that is shown. */
export function drawList(chosen) {
  const list = client?.chats.getSnapshot().list ?? [];
  if (!isOld && drawList.list === list && drawList.found === found && drawList.chosen === chosen) return;
  Object.assign(drawList, { list, found, chosen });
  isOld = false;
  const held = new Map(list.map((chat) => [chat.id, chat])), now = new Date();
  const shown = (query ? found.map((chat) => held.get(chat.id) ?? chat) : list).filter(({ id }) => !isDeleted(id)).sort(byTime);
  const words = query.split(/\s+/).filter(Boolean);
  let before = "";
  keyed($("chats"), shown, (chat) => chat.id, makeItem, (item, chat) => {
    const group = chat.is_favorited ? FAVOURITES : groupOf(new Date(chat.updated_at), now);
    drawItem(item, chat, now, words);
    setText(item.firstChild, group);
    item.firstChild.hidden = group === before;
    before = group;
    item.children[1].firstChild.ariaCurrent = String(chat.id === chosen);
  });
  $("more-chats").hidden = !hasMore || shown.length >= MOST_LISTED;
  setText($("found"), query && !shown.length ? "No chat has all of these words." : "");
  if (client) askForBeginnings(shown);
}

/** Favourites first, then the newest. */
function byTime(one, other) {
  const isNewer = Number(other.updated_at > one.updated_at) - Number(other.updated_at < one.updated_at);
  return Number(other.is_favorited) - Number(one.is_favorited) || isNewer;
}

/** A group's name, which the first of it shows, a link to the chat, and what can be done to it. */
function makeItem({ id }) {
  const when = made("small", {}, made("span"), made("time"));
  const lamp = made("span", { className: "lamp", ariaHidden: "true" });
  const state = made("span", { className: "running" }, lamp, made("span", { className: "hidden-label" }, "is being answered"));
  const link = made("a", { href: `#chat=${id}`, rel: "opener" }, made("span", { className: "text" }), state, when);
  link.addEventListener("click", (event) => follow(event, id));
  return made("li", {}, made("h2"), made("div", { className: "chat" }, link, menuButton("", () => chatMenu(id))));
}

/** A click that opens no other tab or window. */
function follow(event, id) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  page.show(id);
}

function drawItem(item, chat, now, words) {
  const [link, more] = item.children[1].children, [title, state, { firstChild: star, lastChild: time }] = link.children;
  const then = new Date(chat.updated_at), name = titleOf(client.chats.get(chat.id) ?? chat);
  mark(title, name, words);
  state.hidden = !isRunning(chat.id);
  setText(star, chat.is_favorited ? "★ " : "");
  setText(time, ago(then, now));
  if (time.dateTime !== chat.updated_at) Object.assign(time, { dateTime: chat.updated_at, title: then.toLocaleString() });
  more.ariaLabel = `More about “${name}”`;
}

/** Have this text in the node, with the words marked that were looked for. */
function mark(node, text, words) {
  const key = JSON.stringify([text, words]);
  if (node.key === key) return;
  node.key = key;
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pieces = escaped.length ? text.split(new RegExp(`(${escaped.join("|")})`, "giu")) : [text];
  node.replaceChildren(...pieces.map((piece, index) => (index % 2 ? made("mark", {}, piece) : piece)));
}

async function get(number) {
  const asked = query;
  try {
    const chats = await client.chats.list({ pageToken: number, pageSize: PAGE_SIZE, ...(asked && { query: asked }) });
    if (asked !== query) return; // other words are looked for by now
    found = asked ? [...(number ? found : []), ...chats] : [];
    [pages, hasMore] = [number + 1, chats.length === PAGE_SIZE];
  } catch (error) {
    page.notify(error);
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
