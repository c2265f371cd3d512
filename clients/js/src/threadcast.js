// A client of Threadcast: posts, answers and chats over a connection that comes back by itself. See README.md.

import { Fold, textOf } from "./fold.js";
import { EventsLine, SocketLine } from "./line.js";

/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {import("./frames.js").ChatWithMessages} Chat */
/** @typedef {import("./frames.js").ChatMessage} Message */
/** @typedef {"connecting" | "waiting" | "live" | "draining" | "refused" | "closed"} State */
/** @typedef {string | (() => string | Promise<string>)} Token */
/**
 * @typedef {object} Post
 * @property {string} [prompt]
 * @property {{ type: string, id: string }} [asset] what a new chat is about
 * @property {string} [chatId] the chat to go on with
 * @property {string} [messageId] the new message's id; with `chatId`, the message to replace
 * @property {string} [model]
 * @property {{ id: string, approved: boolean, value?: unknown }[]} [approvals]
 */
/**
 * @typedef {object} Entry a request, from when it is asked until it is answered, or a post is heard of
 * @property {string} route
 * @property {any} payload
 * @property {(payload: any) => void} resolve
 * @property {(error: Error) => void} reject
 * @property {number} sentAt 0 while it is not on its way
 * @property {number} after when it may be sent
 * @property {boolean} [wasSent] at least once
 * @property {boolean} [isPost]
 */

const MOST_WAITING = 100; // requests that are not on their way
const OPEN_MS = 10_000; // for a connection to open
const ANSWER_MS = 30_000; // for an answer, before it is asked for again
const LONGEST_PAUSE_MS = 10_000; // between two tries to connect
const MOST_SILENCES = 6; // that double the patience
const FATAL = [1002, 1007, 1009]; // closes that the same frames would bring about again
const BUSY = [4029, 4503];
const LOST = 1006;

/** A refusal: the server's, or with CLOSED, REPLACED, STOPPED, QUEUE_FULL, NO_ANSWER this client's. */
export class ThreadcastError extends Error {
  /** @param {string} code @param {string} message @param {number} [retryAfter] seconds */
  constructor(code, message, retryAfter) {
    super(message);
    this.name = "ThreadcastError";
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** A version 4 UUID. `crypto.randomUUID` is only there over HTTPS and on this very machine. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The same without what is undefined. @param {object} given */
const defined = (given) => Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));

/** Tells two answers to one message apart. @param {Message} [it] */
const stamp = (it) => it && `${it.is_completed} ${it.response_message_ids} ${it.reasoning_message_ids}`;

/** What becomes of a post: an iterator of its text's pieces, and a promise of the finished message. */
export class Answer {
  /** @type {string | undefined} */ chatId;
  /** @type {Chat | undefined} the chat as it was held last */ chat;
  isHeard = false; // the server has it
  isSettled = false;
  /** @type {(message: Message) => void} */ #resolve = () => {};
  /** @type {(error: Error) => void} */ #reject = () => {};
  /** @type {((_: void) => void)[]} */ #waiting = [];

  /** @param {string} messageId @param {string | undefined} replaced the stamp of what it replaces @param {() => Promise<void>} stop */
  constructor(messageId, replaced, stop) {
    this.messageId = messageId;
    this.replaced = replaced;
    /** Stop the answer. What there is of it stays. */
    this.stop = stop;
    /** @type {Promise<Message>} */
    this.done = new Promise((resolve, reject) => { [this.#resolve, this.#reject] = [resolve, reject]; });
    this.done.catch(() => {}); // whoever does not ask is not told
  }

  get message() {
    return this.isHeard ? this.chat?.messages[this.messageId] : undefined;
  }

  get text() {
    return textOf(this.message);
  }

  /** @returns {Promise<void>} until something has changed */
  changed() {
    return new Promise((go) => this.#waiting.push(go));
  }

  /** Something has changed. @internal @param {Chat} [chat] @param {Message | Error} [end] */
  show(chat, end) {
    this.chat = chat ?? this.chat;
    this.isSettled ||= end !== undefined;
    if (end instanceof Error) this.#reject(end);
    else if (end) this.#resolve(end);
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Each piece is what has come since the last was taken. Where text was taken back, it goes on after what both have in common. */
  async *[Symbol.asyncIterator]() {
    for (let shown = ""; ; ) {
      const { text, isSettled } = this;
      let from = text.startsWith(shown) ? shown.length : 0;
      while (from < shown.length && shown[from] === text[from]) from++;
      if (from < shown.length && /[\ud800-\udbff]/.test(text[from - 1] ?? "")) from--; // not in the middle of a character
      if (from < text.length) yield text.slice(from, (shown = text).length);
      else if (isSettled) break;
      else await this.changed();
    }
    await this.done;
  }
}

export class Threadcast {
  /** @type {State} */ state = "connecting";
  why = "connecting…"; // the state in words for people
  /** @type {Token} */ #source;
  #base; #Socket; #seconds; #tickMs;
  #token = "";
  #refusals = 0; // of tokens, since it was live
  /** @type {SocketLine | EventsLine | null} */ #line = null;
  /** @type {[string, number] | null} epoch and offset, when they are known */ #place = null;
  /** @type {string | undefined} */ #user;
  #turn = 0; // counts the tries, so that what belongs to an earlier one is told apart
  #tries = 0; // since it was live
  #triedAt = 0;
  #heardAt = 0; // by the clock that goes on while the machine sleeps
  #silences = 0; // on open connections, since the last heartbeat
  #usesEvents = false; // for the next try
  #code = 0; // with which the last connection ended
  #isResumed = false; // the first frame of this connection has come,
  #isReady = false; // and all that was missed
  #isDraining = false;
  #isRecovered = true;
  #missed = 0;
  #barrier = ""; // the label of the request whose answer says that all that was missed has come
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #ticking;
  /** @type {AbortController | undefined} */ #waking;
  #labels = `${uuid().slice(0, 8)}-`;
  #count = 0;
  /** @type {Map<string, Entry>} by label */ #entries = new Map();
  /** @type {Map<string, Answer>} by label, until they are settled */ #answers = new Map();
  /** @type {Map<string, { isLate: boolean, promise: Promise<unknown> }>} by chat */ #getting = new Map();
  /** @type {Map<string, number>} by chat: when anything was last heard of it, or it was got */ #touched = new Map();
  /** @type {Set<string>} */ #open = new Set();
  /** @type {Set<string>} chats that cannot be followed piece by piece, to be got now and then */ #later = new Set();
  #wasLive = false;
  /** @type {Map<string, Set<Function>>} */ #listeners = new Map();
  #fold = new Fold((id) => this.#wants(id));

  /**
   * @param {object} options
   * @param {string | URL} options.url the server's base
   * @param {Token} options.token or a function that fetches one
   * @param {typeof globalThis.WebSocket | null} [options.WebSocket] without one, Server-Sent Events are used
   * @param {number} [options.heartbeat] seconds between two heartbeats, until the server says otherwise
   */
  constructor({ url, token, WebSocket = globalThis.WebSocket, heartbeat = 15 }) {
    this.#base = new URL(url, globalThis.location?.href).href.replace(/^ws/, "http").replace(/\/+$/, "");
    this.#source = token;
    this.#Socket = WebSocket;
    this.#seconds = heartbeat;
    this.#tickMs = Math.min(1000, heartbeat * 250);
    this.chats = {
      /** @param {() => void} listener */
      subscribe: (listener) => this.on("chats", listener),
      getSnapshot: () => this.#fold.snapshot,
      /** @param {string} id */
      get: (id) => this.#fold.get(id),
      /** Get the chat, and keep it true until `close(id)`. @param {string} id */
      open: (id) => {
        this.#open.add(id);
        return this.#get(id).then(() => this.#fold.get(id));
      },
      /** @param {string} id */
      close: (id) => { this.#open.delete(id); },
      /** @param {{ pageToken?: number, pageSize?: number, query?: string }} [page] */
      list: ({ pageToken, pageSize, query } = {}) => this.request("/chats/list", { page_token: pageToken, page_size: pageSize, query }),
      /** @param {string} id @param {{ title?: string, isFavorited?: boolean }} change */
      update: (id, { title, isFavorited }) => this.request("/chats/update", { id, title, is_favorited: isFavorited }),
      /** @param {string[]} ids */
      delete: (ids) => this.request("/chats/delete", { ids }),
      /** @param {string} id @param {string} [messageId] the last one that the copy is to have */
      duplicate: (id, messageId) => this.request("/chats/duplicate", { id, message_id: messageId }),
      /** @param {string} id of a message @param {"positive" | "negative" | null} feedback */
      feedback: (id, feedback) => this.request("/messages/update", { id, feedback }),
    };
    queueMicrotask(() => this.#turn || this.connect());
  }

  /** Hear of "sent", "frame", "note", "user", "resumed", "replaced", "state", "chats". @param {string} name @param {Function} listener */
  on(name, listener) {
    const all = this.#listeners.get(name) ?? new Set(), each = (/** @type {unknown[]} */ ...told) => listener(...told);
    this.#listeners.set(name, all.add(each));
    return () => { all.delete(each); };
  }

  /** Hear of the state. @param {() => void} listener */
  subscribe(listener) {
    return this.on("state", listener);
  }

  /** Post, now or when there is a connection. @param {Post} post */
  post({ prompt, asset, chatId, messageId, model, approvals }) {
    const message_id = messageId ?? uuid(), isNew = !(messageId && chatId), held = chatId && this.#fold.get(chatId)?.messages[message_id];
    const about = { prompt, chat_id: chatId, asset_type: asset?.type, asset_id: asset?.id };
    const payload = { ...about, message_id, model, approvals, once: isNew || undefined };
    const answer = new Answer(message_id, isNew ? undefined : (stamp(held || undefined) ?? "unknown"), () => this.#stop(label, answer));
    const label = this.#add("/chats/post", payload, () => {}, (error) => this.#settle(label, error), true);
    answer.chatId = chatId;
    this.#answers.set(label, answer);
    this.#pump();
    return answer;
  }

  /** Ask for anything. @param {string} route @param {any} payload @returns {Promise<any>} the answer's payload */
  async request(route, payload) {
    if (route !== "/chats/post") return this.#ask(route, payload);
    const { chat_id: chatId, message_id: messageId, asset_type: type, asset_id: id, ...rest } = payload;
    const answer = this.post({ ...rest, chatId, messageId, asset: id && { type, id } });
    return answer.done.then(() => answer.chat);
  }

  /** Connect, or connect anew, with another token perhaps. @param {Token} [token] */
  connect(token) {
    if (token !== undefined) this.#source = token;
    if (token !== undefined || this.state === "refused") this.#token = "";
    this.#tries = this.#refusals = 0;
    if (!this.#waking) {
      const { signal } = (this.#waking = new AbortController()), wake = (/** @type {Event} */ { type }) => this.#wake(type === "online");
      for (const type of ["online", "pageshow"]) globalThis.addEventListener?.(type, wake, { signal });
      globalThis.document?.addEventListener("visibilitychange", wake, { signal });
    }
    this.#ticking ??= setInterval(() => this.#tick(), this.#tickMs);
    this.#begin("connecting…");
  }

  /** End the connection, and all that waits for an answer. */
  close() {
    this.#fail(new ThreadcastError("CLOSED", "the client was closed"));
    this.#halt("closed", "closed by this client");
  }

  // What is asked

  /** @param {string} id of a chat */
  #wants(id) {
    return this.#open.has(id) || [...this.#answers.values()].some((answer) => answer.chatId === id);
  }

  /** @param {string} route @param {object} payload @param {Entry["resolve"]} resolve @param {Entry["reject"]} reject */
  #add(route, payload, resolve, reject, isPost = false) {
    const waiting = [...this.#entries.values()].filter((entry) => !entry.sentAt).length, label = this.#labels + ++this.#count;
    if (waiting >= MOST_WAITING) throw new ThreadcastError("QUEUE_FULL", `${waiting} requests wait for the connection already`);
    this.#entries.set(label, { route, payload: defined(payload), resolve, reject, sentAt: 0, after: 0, isPost });
    return label;
  }

  /** @param {string} route @param {object} payload @returns {Promise<any>} */
  #ask(route, payload) {
    return new Promise((resolve, reject) => {
      this.#add(route, payload, resolve, reject);
      this.#pump();
    });
  }

  /** Get the chat as it stands. @param {string} id @returns {Promise<unknown>} */
  #get(id) {
    const before = this.#getting.get(id);
    if (before) return before.promise;
    const promise = this.#ask("/chats/get", { id }).finally(() => this.#getting.delete(id));
    this.#getting.set(id, { isLate: false, promise });
    this.#touched.set(id, Date.now());
    promise.catch((error) => {
      if (error.code !== "NOT_FOUND") return; // else it is asked for again when nothing is heard of it
      this.#open.delete(id);
      this.#fold.forget(id);
      this.#fail(error, id);
      this.#tell("chats");
    });
    return promise;
  }

  /** What is held of the chat is not how it stands. @param {string} id */
  #mend(id) {
    this.#fold.doubt(id);
    if (this.#wants(id)) this.#get(id).catch(() => {});
  }

  /** @param {string} label @param {Answer} answer */
  async #stop(label, answer) {
    const entry = this.#entries.get(label);
    if (entry && !entry.wasSent) return this.#settle(label, new ThreadcastError("STOPPED", "stopped before it was sent"));
    while (!answer.chatId && !answer.isSettled) await answer.changed();
    if (answer.isSettled) return;
    await this.#ask("/chats/stop", { id: answer.chatId, message_id: answer.messageId }).catch((error) => {
      if (error.code !== "NOT_FOUND") throw error; // else it has ended
    });
  }

  /** @param {string} label @param {Message | Error} [end] */
  #settle(label, end) {
    const answer = this.#answers.get(label);
    answer?.show(answer.chatId ? this.#fold.get(answer.chatId) : undefined, end);
    this.#answers.delete(label);
    this.#entries.delete(label);
  }

  /** All that waits fails, or the answers in one chat. @param {Error} error @param {string} [chatId] */
  #fail(error, chatId) {
    for (const [label, answer] of this.#answers) if (!chatId || answer.chatId === chatId) this.#settle(label, error);
    if (chatId) return;
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const entry of entries) entry.reject(error);
  }

  /** Send what can be sent. */
  #pump() {
    if (!this.#isReady) return;
    for (const [label, entry] of this.#entries) {
      if (!entry.sentAt && entry.after <= Date.now() && !(entry.isPost && this.#isDraining)) this.#send(label, entry);
    }
  }

  /** @param {string} label @param {Entry} entry */
  #send(label, entry) {
    Object.assign(entry, { sentAt: Date.now(), wasSent: true });
    const text = this.#line?.send(entry.route, label, entry.payload);
    this.#tell("sent", text, entry.route, label);
  }

  /** No answer will come: it is asked again, where that does no harm. @param {string} label @param {Entry} entry */
  #again(label, entry, after = 0) {
    if (entry.route !== "/chats/duplicate") return void Object.assign(entry, { sentAt: 0, after });
    this.#entries.delete(label);
    entry.reject(new ThreadcastError("NO_ANSWER", "it is not known whether the chat was copied"));
  }

  // What comes

  /** @param {Frame} frame @param {string} [text] without it, it is an answer over HTTP */
  #hear(frame, text) {
    const isOrdered = text !== undefined, payload = /** @type {any} */ (frame.payload), label = frame.request_id ?? "";
    this.#heardAt = Date.now();
    if (frame.event === "resumed" && frame.route === "/stream") this.#isUser(frame.sent_by);
    this.#tell("frame", frame, text ?? JSON.stringify(frame));
    if (frame.route === "/stream") return this.#control(frame.event, payload);
    if (isOrdered && !this.#isNext(frame)) return;
    const entry = this.#entries.get(label);
    if (frame.error) this.#refuse(frame, label, entry);
    else {
      if (isOrdered || this.#isNews(frame)) this.#take(frame, isOrdered, label);
      if (entry && !entry.isPost) {
        this.#entries.delete(label);
        entry.resolve(payload);
      }
    }
    if (label && label === this.#barrier) this.#caughtUp();
  }

  /** Whether the frame comes after the last one. @param {any} frame */
  #isNext({ offset, request_id }) {
    if (offset === undefined) this.#place = null; // it is in no log, so there is no going on from it
    if (!this.#place) return true;
    const last = this.#place[1];
    if (offset > last) {
      this.#place[1] = offset;
      this.#missed += Number(request_id !== this.#barrier);
    } else if (offset < last) {
      this.#place = null;
      this.#ended({ code: LOST, reason: "frames came in a wrong order", opened: true });
    }
    return offset > last;
  }

  /** Whether an answer over HTTP, in no order with the frames, says more than they did. @param {any} frame */
  #isNews({ event, payload }) {
    const held = this.#fold.get(payload?.id);
    if (event === "complete") return payload.message_ids.some((/** @type {string} */ id) => !held?.messages[id]?.is_completed);
    const isEnded = event === "getChat" && Object.values(payload.messages).every((/** @type {any} */ each) => each.is_completed);
    if (event === "getChat") return (isEnded || !this.#fold.isGrowing(payload.id)) && !(held && this.#getting.get(payload.id)?.isLate);
    return event === "getChatsList"; // of all else the frames tell
  }

  /** @param {any} frame @param {boolean} isOrdered @param {string} label */
  #take(frame, isOrdered, label) {
    const { event } = frame, payload = frame.payload ?? {}, id = payload.chat_id ?? payload.id, before = this.#fold.snapshot;
    const lacks = this.#fold.take(frame, isOrdered), getting = this.#getting.get(id);
    for (const [each, answer] of this.#answers) this.#follow(each, answer, payload, label);
    if (this.#wants(id)) this.#touched.set(id, Date.now());
    if (getting && isOrdered && payload.messages) getting.isLate = true;
    if (lacks && this.#fold.isTrue(lacks)) this.#later.add(lacks);
    else if (lacks && this.#wants(lacks)) this.#get(lacks).catch(() => {});
    if (event === "complete") {
      for (const [each, { route, payload: asked, resolve }] of this.#entries) {
        if (route === "/chats/stop" && asked.id === id && this.#entries.delete(each)) resolve(payload);
      }
    }
    if (event === "deleteChats") for (const gone of payload.ids) this.#fail(new ThreadcastError("NOT_FOUND", "the chat is gone"), gone);
    if (this.#fold.snapshot !== before) this.#tell("chats");
  }

  /** @param {string} each its label @param {Answer} answer @param {any} payload @param {string} label the frame's */
  #follow(each, answer, payload, label) {
    const { messageId, replaced } = answer, id = payload.chat_id ?? payload.id, message = payload.messages?.[messageId];
    if (message || payload.message_id === messageId) {
      const wasSent = this.#entries.get(each)?.wasSent;
      const isNews = each === label || (wasSent && message && replaced !== "unknown" && stamp(message) !== replaced);
      if (replaced ? isNews : true) {
        answer.isHeard = true;
        answer.chatId = id;
        this.#entries.delete(each);
      }
    }
    if (!answer.isHeard || answer.chatId !== id) return;
    if (message?.is_completed) this.#settle(each, message);
    else if (payload.message_ids && !payload.message_ids.includes(messageId)) this.#settle(each, new ThreadcastError("NOT_FOUND", "the message is gone"));
    else answer.show(this.#fold.get(id));
  }

  /** @param {Frame} frame @param {string} label @param {Entry} [entry] */
  #refuse(frame, label, entry) {
    const { code, message, retry_after } = /** @type {any} */ (frame.error), answer = this.#answers.get(label);
    const error = new ThreadcastError(code, message, retry_after), isRetried = entry?.isPost || entry?.route === "/chats/get";
    if (entry && isRetried && retry_after !== undefined) return this.#again(label, entry, this.#isDraining ? 0 : Date.now() + retry_after * 1000);
    this.#entries.delete(label);
    if (answer) this.#settle(label, error);
    else entry?.reject(error);
    if (frame.event !== "postThread" || entry) return;
    if (answer?.chatId) return this.#mend(answer.chatId);
    for (const chat of Object.values(this.#fold.snapshot.chats)) { // a stream has failed; which one, the frame does not say
      if (Object.values(chat.messages).some((each) => !each.is_completed)) this.#mend(chat.id);
    }
  }

  // The connection

  /** @param {string} why */
  async #begin(why) {
    this.#leave();
    const turn = ++this.#turn;
    this.#triedAt = this.#heardAt = Date.now();
    this.#become("connecting", why);
    try {
      this.#token ||= typeof this.#source === "string" ? this.#source : await this.#source();
    } catch {
      if (turn === this.#turn) this.#pause("the token could not be fetched");
    }
    if (turn !== this.#turn || !this.#token) return;
    const on = {
      frame: (/** @type {Frame} */ frame, /** @type {string | undefined} */ text) => this.#hear(frame, text),
      alive: () => this.#alive((Date.now() - this.#heardAt) / 1000),
      lost: (/** @type {string} */ label) => this.#again(label, /** @type {any} */ (this.#entries.get(label) ?? {}), Date.now() + 1000),
      ended: (/** @type {import("./line.js").End} */ end) => this.#ended(end),
    };
    const since = this.#place?.join(":") ?? "";
    if (this.#usesEvents || !this.#Socket) this.#line = new EventsLine(this.#base, this.#token, since, on);
    else {
      const query = new URLSearchParams({ authentication: this.#token, since });
      if (this.#code !== 4503) query.set("refuse", "close"); // else a proxy may find another server by the 503
      this.#line = new SocketLine(this.#Socket, `${this.#base.replace(/^http/, "ws")}/api/v1/ws?${query}`, on);
    }
  }

  /** Have no connection. */
  #leave() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#turn++;
    this.#line?.close();
    this.#line = null;
    this.#isResumed = this.#isReady = this.#isDraining = false;
    this.#entries.delete(this.#barrier);
    this.#barrier = "";
    for (const [label, entry] of this.#entries) if (entry.sentAt) this.#again(label, entry);
  }

  /** Another user's token may have come. @param {Frame["sent_by"]} user */
  #isUser(user) {
    if (this.#user && this.#user !== user.id) {
      this.#place = null;
      this.#wasLive = false;
      this.#open.clear();
      this.#fail(new ThreadcastError("REPLACED", "another user has come"));
      this.#fold = new Fold((id) => this.#wants(id));
      this.#tell("replaced", user);
      this.#tell("chats");
    }
    this.#user = user.id;
    this.#tell("user", user);
  }

  /** A frame about the connection. @param {string} event @param {any} payload */
  #control(event, payload) {
    if (event === "heartbeat") this.#alive(payload.seconds, true);
    else if (event === "goingAway") {
      this.#isDraining = true;
      this.#become("draining", `the server restarts within ${Math.ceil(payload.retry_after)} s; what runs may finish`);
    } else if (event === "resumed") {
      const { epoch, offset, recovered } = payload;
      this.#isRecovered = recovered && this.#place?.[0] === epoch;
      this.#place = [epoch, offset];
      this.#missed = 0;
      this.#isResumed = true;
      if (!this.#isRecovered) this.#fold.doubt();
      this.#barrier = this.#add("/chats/list", { page_size: 25 }, () => {}, () => {});
      this.#send(this.#barrier, /** @type {Entry} */ (this.#entries.get(this.#barrier)));
    }
  }

  /** @param {number} seconds since the last frame; of a comment they are measured, and may be less than those between two */
  #alive(seconds, isSaid = false) {
    this.#heardAt = Date.now();
    this.#silences = 0;
    this.#seconds = isSaid ? seconds : Math.max(this.#seconds, Math.min(seconds, 60));
  }

  #caughtUp() {
    const isFirst = !this.#wasLive, back = this.#isRecovered ? `resumed with ${this.#missed} frames` : "got anew, as the log did not reach back";
    this.#barrier = "";
    this.#isReady = this.#wasLive = true;
    this.#tries = this.#refusals = 0;
    this.#usesEvents = false;
    if (!this.#isDraining) this.#become("live", isFirst ? "live" : `live, ${back}`);
    if (!isFirst) this.#tell("resumed", this.#isRecovered, this.#missed);
    if (!this.#isRecovered) for (const id of this.#wanted()) this.#get(id).catch(() => {});
    this.#pump();
  }

  /** @returns {Set<string>} the chats that are kept true */
  #wanted() {
    const answered = [...this.#answers.values()].filter((answer) => answer.isHeard);
    return new Set([...this.#open, ...answered.map((answer) => answer.chatId ?? "")]);
  }

  /** @param {import("./line.js").End} end */
  #ended({ code, reason, opened, retryAfter = 0 }) {
    this.#tell("note", `closed with ${code}${reason && ` (${reason})`}`);
    if (!this.#isResumed && code === LOST) this.#usesEvents = !this.#usesEvents;
    this.#code = code;
    if (code === 4001 || code === 4401) {
      this.#token = "";
      if (typeof this.#source === "string" || ++this.#refusals > 1) return this.#halt("refused", `the token was refused: ${reason}`);
      return void this.#begin("the token was refused; fetching another…");
    }
    const said = opened ? `closed with ${code}${reason && `: ${reason}`}` : "the server cannot be reached";
    if (!FATAL.includes(code)) return this.#pause(said, BUSY.includes(code) ? Math.max(1, retryAfter) : retryAfter);
    this.#halt("closed", said);
    this.#fail(new ThreadcastError("CLOSED", said));
  }

  /** Connect again: at once, if it is the first time. @param {string} why */
  #pause(why, least = 0) {
    this.#leave();
    const grown = this.#tries ? Math.min(LONGEST_PAUSE_MS, 250 * 2 ** (this.#tries - 1)) * (0.5 + Math.random() / 2) : 0;
    const pause = Math.max(grown, least * 1000);
    this.#tries++;
    if (!pause) return void this.#begin(`${why}; connecting anew…`);
    this.#become("waiting", `${why}; again in ${(pause / 1000).toFixed(1)} s`);
    this.#timer = setTimeout(() => this.#begin(`${why}; connecting anew…`), pause);
  }

  /** Stay without a connection, until `connect`. @param {State} state @param {string} why */
  #halt(state, why) {
    this.#leave();
    clearInterval(this.#ticking);
    this.#waking?.abort();
    this.#ticking = this.#waking = undefined;
    this.#become(state, why);
  }

  #tick() {
    const now = Date.now(), twice = 2000 * this.#seconds, patience = twice * 2 ** Math.min(this.#silences, MOST_SILENCES);
    const line = this.#line, isLate = (/** @type {number} */ ms) => now - this.#triedAt > ms;
    if (!line && this.state === "connecting" && isLate(ANSWER_MS)) return this.#pause("the token could not be fetched");
    if (line && !line.opened && isLate(OPEN_MS)) return this.#ended({ code: LOST, reason: "it did not open", opened: false });
    if (line?.opened && now - this.#heardAt > patience) {
      this.#silences++;
      return this.#ended({ code: LOST, reason: `nothing came for ${patience / 1000} s`, opened: true });
    }
    for (const [label, entry] of this.#entries) {
      if (!entry.sentAt || now - entry.sentAt < ANSWER_MS) continue;
      this.#again(label, entry);
      if (label === this.#barrier) this.#send(label, entry);
    }
    this.#pump();
    const wanted = this.#wanted(), later = this.#later;
    this.#later = new Set();
    for (const id of this.#touched.keys()) if (!wanted.has(id)) this.#touched.delete(id);
    if (this.#isReady) for (const id of wanted) {
      const messages = Object.values(this.#fold.get(id)?.messages ?? {}), isOpen = !messages.length || messages.some((each) => !each.is_completed);
      if (later.has(id) || (isOpen && now - (this.#touched.get(id) ?? 0) > twice)) this.#get(id).catch(() => {});
    }
  }

  /** The machine, the page or the network was away: a pause is over, and a connection may have died unnoticed. @param {boolean} isSure */
  #wake(isSure) {
    if (!isSure && globalThis.document?.hidden) return;
    if (isSure || this.state === "waiting") this.#begin("connecting anew…");
    else this.#tick();
  }

  /** @param {State} state @param {string} why */
  #become(state, why) {
    Object.assign(this, { state, why });
    this.#tell("state", state, why);
  }

  /** @param {string} name @param {unknown[]} told */
  #tell(name, ...told) {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(...told);
      } catch (error) {
        setTimeout(() => { throw error; }); // its own failure, not ours
      }
    }
  }
}
