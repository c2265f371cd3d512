// @ts-check
// What is known of chats that are not open: whether they are being answered, and, for those without a title, their first words.

import { firstWords } from "./words.js";

const MOST_CHATS = 500;
const MOST_ASKED = 10; // at a time

/**
 * @import { ChatListItem, ChatWithMessages, DeletedChats, GeneratingReasoningMessage } from "./frames.js"
 * @import { GeneratingResponseMessage, GeneratingTitle, WsError } from "./frames.js"
 * @import { Threadcast } from "./threadcast.js"
 * @typedef {ChatWithMessages & GeneratingReasoningMessage & GeneratingResponseMessage & GeneratingTitle & DeletedChats} All
 * @typedef {{ route: string, event: string, payload: Partial<All> | null, error: WsError | null, request_id?: string }} Heard
 * @typedef {Partial<ChatWithMessages> & { id: string, title: string }} Titled a chat, or what is known of it
 */

/** @type {Set<string>} */ const running = new Set(); // chats, by their ids
/** @type {Set<string>} */ const asked = new Set();
/** @type {Map<string, string>} */ const beginnings = new Map();
/** @type {Threadcast} */ let client;
let redraw = () => {};

/** Look on at what the client hears. @param {Threadcast} of @param {() => void} changed there is something new */
export function watchRunning(of, changed) {
  [client, redraw] = [of, changed];
  client.on("frame", hear);
  client.on("resumed", (/** @type {boolean} */ recovered) => recovered || running.clear()); // an end may have been missed
}

/** @param {string} id */
export const isRunning = (id) => running.has(id);

/** What the chat is called: by its title, or until it has one by the words it began with. @param {Titled} chat */
export const titleOf = (chat) => chat.title || beginnings.get(chat.id) || beginningOf(chat) || "Untitled";

/** @param {Partial<ChatWithMessages>} chat */
function beginningOf({ message_ids, messages }) {
  return firstWords(messages?.[message_ids?.[0] ?? ""]?.request_message?.request);
}

/** @param {Heard} frame */
function hear({ event, payload, error }) {
  const id = payload?.chat_id ?? payload?.id ?? "", isPiece = event.startsWith("generating");
  if (isPiece && running.has(id)) return; // there may be many
  if (error && event === "postThread") running.clear(); // the frame does not say whose end it is; those that go on say so again
  else if (isPiece) running.add(id);
  else if (payload?.messages) {
    const isAnswered = Object.values(payload.messages).every((message) => message.is_completed), words = beginningOf(payload);
    running[isAnswered ? "delete" : "add"](id);
    if (words) beginnings.set(id, words);
  } else return;
  for (const each of [running, beginnings]) {
    const [oldest] = each.keys();
    if (each.size > MOST_CHATS) each.delete(oldest);
  }
  redraw();
}

/**
 * Ask for the newest message of chats without a title: such a chat has but one, or few, and may be being answered.
 * @param {ChatListItem[]} chats
 */
export function askForBeginnings(chats) {
  const unknown = chats.filter(({ id, title }) => !title && !asked.has(id) && !beginnings.has(id) && !client.chats.get(id));
  for (const { id } of client.state === "live" ? unknown.slice(0, MOST_ASKED) : []) {
    asked.add(id);
    client.request("/chats/get", { id, last: 1 }).catch(() => {}); // it stays untitled
  }
}
