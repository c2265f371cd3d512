// What frames add up to: the chats and their list. Nothing that was given out changes: what does is copied first.

/** @import { ChatMessage, ChatWithMessages, Snapshot } from "./frames.js" */

const MOST_CHATS = 30; // that are held whole, besides those that are kept
const MOST_LISTED = 500;
const WHOLE = ["initializeChat", "complete", "getChat", "duplicateChat", "postThread"]; // events that bring a whole chat
const OWNER = ["created_by", "created_by_id", "created_by_name", "created_by_avatar"];
const LISTED = ["id", "title", "is_favorited", "created_at", "updated_at", ...OWNER]; // of a chat, in the list

/** The text of a message's answer. @param {ChatMessage} [message] */
export function textOf(message) {
  const parts = message?.response_message_ids.map((id) => message.response_messages[id]) ?? [];
  return parts.map((part) => (part?.type === "text" ? (part.message ?? "") : "")).join("");
}

/** Whether a message of the chat is being answered. */
export const isGrowing = (chat) => Object.values(chat.messages).some((message) => !message.is_completed);

const withMessage = (chat, message) => ({ ...chat, messages: { ...chat.messages, [message.id]: message } });

/** A message after one more frame of one of its parts. */
function grown(message, kind, part) {
  const ids = `${kind}_message_ids`, parts = `${kind}_messages`, more = merged(message[parts][part.id], part);
  return { ...message, [ids]: [...new Set([...message[ids], part.id])], [parts]: { ...message[parts], [part.id]: more } };
}

function merged(old, part) {
  const message = part.message ?? (old?.message ?? "") + (part.message_chunk ?? ""), files = { ...old?.files };
  if (part.type === "text") return { ...part, message, message_chunk: null };
  if (part.type !== "files") return part;
  for (const [id, { file, ...rest }] of Object.entries(part.files)) {
    const text = file.text ?? (files[id]?.file.text ?? "") + (file.text_chunk ?? "");
    files[id] = { ...rest, file: { ...file, text, text_chunk: null } };
  }
  return { ...part, file_ids: [...new Set([...part.file_ids, ...Object.keys(files)])], files };
}

export class Fold {
  /** @type {Snapshot} */ snapshot = { list: [], chats: {} };
  stale = new Set(); // chats of which pieces are missing, until they come whole

  /** `keeps(id)`: whether a chat must not be let go. */
  constructor(keeps) { this.keeps = keeps; }

  get = (id) => (Object.hasOwn(this.snapshot.chats, id) ? this.snapshot.chats[id] : undefined);
  isTrue = (id) => this.get(id) !== undefined && !this.stale.has(id); // held as it stands

  /** Take a frame; not `isOrdered`, if it may have the pieces that follow, or may be older than what is held. */
  take({ event, payload }, isOrdered = true) {
    const id = payload.chat_id ?? payload.id, chat = this.get(id), message = chat?.messages[payload.message_id];
    const { title, title_chunk, is_favorited, updated_at, feedback, reasoning, response_message: response } = payload;
    const isHeld = ({ id, updated_at }) => this.snapshot.list.some((item) => item.id === id && item.updated_at >= updated_at);
    if (WHOLE.includes(event)) this.#hold(payload, isOrdered);
    else if (event === "getChatsList") this.#list(isOrdered ? payload : payload.filter((item) => !isHeld(item)));
    else if (event === "updateChat") {
      if (chat) this.#set(id, { ...chat, title, is_favorited, updated_at });
      this.#list([payload]);
    } else if (event === "updateMessage" && message) this.#set(id, withMessage(chat, { ...message, feedback }));
    else if (!this.isTrue(id) || !event.startsWith("generating") || message?.is_completed) return;
    else if (!message) this.doubt((each) => each.id === id);
    else if (reasoning) this.#set(id, withMessage(chat, grown(message, "reasoning", reasoning)));
    else if (response) this.#set(id, withMessage(chat, grown(message, "response", response)));
    else if (event === "generatingTitle") {
      this.#set(id, { ...chat, title: title ?? chat.title + (title_chunk ?? "") });
      this.#list([this.get(id)]);
    }
  }

  /** The chat is gone. */
  forget(id) {
    this.#set(id);
    this.snapshot = { ...this.snapshot, list: this.snapshot.list.filter((item) => item.id !== id) };
  }

  /** Frames are missing: such chats may not be held as they stand. Without a test, nor may any, nor the list. */
  doubt(isSuch) {
    const chats = Object.values(this.snapshot.chats).filter(isSuch ?? (() => true));
    for (const { id } of chats) this.keeps(id) ? this.stale.add(id) : this.#set(id);
    if (!isSuch) this.snapshot = { ...this.snapshot, list: [] };
  }

  #hold(chat, isOrdered) {
    if (chat.message_ids.some((id) => !chat.messages[id])) return; // only a part of it was asked for
    this.#set(chat.id, chat);
    this.#list([chat]);
    this.stale[isOrdered || !isGrowing(chat) ? "delete" : "add"](chat.id);
    const spare = Object.keys(this.snapshot.chats).filter((id) => id !== chat.id && !this.keeps(id));
    for (const id of spare.slice(0, Math.max(0, spare.length + 1 - MOST_CHATS))) this.#set(id);
  }

  /** Have this chat as the latest of those that are held; without `chat`: no more. */
  #set(id, chat) {
    const { [id]: _, ...others } = this.snapshot.chats;
    if (!chat) this.stale.delete(id);
    this.snapshot = { ...this.snapshot, chats: chat ? { ...others, [id]: chat } : others };
  }

  /** List these, each a chat or its item: the newest first, as the server has it. */
  #list(chats) {
    const all = new Map(this.snapshot.list.map((item) => [item.id, item])), key = ({ created_at, id }) => created_at + id;
    for (const chat of chats) {
      const item = chat.messages ? Object.fromEntries(LISTED.map((name) => [name, chat[name]])) : chat;
      all.set(chat.id, { ...all.get(chat.id), ...item, last_edited: chat.updated_at });
    }
    const list = [...all.values()].sort((one, other) => (key(one) < key(other) ? 1 : -1)).slice(0, MOST_LISTED);
    this.snapshot = { ...this.snapshot, list };
  }
}
