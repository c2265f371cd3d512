// What frames add up to: the chats and their list. Nothing that was given out changes: what does is copied first.

/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {import("./frames.js").ChatWithMessages} Chat */
/** @typedef {import("./frames.js").ChatMessage} Message */
/** @typedef {import("./frames.js").ChatListItem} Item */
/** @typedef {{ readonly list: readonly Item[], readonly chats: { readonly [id: string]: Chat } }} Snapshot */

const MOST_CHATS = 30; // that are held whole, besides those that are kept
const MOST_LISTED = 500;
const OWNER = ["created_by", "created_by_id", "created_by_name", "created_by_avatar"];
const LISTED = ["id", "title", "is_favorited", "created_at", "updated_at", ...OWNER];

/** The text of a message's answer. @param {Message} [message] */
export function textOf(message) {
  const parts = message?.response_message_ids.map((id) => message.response_messages[id]) ?? [];
  return parts.map((part) => (part?.type === "text" ? (part.message ?? "") : "")).join("");
}

/** A part of a message after one more frame of it. @param {any} old @param {any} part */
function merged(old, part) {
  const message = part.message ?? (old?.message ?? "") + (part.message_chunk ?? "");
  if (part.type === "text") return { ...part, message, message_chunk: null };
  if (part.type !== "files") return part;
  const files = { ...old?.files };
  for (const [id, { file, ...rest }] of Object.entries(part.files)) {
    const text = file.text ?? (files[id]?.file.text ?? "") + (file.text_chunk ?? "");
    files[id] = { ...rest, file: { ...file, text, text_chunk: null } };
  }
  return { ...part, file_ids: [...new Set([...part.file_ids, ...Object.keys(files)])], files };
}

export class Fold {
  /** @type {Snapshot} */ snapshot = { list: [], chats: {} };
  #stale = new Set(); // chats of which pieces are missing, until they come whole
  #titles = new Map(); // by chat: the pieces of a title that is being made

  /** @param {(id: string) => boolean} keeps whether a chat must not be let go */
  constructor(keeps) {
    this.keeps = keeps;
  }

  /** @param {string} id @returns {Chat | undefined} */
  get(id) {
    return Object.hasOwn(this.snapshot.chats, id) ? this.snapshot.chats[id] : undefined;
  }

  /** Whether the chat is held as it stands. @param {string} id */
  isTrue(id) {
    return this.get(id) !== undefined && !this.#stale.has(id);
  }

  /** Take a frame; not `isOrdered`, if it may have the pieces that follow. @param {any} frame @param {boolean} isOrdered */
  take({ event, payload }, isOrdered = true) {
    if (["initializeChat", "complete", "getChat", "duplicateChat"].includes(event)) this.#hold(payload, isOrdered);
    else if (event === "generatingTitle") this.#grow(payload, (chat) => this.#titled(chat, payload));
    else if (event === "generatingReasoningMessage") this.#add(payload, "reasoning", payload.reasoning);
    else if (event === "generatingResponseMessage") this.#add(payload, "response", payload.response_message);
    else if (event === "getChatsList") this.#list(...payload);
    else if (event === "deleteChats") for (const id of payload.ids) this.forget(id);
    else if (event === "updateChat") {
      const chat = this.get(payload.id), { title, is_favorited, updated_at } = payload;
      if (chat) this.#set({ ...chat, title, is_favorited, updated_at });
      this.#list(payload);
    } else if (event === "updateMessage") {
      const chat = this.get(payload.chat_id), message = chat?.messages[payload.message_id];
      if (chat && message) this.#set(withMessage(chat, { ...message, feedback: payload.feedback }));
    }
  }

  /** The chat is gone. @param {string} id */
  forget(id) {
    this.#drop(id);
    this.snapshot = { ...this.snapshot, list: this.snapshot.list.filter((item) => item.id !== id) };
  }

  /** Frames are missing: what is held, and listed, may not be how it stands; or only what is being answered. */
  doubt(isUnfinished = false) {
    for (const { id, messages } of Object.values(this.snapshot.chats)) {
      if (!isUnfinished || Object.values(messages).some((each) => !each.is_completed)) this.#suspect(id);
    }
    if (!isUnfinished) this.snapshot = { ...this.snapshot, list: [] };
  }

  /** @param {string} id */
  #suspect(id) {
    if (this.keeps(id)) this.#stale.add(id);
    else this.#drop(id);
  }

  /** @param {Chat} chat @param {boolean} isOrdered */
  #hold(chat, isOrdered) {
    const messages = { ...this.get(chat.id)?.messages, ...chat.messages };
    if (chat.message_ids.some((id) => !messages[id])) return; // a part of a chat that is not held
    const isWhole = isOrdered || chat.message_ids.every((id) => messages[id].is_completed);
    this.#stale[isWhole ? "delete" : "add"](chat.id);
    this.#titles.delete(chat.id);
    if (!chat.title) this.#titles.set(chat.id, "");
    this.#set({ ...chat, messages: Object.fromEntries(chat.message_ids.map((id) => [id, messages[id]])) });
    this.#list(chat);
    const spare = Object.keys(this.snapshot.chats).filter((id) => id !== chat.id && !this.keeps(id));
    for (const id of spare.slice(0, Math.max(0, spare.length + 1 - MOST_CHATS))) this.#drop(id);
  }

  /** Have the chat as the latest of those that are held. @param {Chat} chat */
  #set(chat) {
    const { [chat.id]: _, ...others } = this.snapshot.chats;
    this.snapshot = { ...this.snapshot, chats: { ...others, [chat.id]: chat } };
  }

  /** @param {string} id */
  #drop(id) {
    const { [id]: _, ...chats } = this.snapshot.chats;
    this.#stale.delete(id);
    this.#titles.delete(id);
    this.snapshot = { ...this.snapshot, chats };
  }

  /** The newest first, as the server has it. @param {any[]} chats */
  #list(...chats) {
    const all = new Map(this.snapshot.list.map((item) => [item.id, item]));
    for (const chat of chats) {
      const item = chat.messages ? Object.fromEntries(LISTED.map((key) => [key, chat[key]])) : chat;
      all.set(chat.id, { ...all.get(chat.id), ...item, last_edited: chat.updated_at });
    }
    const key = (/** @type {Item} */ { created_at, id }) => created_at + id;
    const list = [...all.values()].sort((one, other) => (key(one) < key(other) ? 1 : -1));
    this.snapshot = { ...this.snapshot, list: list.slice(0, MOST_LISTED) };
  }

  /** @param {Chat} chat @param {any} payload @returns {Chat} */
  #titled(chat, { title, title_chunk }) {
    const before = this.#titles.get(chat.id);
    if (before === undefined && title === null) return chat; // its beginning is not known
    this.#titles.set(chat.id, title ?? before + (title_chunk ?? ""));
    return { ...chat, title: this.#titles.get(chat.id) };
  }

  /** @param {any} payload @param {"reasoning" | "response"} kind @param {any} part */
  #add(payload, kind, part) {
    this.#grow(payload, (chat, message) => {
      const ids = message[`${kind}_message_ids`], parts = message[`${kind}_messages`], isOld = Object.hasOwn(parts, part.id);
      const more = { ...parts, [part.id]: merged(parts[part.id], part) }, all = isOld ? ids : [...ids, part.id];
      return withMessage(chat, { ...message, [`${kind}_message_ids`]: all, [`${kind}_messages`]: more });
    });
  }

  /** @param {any} payload @param {(chat: Chat, message: Message) => Chat} change */
  #grow({ chat_id, message_id }, change) {
    const chat = this.get(chat_id), message = chat?.messages[message_id];
    if (!chat || this.#stale.has(chat_id) || message?.is_completed) return;
    if (!message) return this.#suspect(chat_id);
    const after = change(chat, message);
    this.#set(after);
    if (after.title !== chat.title) this.#list(after);
  }
}

/** @param {Chat} chat @param {Message} message @returns {Chat} */
const withMessage = (chat, message) => ({ ...chat, messages: { ...chat.messages, [message.id]: message } });
