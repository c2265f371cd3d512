// @ts-check
// The list of chats: the newest, or those in which words are found, by days.

import { chatMenu } from "./doings.js";
import { $, childrenOf, keyed, made, setText } from "./dom.js";
import { menuButton } from "./menu.js";
import { askForBeginnings, isRunning, titleOf, watchRunning } from "./running.js";
import { isDeleted } from "./undo.js";
import { ago, groupOf } from "./when.js";

const PAGE_SIZE = 25;
const MOST_LISTED = 500;
const TYPING_MS = 250; // without another letter, before words are looked for
const MINUTE = 60_000;
const FAVOURITES = "Favourites";

/**
 * @import { Connected } from "./console.js"
 * @import { ChatListItem } from "./frames.js"
 * @import { Heard } from "./running.js"
 */

/** @type {Connected} */
let page; // once there is a client
let query = "";
/** @type {ChatListItem[]} */
let found = []; // the chats that have the words
let pages = 1, hasMore = false; // of what is shown
/** @type {{ list?: readonly ChatListItem[], found?: ChatListItem[], chosen?: string | null }} */
let drawn = {};
let timer = 0, isOld = true; // `isOld`: something but the list has changed since it was drawn

/** Have a list of the client's chats. @param {Connected} of */
export function listChats(of) {
  const { client } = of, { chats } = client;
  page = of;
  client.on("state", (/** @type {string} */ state) => {
    if (state !== "live" || query) return;
    pages = 1;
    hasMore = chats.getSnapshot().list.length >= PAGE_SIZE;
  });
  client.on("frame", (/** @type {Heard} */ { event, payload }) => {
    if (event === "deleteChats" && payload) found = found.filter((chat) => !payload.ids?.includes(chat.id));
  });
  watchRunning(client, redraw);
  setInterval(redraw, MINUTE);
}

/** Draw it anew for another reason than what the client holds. */
export function redraw() {
  isOld = true;
  page.draw();
}

/** Draw it. @param {string | null} chosen the id of the chat that is shown */
export function drawList(chosen) {
  const list = page?.client.chats.getSnapshot().list ?? [];
  if (!isOld && drawn.list === list && drawn.found === found && drawn.chosen === chosen) return;
  drawn = { list, found, chosen };
  isOld = false;
  const held = new Map(list.map((chat) => [chat.id, chat])), now = new Date();
  const shown = (query ? found.map((chat) => held.get(chat.id) ?? chat) : list).filter(({ id }) => !isDeleted(id)).sort(byTime);
  const words = query.split(/\s+/).filter(Boolean);
  let before = "";
  keyed($("chats"), shown, (chat) => chat.id, makeItem, (item, chat) => {
    const group = chat.is_favorited ? FAVOURITES : groupOf(new Date(chat.updated_at), now);
    const [heading, { children: [link] }] = childrenOf(item);
    drawItem(item, chat, now, words);
    setText(heading, group);
    heading.hidden = group === before;
    before = group;
    link.ariaCurrent = String(chat.id === chosen);
  });
  $("more-chats").hidden = !hasMore || shown.length >= MOST_LISTED;
  setText($("found"), query && !shown.length ? "No chat has all of these words." : "");
  if (page) askForBeginnings(shown);
}

/** Favourites first, then the newest. @param {ChatListItem} one @param {ChatListItem} other */
function byTime(one, other) {
  const isNewer = Number(other.updated_at > one.updated_at) - Number(other.updated_at < one.updated_at);
  return Number(other.is_favorited) - Number(one.is_favorited) || isNewer;
}

/** A group's name, which the first of it shows, a link to the chat, and what can be done to it. @param {ChatListItem} chat */
function makeItem({ id }) {
  const when = made("small", {}, made("span"), made("time"));
  const lamp = made("span", { className: "lamp", ariaHidden: "true" });
  const state = made("span", { className: "running" }, lamp, made("span", { className: "hidden-label" }, "is being answered"));
  const link = made("a", { href: `#chat=${id}`, rel: "opener" }, made("span", { className: "text" }), state, when);
  link.addEventListener("click", (event) => follow(event, id));
  return made("li", {}, made("h2"), made("div", { className: "chat" }, link, menuButton("", () => chatMenu(id))));
}

/** A click that opens no other tab or window. @param {MouseEvent} event @param {string} id */
function follow(event, id) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  page.show(id);
}

/** @param {Element} item @param {ChatListItem} chat @param {Date} now @param {string[]} words */
function drawItem(item, chat, now, words) {
  const [link, more] = item.children[1].children, [title, state, when] = childrenOf(link), [star, last] = when.children;
  const time = /** @type {HTMLTimeElement} */ (last);
  const then = new Date(chat.updated_at), name = titleOf(page.client.chats.get(chat.id) ?? chat);
  mark(title, name, words);
  state.hidden = !isRunning(chat.id);
  setText(star, chat.is_favorited ? "★ " : "");
  setText(time, ago(then, now));
  if (time.dateTime !== chat.updated_at) Object.assign(time, { dateTime: chat.updated_at, title: then.toLocaleString() });
  more.ariaLabel = `More about “${name}”`;
}

/**
 * Have this text in the node, with the words marked that were looked for.
 * @param {HTMLElement & { key?: string }} node @param {string} text @param {string[]} words
 */
function mark(node, text, words) {
  const key = JSON.stringify([text, words]);
  if (node.key === key) return;
  node.key = key;
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const pieces = escaped.length ? text.split(new RegExp(`(${escaped.join("|")})`, "giu")) : [text];
  node.replaceChildren(...pieces.map((piece, index) => (index % 2 ? made("mark", {}, piece) : piece)));
}

/** @param {number} number of the page */
async function get(number) {
  const asked = query;
  try {
    const chats = await page.client.chats.list({ pageToken: number, pageSize: PAGE_SIZE, ...(asked && { query: asked }) });
    if (asked !== query) return; // other words are looked for by now
    found = asked ? [...(number ? found : []), ...chats] : [];
    [pages, hasMore] = [number + 1, chats.length === PAGE_SIZE];
  } catch (error) {
    page.notify(error);
  }
  redraw();
}

$("more-chats").addEventListener("click", () => get(pages));
$("search").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    query = $("search").value.trim();
    if (page) get(0);
  }, TYPING_MS);
});
