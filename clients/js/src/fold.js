// What frames add up to: the chats and their list. Nothing that was given out changes: what does is copied first.

/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {import("./frames.js").ChatWithMessages} Chat */
/** @typedef {import("./frames.js").ChatMessage} Message */
/** @typedef {import("./frames.js").ChatListItem} Item */
/** @typedef {{ readonly list: readonly Item[], readonly chats: { readonly [id: string]: Chat } }} Snapshot */

const MOST_CHATS = 30; // that are held whole, besides those that are kept
const MOST_LISTED = 500;
const MOST_GONE = 1000; // deleted chats that an answer from before shall not bring back
const EMPTY = Object.freeze({ list: Object.freeze([]), chats: Object.freeze({}) });
const ITEM = ["id", "title", "is_favorited", "created_at", "updated_at", "created_by", "created_by_id", "created_by_name", "created_by_avatar"];

/** The text of a message's answer. @param {Message} [message] */
export function textOf(message) {
  const parts = message?.response_message_ids.map((id) => message.response_messages[id]) ?? [];
  return parts.map((part) => (part?.type === "text" ? (part.message ?? "") : "")).join("");
}

/** A part of a message after one more frame of it. @param {any} old @param {any} part */
function merged(old, part) {
  const text = (/** @type {any} */ whole, /** @type {any} */ chunk, /** @type {any} */ before) => whole ?? (before ?? "") + (chunk ?? "");
  if (part.type === "text") return { ...part, message: text(part.message, part.message_chunk, old?.message), message_chunk: null };
  if (part.type !== "files") return part;
  const files = { ...old?.files };
  for (const [id, { file, ...rest }] of Object.entries(part.files)) {
    files[id] = { ...rest, file: { ...file, text: text(file.text, file.text_chunk, files[id]?.file.text), text_chunk: null } };
  }
  return { ...part, file_ids: [...new Set([...part.file_ids, ...Object.keys(files)])], files };
}

/** Whether the part says all that came before it. @param {any} part */
function isWhole(part) {
  const files = part.type === "files" ? Object.values(part.files) : [];
  return part.type === "text" ? part.message !== null : files.every(({ file }) => file.text !== null);
}

export class Fold {
  /** @type {Snapshot} */ snapshot = EMPTY;
  #stale = new Set(); // chats of which pieces are missing, until they come whole
  #frozen = new Set(); // unfinished messages that came in no order with their pieces, which so cannot be appended
  #gone = new Set(); // chats that were deleted
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

  /** Whether a message of the chat is growing here, piece by piece. @param {string} id */
  isGrowing(id) {
    const messages = Object.values(this.get(id)?.messages ?? {});
    return this.isTrue(id) && messages.some((message) => !message.is_completed && !this.#frozen.has(message.id));
  }

  /**
   * Take a frame. Returns the id of a chat that has to be got before the frame can be understood, if there is one.
   * @param {Frame} frame @param {boolean} isOrdered whether it came in order with all others @returns {string | null}
   */
  take(frame, isOrdered = true) {
    const payload = /** @type {any} */ (frame.payload);
    switch (frame.event) {
      case "initializeChat": case "complete": case "getChat": case "duplicateChat":
        return this.#hold(payload, isOrdered);
      case "generatingTitle":
        return this.#grow(payload, true, (chat) => {
          const pieces = this.#titles.get(chat.id), title = payload.title ?? (pieces ?? "") + (payload.title_chunk ?? "");
          if (payload.title === null && pieces === undefined) return chat; // its beginning is not known
          this.#titles.set(chat.id, title);
          return { ...chat, title };
        });
      case "generatingReasoningMessage": return this.#add(payload, "reasoning", payload.reasoning);
      case "generatingResponseMessage": return this.#add(payload, "response", payload.response_message);
      case "getChatsList": this.#list(payload); break;
      case "updateChat": {
        const chat = this.get(payload.id), { title, is_favorited, updated_at } = payload;
        if (chat) this.#set({ ...chat, title, is_favorited, updated_at });
        this.#list([payload]);
        break;
      }
      case "updateMessage": {
        const chat = this.get(payload.chat_id), message = chat?.messages[payload.message_id];
        if (chat && message) this.#set(withMessage(chat, { ...message, feedback: payload.feedback }));
        break;
      }
      case "deleteChats":
        for (const id of payload.ids) this.forget(id);
    }
    return null;
  }

  /** The chat is gone. @param {string} id */
  forget(id) {
    this.#gone.add(id);
    if (this.#gone.size > MOST_GONE) this.#gone.delete(this.#gone.values().next().value);
    this.#drop(id);
    this.snapshot = { ...this.snapshot, list: this.snapshot.list.filter((item) => item.id !== id) };
  }

  /** Frames are missing, of this chat or of any: what is held may not be how it stands. @param {string} [only] */
  doubt(only) {
    for (const id of only ? [only] : Object.keys(this.snapshot.chats)) {
      if (this.keeps(id)) this.#stale.add(id);
      else this.#drop(id);
    }
    if (!only) this.snapshot = { ...this.snapshot, list: [] };
  }

  /** @param {Chat} chat @param {boolean} isOrdered */
  #hold(chat, isOrdered) {
    const before = this.get(chat.id), messages = { ...before?.messages, ...chat.messages };
    if (this.#gone.has(chat.id)) return null;
    if (chat.message_ids.some((id) => !messages[id])) return chat.id; // a part of a chat that is not held
    this.#stale.delete(chat.id);
    this.#titles.delete(chat.id);
    if (isOrdered && !chat.title) this.#titles.set(chat.id, "");
    for (const message of Object.values(chat.messages)) {
      if (isOrdered || message.is_completed) this.#frozen.delete(message.id);
      else this.#frozen.add(message.id);
    }
    this.#set({ ...chat, messages: Object.fromEntries(chat.message_ids.map((id) => [id, messages[id]])) });
    this.#list([chat]);
    const spare = Object.keys(this.snapshot.chats).filter((id) => id !== chat.id && !this.keeps(id));
    for (const id of spare.slice(0, Math.max(0, spare.length + 1 - MOST_CHATS))) this.#drop(id);
    return null;
  }

  /** Have the chat as the latest of those that are held. @param {Chat} chat */
  #set(chat) {
    const { [chat.id]: _, ...others } = this.snapshot.chats;
    this.snapshot = { ...this.snapshot, chats: { ...others, [chat.id]: chat } };
  }

  /** @param {string} id */
  #drop(id) {
    const { [id]: chat, ...chats } = this.snapshot.chats;
    for (const message of Object.keys(chat?.messages ?? {})) this.#frozen.delete(message);
    this.#stale.delete(id);
    this.#titles.delete(id);
    this.snapshot = { ...this.snapshot, chats };
  }

  /** @param {readonly any[]} chats */
  #list(chats) {
    const all = new Map(this.snapshot.list.map((item) => [item.id, item]));
    for (const chat of chats) {
      const before = all.get(chat.id), item = "messages" in chat ? Object.fromEntries(ITEM.map((key) => [key, chat[key]])) : chat;
      if (!this.#gone.has(chat.id)) all.set(chat.id, { last_edited: chat.updated_at, ...before, ...item });
    }
    const list = [...all.values()].sort((one, other) => (one.updated_at < other.updated_at ? 1 : one.updated_at > other.updated_at ? -1 : 0));
    this.snapshot = { ...this.snapshot, list: list.slice(0, MOST_LISTED) };
  }

  /** @param {any} payload @param {"reasoning" | "response"} kind @param {any} part */
  #add(payload, kind, part) {
    return this.#grow(payload, isWhole(part), (chat, message) => {
      const ids = message[`${kind}_message_ids`], parts = message[`${kind}_messages`];
      return withMessage(chat, {
        ...message,
        [`${kind}_message_ids`]: Object.hasOwn(parts, part.id) ? ids : [...ids, part.id],
        [`${kind}_messages`]: { ...parts, [part.id]: merged(parts[part.id], part) },
      });
    });
  }

  /** @param {any} payload @param {boolean} isWhole @param {(chat: Chat, message: Message) => Chat} change */
  #grow({ chat_id, message_id }, isWhole, change) {
    const chat = this.get(chat_id), message = chat?.messages[message_id];
    if (!chat || !message || this.#stale.has(chat_id)) return chat_id;
    if (message.is_completed) return null; // its end came by another way
    if (!isWhole && this.#frozen.has(message_id)) return chat_id;
    const after = change(chat, message);
    if (after !== chat) this.#set(after);
    if (after.title !== chat.title) this.#list([after]);
    return null;
  }
}

/** @param {Chat} chat @param {Message} message @returns {Chat} */
const withMessage = (chat, message) => ({ ...chat, messages: { ...chat.messages, [message.id]: message } });
