// A client of Threadcast: posts, answers and chats over a connection that comes back by itself. See README.md.

import { Fold, textOf } from "./fold.js";
import { EventsLine, SocketLine } from "./line.js";

/** @typedef {import("./fold.js").Chat} Chat */
/** @typedef {import("./fold.js").Message} Message */
/** @typedef {"connecting" | "waiting" | "live" | "draining" | "refused" | "closed"} State */
/** @typedef {string | (() => string | Promise<string>)} Token */
/**
 * @typedef {object} Post `messageId` with `chatId` replaces the message; `asset` is what a new chat is about
 * @property {string} [prompt]
 * @property {{ type: string, id: string }} [asset]
 * @property {string} [chatId]
 * @property {string} [messageId]
 * @property {string} [model]
 * @property {{ id: string, approved: boolean, value?: unknown }[]} [approvals]
 */
/** @typedef {{ resolve(it: any): void, reject(error: Error): void, sentAt: number, after: number, answer?: Answer }} Waiting */
/** @typedef {Waiting & { route: string, payload: any }} Asked what is to be sent, or waits for its answer */

const MOST_WAITING = 100; // requests that are not on their way
const OPEN_MS = 10_000; // for a connection to open
const ANSWER_MS = 30_000; // for an answer, before it is asked for again
const LONGEST_PAUSE_MS = 10_000; // between two tries to connect
const AGAIN_MS = 2000; // before a chat is got again that is not held as it stands
const FATAL = [1002, 1007, 1009]; // closes that the same frames would bring about again
const LOST = 1006;

/** A refusal of the server's, or, with CLOSED, REPLACED, QUEUE_FULL or NO_ANSWER, of this client's. `retryAfter` in seconds. */
export class ThreadcastError extends Error {
  /** @param {string} code @param {string} message @param {number} [retryAfter] */
  constructor(code, message, retryAfter) {
    super(message);
    Object.assign(this, { name: "ThreadcastError" });
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** A version 4 UUID. `crypto.randomUUID` is only there over HTTPS and on this very machine. */
function uuid() {
  const hex = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, "$1-$2-4$3-a$4-$5");
}

/** What becomes of a post: an iterator of its text's pieces, and `done`, a promise of the finished message. */
export class Answer {
  /** @type {Chat | undefined} the chat, as it was held last */ chat;
  /** @type {string | undefined} */ chatId;
  isHeard = false; // the server has it
  isSettled = false;
  /** @type {(() => void)[]} */ #waiting = [];
  /** @type {[(message: Message) => void, (error: Error) => void]} */ #settle = [() => {}, () => {}];

  /** @param {string} messageId @param {(answer: Answer) => Promise<void>} stop */
  constructor(messageId, stop) {
    this.messageId = messageId;
    this.done = /** @type {Promise<Message>} */ (new Promise((...both) => { this.#settle = both; }));
    this.done.catch(() => {}); // whoever does not ask is not told
    /** Stop the answer. What there is of it stays. */
    this.stop = () => stop(this);
  }

  get message() {
    return this.isHeard ? this.chat?.messages[this.messageId] : undefined;
  }

  get text() {
    return textOf(this.message);
  }

  /** @returns {Promise<void>} when something has changed */
  changed() {
    return new Promise((go) => this.#waiting.push(go));
  }

  /** @internal @param {Chat} [chat] @param {Message | Error} [end] */
  show(chat, end) {
    this.chat = chat ?? this.chat;
    this.isSettled ||= end !== undefined;
    if (end) end instanceof Error ? this.#settle[1](end) : this.#settle[0](end);
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Each piece is what has come since the last. Where text was taken back, it goes on after what both have in common. */
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
  #token = "";
  #refusals = 0; // of tokens, since it was live
  /** @type {any} */ #Socket;
  #base = "";
  #seconds = 0; // between two heartbeats
  #tickMs = 0;
  /** @type {SocketLine | EventsLine | null} */ #line = null;
  /** @type {[string, number] | null} epoch and offset, when they are known */ #place = null;
  /** @type {string | undefined} */ #user;
  #tries = 0; // since it was live
  #triedAt = 0;
  #turn = 0; // counts the tries, to tell what belongs to an earlier one
  #heardAt = 0; // by the clock that goes on while the machine sleeps
  #silences = 0; // on open connections, since the last heartbeat
  #usesEvents = false; // for the next try
  #code = 0; // with which the last connection ended
  #is = { resumed: false, ready: false, draining: false, recovered: true }; // the first frame has come, and all that was missed
  #barrier = ""; // the label of the request whose answer says that all that was missed has come
  #missed = 0;
  #wasLive = false;
  /** @type {any} */ #timer;
  /** @type {any} */ #ticking;
  /** @type {AbortController | undefined} */ #waking;
  #label = `${uuid().slice(0, 8)}-`;
  #count = 0;
  /** @type {Map<string, Asked>} by label, until it is answered */ #asked = new Map();
  /** @type {Map<string, number>} by chat: when anything was heard of it, or it was got */ #touched = new Map();
  /** @type {Map<string, Promise<Chat | undefined>>} */ #getting = new Map();
  /** @type {Set<string>} */ #open = new Set();
  /** @type {Map<string, Set<Function>>} */ #listeners = new Map();
  #fold = new Fold((id) => this.#wants(id));

  /**
   * `url` is the server's base. Without a `WebSocket`, Server-Sent Events are used. `heartbeat`: seconds, at first.
   * @param {{ url: string | URL, token: Token, WebSocket?: typeof globalThis.WebSocket | null, heartbeat?: number }} options
   */
  constructor({ url, token, WebSocket = globalThis.WebSocket, heartbeat = 15 }) {
    this.#base = new URL(url, globalThis.location?.href).href.replace(/^ws/, "http").replace(/\/+$/, "");
    [this.#source, this.#Socket, this.#seconds, this.#tickMs] = [token, WebSocket, heartbeat, Math.min(1000, heartbeat * 250)];
    const ask = this.request.bind(this);
    this.chats = {
      subscribe: (/** @type {() => void} */ listener) => this.on("chats", listener),
      getSnapshot: () => this.#fold.snapshot,
      get: (/** @type {string} */ id) => this.#fold.get(id),
      /** Get the chat, and keep it true until `close(id)`. @param {string} id */
      open: (id) => {
        this.#open.add(id);
        const chat = this.#fold.get(id); // while a message grows here, it is as it stands
        const isGrowing = chat && this.#is.ready && this.#fold.isTrue(id) && Object.values(chat.messages).some((each) => !each.is_completed);
        return isGrowing ? Promise.resolve(chat) : this.#get(id);
      },
      close: (/** @type {string} */ id) => { this.#open.delete(id); },
      /** @param {{ pageToken?: number, pageSize?: number, query?: string }} [page] */
      list: ({ pageToken, pageSize, query } = {}) => ask("/chats/list", { page_token: pageToken, page_size: pageSize, query }),
      /** @param {string} id @param {{ title?: string, isFavorited?: boolean }} change */
      update: (id, { title, isFavorited }) => ask("/chats/update", { id, title, is_favorited: isFavorited }),
      delete: (/** @type {string[]} */ ids) => ask("/chats/delete", { ids }),
      /** @param {string} id @param {string} [messageId] the last message of the copy */
      duplicate: (id, messageId) => ask("/chats/duplicate", { id, message_id: messageId }),
      /** @param {string} id of a message @param {"positive" | "negative" | null} feedback */
      feedback: (id, feedback) => ask("/messages/update", { id, feedback }),
    };
    queueMicrotask(() => this.#turn || this.connect());
  }

  /**
   * Hear of "sent", "frame", "note", "user", "resumed", "replaced", "state", "chats".
   * @param {string} name @param {Function} listener
   */
  on(name, listener) {
    const all = this.#listeners.get(name) ?? new Set(), each = (/** @type {any[]} */ ...told) => listener(...told);
    this.#listeners.set(name, all.add(each));
    return () => { all.delete(each); };
  }

  /** Hear of the state. @param {() => void} listener */
  subscribe(listener) {
    return this.on("state", listener);
  }

  /** Post, now or when there is a connection. @param {Post} post */
  post({ prompt, asset, chatId, messageId, model, approvals }) {
    const message_id = messageId ?? uuid(), once = !(messageId && chatId) || undefined; // else it replaces a message
    const answer = new Answer(message_id, (each) => this.#stop(each));
    const payload = { prompt, chat_id: chatId, asset_type: asset?.type, asset_id: asset?.id, message_id, model, approvals, once };
    answer.chatId = chatId;
    this.#ask("/chats/post", payload, () => {}, (error) => answer.show(undefined, error), answer);
    return answer;
  }

  /** Ask for anything but a post. @param {string} route @param {any} payload @returns {Promise<any>} the answer's payload */
  request(route, payload) {
    if (this.state === "closed") return Promise.reject(new ThreadcastError("CLOSED", "the client is closed"));
    return new Promise((resolve, reject) => this.#ask(route, payload, resolve, reject));
  }

  /** Connect, or connect anew, with another token perhaps. @param {Token} [token] */
  connect(token) {
    if (token !== undefined || this.state === "refused") this.#token = "";
    this.#source = token ?? this.#source;
    this.#tries = this.#refusals = 0;
    if (!this.#waking) {
      const { signal } = (this.#waking = new AbortController());
      const wake = (/** @type {Event} */ { type }) => this.#wake(type === "online");
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

  /** Whether the chat is open, or an answer is to come in it. @param {string} id */
  #wants(id) {
    return this.#open.has(id) || [...this.#asked.values()].some(({ answer }) => answer?.chatId === id);
  }

  /** @param {string} route @param {object} given @param {Asked["resolve"]} resolve @param {Asked["reject"]} reject @param {Answer} [answer] */
  #ask(route, given, resolve, reject, answer) {
    const waiting = [...this.#asked.values()].filter(({ sentAt }) => !sentAt).length, label = this.#label + ++this.#count;
    if (waiting >= MOST_WAITING) throw new ThreadcastError("QUEUE_FULL", `${waiting} requests wait for the connection already`);
    const payload = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    this.#asked.set(label, { route, payload, resolve, reject, sentAt: 0, after: 0, answer });
    this.#pump();
    return label;
  }

  /** Get the chat as it stands. @param {string} id @returns {Promise<Chat | undefined>} */
  #get(id) {
    const getting = this.#getting.get(id) ?? this.request("/chats/get", { id }).then(() => this.#fold.get(id), (error) => {
      if (error.code === "NOT_FOUND") this.#gone(id, error);
      throw error; // of all else: it is asked for again when nothing is heard of it
    }).finally(() => this.#getting.delete(id));
    this.#touched.set(id, Date.now());
    this.#getting.set(id, getting);
    return getting;
  }

  /** @param {string} id of a chat @param {Error} error */
  #gone(id, error) {
    this.#open.delete(id);
    this.#fold.forget(id);
    this.#fail(error, id);
    this.#tell("chats");
  }

  /** Get the chats that are wanted and not held as they stand, or of whose unfinished message nothing has come for long. */
  #mend() {
    if (!this.#is.ready) return;
    const answered = [...this.#asked.values()].flatMap(({ answer }) => (answer?.isHeard && answer.chatId) || []), now = Date.now();
    for (const id of new Set([...this.#open, ...answered])) {
      const isDone = Object.values(this.#fold.get(id)?.messages ?? {}).every((each) => each.is_completed) && !answered.includes(id);
      const after = this.#fold.isTrue(id) ? (isDone ? Infinity : 2000 * this.#seconds) : AGAIN_MS;
      if (now - (this.#touched.get(id) ?? 0) >= after) this.#get(id).catch(() => {});
    }
  }

  /** @param {Answer} answer */
  async #stop(answer) {
    while (!answer.chatId && !answer.isSettled) await answer.changed();
    if (answer.isSettled) return;
    await this.request("/chats/stop", { id: answer.chatId, message_id: answer.messageId }).catch((error) => {
      if (error.code !== "NOT_FOUND") throw error; // else it has ended
    });
  }

  /** All that waits fails, or the answers in one chat. @param {Error} error @param {string} [chatId] */
  #fail(error, chatId) {
    for (const [label, { answer, reject }] of this.#asked) {
      if (!chatId || answer?.chatId === chatId) this.#asked.delete(label) && reject(error);
    }
  }

  /** Send what can be sent. */
  #pump() {
    for (const [label, asked] of this.#asked) {
      const isHeld = asked.answer && (this.#is.draining || asked.answer.isHeard);
      if (this.#is.ready && !asked.sentAt && !isHeld && asked.after <= Date.now()) this.#send(label, asked);
    }
  }

  /** @param {string} label @param {Asked} asked */
  #send(label, asked) {
    asked.sentAt = Date.now();
    this.#tell("sent", this.#line?.send(asked.route, label, asked.payload), asked.route, label);
  }

  /** No answer will come: ask again, where that does no harm. @param {string} label */
  #again(label, after = 0) {
    const asked = this.#asked.get(label);
    if (!asked?.sentAt) return;
    const isSafe = asked.answer || !["/chats/duplicate", "/chats/post"].includes(asked.route);
    if (isSafe) return void Object.assign(asked, { sentAt: 0, after });
    this.#asked.delete(label);
    asked.reject(new ThreadcastError("NO_ANSWER", "it is not known whether it was done"));
  }

  // What comes

  /** @param {any} frame @param {string} [text] without it, it is an answer over HTTP */
  #hear(frame, text) {
    const { route, event, payload, error, request_id: label } = frame, asked = this.#asked.get(label), before = this.#fold.snapshot;
    if (event === "resumed" && route === "/stream") this.#meet(frame.sent_by);
    this.#heardAt = Date.now();
    this.#tell("frame", frame, text ?? JSON.stringify(frame));
    if (route === "/stream") return this.#control(event, payload);
    if (text !== undefined && !this.#isNext(frame)) return;
    if (error) this.#refuse(frame, label, asked);
    else if (text === undefined) this.#answered(frame, asked);
    else this.#take(frame);
    if (!error && asked && !asked.answer) this.#asked.delete(label) && asked.resolve(payload);
    if (label && label === this.#barrier) this.#caughtUp();
    if (this.#fold.snapshot !== before) this.#tell("chats");
    this.#mend();
  }

  /** Whether the frame comes after the last one. @param {any} frame */
  #isNext({ offset, request_id }) {
    if (offset === undefined) this.#place = null; // it is in no log, so there is no going on from it
    const last = this.#place?.[1] ?? offset - 1;
    if (offset < last) {
      this.#place = null;
      this.#ended({ code: LOST, reason: "frames came in a wrong order" });
    } else if (this.#place) this.#place[1] = offset;
    this.#missed += Number(request_id !== this.#barrier);
    return !(offset <= last);
  }

  /** An answer over HTTP, which may be older than the frames since it was asked for. @param {any} frame @param {Asked} [asked] */
  #answered({ event, payload }, asked) {
    const isNews = !this.#fold.isTrue(payload.id) || (this.#touched.get(payload.id) ?? 0) <= (asked?.sentAt ?? 0);
    if (event === "getChatsList") this.#fold.take({ event, payload });
    else if (!payload.messages || !isNews || !["getChat", "postThread"].includes(event)) return;
    else this.#take({ event: "getChat", payload }, false, asked);
  }

  /** @param {any} frame @param {Asked} [own] the post that an answer over HTTP is about */
  #take(frame, isOrdered = true, own = this.#asked.get(frame.request_id)) {
    const { event } = frame, payload = frame.payload ?? {}, id = payload.chat_id ?? payload.id;
    this.#fold.take(frame, isOrdered);
    if (this.#wants(id) && this.#fold.isTrue(id)) this.#touched.set(id, Date.now());
    for (const [label, asked] of this.#asked) {
      if (asked.answer) this.#follow(label, asked.answer, payload, isOrdered, asked === own || asked.payload.once);
      else if (event === "complete" && asked.route === "/chats/stop" && asked.payload.id === id) {
        this.#asked.delete(label);
        asked.resolve(payload);
      }
    }
    const gone = event === "deleteChats" ? payload.ids : [];
    for (const each of gone) this.#gone(each, new ThreadcastError("NOT_FOUND", "the chat is gone"));
  }

  /** @param {string} label @param {Answer} answer @param {any} payload @param {boolean} isOrdered @param {boolean} isOwn not an earlier answer's */
  #follow(label, answer, payload, isOrdered, isOwn) {
    const { messageId } = answer, id = payload.chat_id ?? payload.id, message = payload.messages?.[messageId];
    if ((message || payload.message_id === messageId) && (isOwn || message?.is_completed === false)) {
      answer.isHeard = true;
      answer.chatId = id;
    }
    if (!answer.isHeard || answer.chatId !== id) return;
    const isGone = isOrdered && payload.message_ids && !payload.message_ids.includes(messageId);
    const end = isGone ? new ThreadcastError("NOT_FOUND", "the message is gone") : message?.is_completed ? message : undefined;
    if (end) this.#asked.delete(label);
    answer.show(this.#fold.get(id), end);
  }

  /** @param {any} frame @param {string} label @param {Asked} [asked] */
  #refuse({ event, error: { code, message, retry_after } }, label, asked) {
    const isRetried = asked?.route === "/chats/get" || (asked?.answer && !asked.answer.isHeard);
    if (isRetried && retry_after !== undefined) return this.#again(label, this.#is.draining ? 0 : Date.now() + retry_after * 1000);
    const chatId = asked?.answer?.isHeard && asked.answer.chatId;
    this.#asked.delete(label);
    asked?.reject(new ThreadcastError(code, message, retry_after));
    if (chatId) this.#get(chatId).catch(() => {}); // it is stored as failed
    else if (event === "postThread" && !asked) this.#fold.doubt(true); // some stream has failed: which, the frame does not say
  }

  // The connection

  /** @param {string} why */
  async #begin(why) {
    const turn = this.#leave();
    this.#triedAt = this.#heardAt = Date.now();
    this.#become("connecting", why);
    try {
      this.#token ||= typeof this.#source === "string" ? this.#source : await this.#source();
    } catch {
      if (turn === this.#turn) return this.#pause("the token could not be fetched");
    }
    if (turn !== this.#turn) return;
    const since = this.#place?.join(":") ?? "", query = new URLSearchParams({ authentication: this.#token, since });
    if (this.#code !== 4503) query.set("refuse", "close"); // else a proxy may find another server by the 503
    const on = {
      frame: (/** @type {any} */ frame, /** @type {string | undefined} */ text) => this.#hear(frame, text),
      alive: () => this.#alive(Math.min(60, Math.max(this.#seconds, (Date.now() - this.#heardAt) / 1000))),
      lost: (/** @type {string} */ label) => {
        if (label === this.#barrier) this.#ended({ code: LOST, reason: "a request was lost" });
        else this.#again(label, Date.now() + 500);
      },
      ended: (/** @type {import("./line.js").End} */ end) => this.#ended(end),
    };
    if (this.#usesEvents || !this.#Socket) this.#line = new EventsLine(this.#base, this.#token, since, on);
    else this.#line = new SocketLine(this.#Socket, `${this.#base.replace(/^http/, "ws")}/api/v1/ws?${query}`, on);
  }

  /** Have no connection. */
  #leave() {
    clearTimeout(this.#timer);
    this.#line?.close();
    this.#line = this.#timer = null;
    this.#is = { resumed: false, ready: false, draining: false, recovered: true };
    this.#asked.delete(this.#barrier);
    this.#barrier = "";
    for (const label of this.#asked.keys()) this.#again(label);
    return ++this.#turn;
  }

  /** Whose token it is: of another user than before nothing may stay. @param {import("./frames.js").SentBy} user */
  #meet(user) {
    const isOther = this.#user !== undefined && this.#user !== user.id;
    this.#user = user.id;
    if (isOther) {
      [this.#place, this.#wasLive] = [null, false];
      this.#open.clear();
      this.#fail(new ThreadcastError("REPLACED", "another user has come"));
      this.#fold = new Fold((id) => this.#wants(id));
      this.#tell("replaced", user);
      this.#tell("chats");
    }
    this.#tell("user", user);
  }

  /** A frame about the connection. @param {string} event @param {any} payload */
  #control(event, payload) {
    if (event === "heartbeat") this.#alive(payload.seconds);
    else if (event === "goingAway") {
      this.#is.draining = true;
      this.#become("draining", `the server restarts within ${Math.ceil(payload.retry_after)} s; what runs may finish`);
    } else if (event === "resumed") {
      const recovered = payload.recovered && this.#place?.[0] === payload.epoch;
      Object.assign(this.#is, { resumed: true, recovered });
      this.#place = [payload.epoch, payload.offset];
      this.#missed = 0;
      if (!recovered) this.#fold.doubt();
      if (!recovered) this.#touched.clear();
      this.#barrier = this.#ask("/chats/list", { page_size: 25 }, () => {}, () => {});
      this.#send(this.#barrier, /** @type {Asked} */ (this.#asked.get(this.#barrier)));
    }
  }

  #alive(/** @type {number} */ seconds) {
    [this.#seconds, this.#silences, this.#heardAt] = [seconds, 0, Date.now()];
  }

  #caughtUp() {
    const { recovered, draining } = this.#is;
    const back = recovered ? `resumed with ${this.#missed} frames` : "got anew: the log did not reach back";
    this.#barrier = "";
    this.#is.ready = true;
    this.#tries = this.#refusals = 0;
    this.#usesEvents = false;
    if (!draining) this.#become("live", this.#wasLive ? `live, ${back}` : "live");
    if (this.#wasLive) this.#tell("resumed", recovered, this.#missed);
    this.#wasLive = true;
    this.#pump();
  }

  /** @param {import("./line.js").End} end */
  #ended({ code, reason, retryAfter = 0 }) {
    const said = `closed with ${code}${reason && `: ${reason}`}`;
    this.#tell("note", said);
    if (!this.#is.resumed && code === LOST) this.#usesEvents = !this.#usesEvents;
    this.#code = code;
    if (code === 4001 || code === 4401) {
      this.#token = "";
      if (typeof this.#source === "string" || ++this.#refusals > 1) return this.#halt("refused", `the token was refused: ${reason}`);
      return void this.#begin("the token was refused; fetching another…");
    }
    if (!FATAL.includes(code)) return this.#pause(said, code === 4029 || code === 4503 ? Math.max(1, retryAfter) : retryAfter);
    this.#fail(new ThreadcastError("CLOSED", said));
    this.#halt("closed", said);
  }

  /** Connect again: at once, if it is the first time. @param {string} why */
  #pause(why, least = 0) {
    this.#leave();
    const grown = this.#tries++ && Math.min(LONGEST_PAUSE_MS, 125 * 2 ** (this.#tries - 1)) * (0.5 + Math.random() / 2);
    const pause = Math.max(grown, least * 1000);
    if (!pause) return void this.#begin(`${why}; connecting anew…`);
    this.#become("waiting", `${why}; again in ${(pause / 1000).toFixed(1)} s`);
    this.#timer = setTimeout(() => this.#begin("connecting anew…"), pause);
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
    const now = Date.now(), line = this.#line, patience = 2000 * this.#seconds * 2 ** Math.min(this.#silences, 6);
    if (!line && this.state === "connecting" && now - this.#triedAt > ANSWER_MS) return this.#pause("the token could not be fetched");
    if (line && !line.isOpen && now - this.#triedAt > OPEN_MS) return this.#ended({ code: LOST, reason: "it did not open" });
    if (line?.isOpen && now - this.#heardAt > patience) {
      this.#silences++;
      return this.#ended({ code: LOST, reason: `nothing came for ${patience / 1000} s` });
    }
    for (const [label, asked] of this.#asked) {
      if (now - (asked.sentAt || now) < ANSWER_MS || asked.answer?.isHeard) continue;
      this.#again(label);
      if (label === this.#barrier) this.#send(label, asked);
    }
    for (const id of this.#touched.keys()) if (!this.#wants(id)) this.#touched.delete(id);
    this.#pump();
    this.#mend();
  }

  /** The machine, the page or the network was away: a pause is over, and a connection may have died unnoticed. @param {boolean} isSure */
  #wake(isSure) {
    if (!isSure && globalThis.document?.hidden) return;
    if (isSure || this.state === "waiting") this.#begin("connecting anew…");
    else this.#tick();
  }

  /** @param {State} state @param {string} why */
  #become(state, why) {
    [this.state, this.why] = [state, why];
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
