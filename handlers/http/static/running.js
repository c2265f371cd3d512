// What is known of chats that are not open: whether they are being answered, and, for those without a title, their first words.

import { firstWords } from "./words.js";

const MOST_CHATS = 500;
const MOST_ASKED = 10; // at a time

const running = new Set(), beginnings = new Map(), asked = new Set(); // of chats, by their ids
let client = null, redraw = () => {};

/** Look on at what the client hears. `changed()` is called when there is something new. */
export function watchRunning(of, changed) {
  [client, redraw] = [of, changed];
  client.on("frame", hear);
  client.on("resumed", (recovered) => recovered || running.clear()); // an end may have been missed
}

export const isRunning = (id) => running.has(id);

/** What the chat is called: by its title, or until it has one by the words it began with. */
export const titleOf = (chat) => chat.title || beginnings.get(chat.id) || beginningOf(chat) || "Untitled";

function beginningOf({ message_ids: [first] = [], messages }) {
  return firstWords(messages?.[first]?.request_message?.request);
}

function hear({ event, payload, error }) {
  const id = payload?.chat_id ?? payload?.id, isPiece = event?.startsWith("generating");
  if (isPiece && running.has(id)) return; // there may be many
  if (error && event === "postThread") running.clear(); // the frame does not say whose end it is; those that go on say so again
  else if (isPiece) running.add(id);
  else if (payload?.messages) {
    const isAnswered = Object.values(payload.messages).every((message) => message.is_completed), words = beginningOf(payload);
    running[isAnswered ? "delete" : "add"](id);
    if (words) beginnings.set(id, words);
  } else return;
  for (const each of [running, beginnings]) if (each.size > MOST_CHATS) each.delete(each.keys().next().value);
  redraw();
}

/** Ask for the newest message of chats without a title: such a chat has but one, or few, and may be being answered. */
export function askForBeginnings(chats) {
  const unknown = chats.filter(({ id, title }) => !title && !asked.has(id) && !beginnings.has(id) && !client.chats.get(id));
  for (const { id } of client.state === "live" ? unknown.slice(0, MOST_ASKED) : []) {
    asked.add(id);
    client.request("/chats/get", { id, last: 1 }).catch(() => {}); // it stays untitled
  }
}
