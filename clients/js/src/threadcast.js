// A client of Threadcast: posts, answers and chats over a connection that comes back by itself. See README.md.

import { Fold, isGrowing, textOf } from "./fold.js";
import { EventSocket } from "./line.js";

/** @import { ChatMessage, Chats, ChatWithMessages, Options, Post, State, Token } from "./frames.js" */

const MOST_WAITING = 100; // requests that are not on their way
const OPEN_MS = 10_000; // for a connection to open; also the longest pause between two tries
const ANSWER_MS = 30_000; // for a token, or an answer, before it is asked for again
const LOST = 1006, TOKEN = [4001, 4401], FULL = [4029, 4503]; // close codes
const FATAL = [1002, 1007, 1009]; // closes that the same frames would bring about again

/** A refusal of the server's, or, with CLOSED, REPLACED, QUEUE_FULL or NO_ANSWER, of this client's. `retryAfter` in seconds. */
export class ThreadcastError extends Error {
  name = "ThreadcastError";
  /** @param {string} code @param {string} message @param {number} [retryAfter] */
  constructor(code, message, retryAfter) {
    super(message);
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
  /** @type {ChatWithMessages | undefined} the chat, as it was held last */ chat;
  isHeard = false; // the server has it
  isSettled = false;
  #client;

  /** @param {Threadcast} client @param {{ payload: any, done: Promise<ChatMessage> }} asked */
  constructor(client, { payload, done }) {
    this.#client = client;
    /** @type {string} */ this.messageId = payload.message_id;
    /** @type {string | undefined} */ this.chatId = payload.chat_id;
    this.done = done;
  }

  get message() { return this.isHeard ? this.chat?.messages[this.messageId] : undefined; }
  get text() { return textOf(this.message); }

  /** Stop the answer. What there is of it stays. */
  async stop() {
    while (!this.chatId && !this.isSettled) await this.#changed();
    const stopped = this.isSettled || this.#client.request("/chats/stop", { id: this.chatId, message_id: this.messageId });
    await Promise.resolve(stopped).catch((error) => { if (error.code !== "NOT_FOUND") throw error; }); // else it has ended
  }

  #changed() {
    return new Promise((go) => { const leave = this.#client.chats.subscribe(() => go(leave())); });
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
      else await this.#changed();
    }
    await this.done;
  }
}

export class Threadcast {
  /** @type {State} */ state = "connecting";
  why = "connecting…"; // the state in words for people
  #options; #token = ""; #user; #seconds; // between two heartbeats
  #ticking; #pausing; #waking; // what ends when there is to be no connection any more
  #line = {}; // the try to connect, its socket, and how far it has come
  #past = { tries: 0, silences: 0, code: 0, usesEvents: false }; // the tries since it was live, and how the last one ended
  /** @type {any} */ #place = null; // epoch and offset of the last frame, when they are known
  #heardAt = 0; // by the clock that goes on while the machine sleeps
  #asked = new Map(); // requests by their labels, until they are answered
  #open = new Set(); // chats
  #listeners = new Set();
  #fold = new Fold((id) => this.#wanted().includes(id));

  /** @param {Options} options */
  constructor({ url, token, WebSocket = globalThis.WebSocket, heartbeat = 15 }) {
    const base = new URL(url, globalThis.location?.href).href.replace(/^ws/, "http").replace(/\/+$/, "");
    [this.#options, this.#seconds] = [{ base, token, WebSocket, heartbeat }, heartbeat];
    const ask = (route, payload) => this.request(route, payload);
    /** @type {Chats} */
    this.chats = {
      subscribe: (listener) => this.on("chats", listener),
      getSnapshot: () => this.#fold.snapshot,
      get: (id) => this.#fold.get(id),
      open: (id) => this.#opened(id),
      close: (id) => void this.#open.delete(id),
      list: ({ pageToken, pageSize, query } = {}) => ask("/chats/list", { page_token: pageToken, page_size: pageSize, query }),
      update: (id, { title, isFavorited }) => ask("/chats/update", { id, title, is_favorited: isFavorited }),
      delete: (ids) => ask("/chats/delete", { ids }),
      duplicate: (id, messageId) => ask("/chats/duplicate", { id, message_id: messageId }),
      feedback: (id, feedback) => ask("/messages/update", { id, feedback }),
    };
    queueMicrotask(() => this.#waking || this.state === "closed" || this.connect());
  }

  /** Hear of what docs/clients.md names. @param {string} name @param {Function} listener */
  on(name, listener) {
    const each = { name, listener };
    this.#listeners.add(each);
    return () => void this.#listeners.delete(each);
  }

  /** Hear of the state. @param {() => void} listener */
  subscribe(listener) { return this.on("state", listener); }

  /** Post, now or when there is a connection. @param {Post} post */
  post({ prompt, asset, chatId, messageId, model, approvals, once = !(messageId && chatId) || undefined }) {
    const message_id = messageId ?? uuid(); // which, without `once`, may be that of a message to replace
    const about = { chat_id: chatId, asset_type: asset?.type, asset_id: asset?.id };
    const asked = this.#ask("/chats/post", { prompt, ...about, message_id, model, approvals, once });
    return (asked.answer = new Answer(this, asked));
  }

  /** Ask for anything but a post. @param {string} route @param {any} payload @returns {Promise<any>} the answer's payload */
  async request(route, payload) {
    return this.#ask(route, payload).done;
  }

  /** Connect, or connect anew, with another token perhaps. @param {Token} [token] */
  connect(token = this.#options.token) {
    [this.#options.token, this.#token, this.#past.code] = [token, "", 0];
    this.#run();
  }

  /** End the connection, and all that waits for an answer. */
  close(why = "closed by this client") {
    this.#fail(new ThreadcastError("CLOSED", why));
    this.#halt("closed", why);
  }

  /** Have a request sent as soon as it can be. */
  #ask(route, payload, isOwn = false) {
    if (this.state === "closed" && !isOwn) throw new ThreadcastError("CLOSED", "the client is closed");
    const waiting = [...this.#asked.values()].filter(({ sentAt }) => !sentAt).length, label = uuid();
    if (waiting >= MOST_WAITING && !isOwn) throw new ThreadcastError("QUEUE_FULL", `${waiting} requests wait already`);
    const asked = /** @type {any} */ ({ label, route, payload, sentAt: 0, after: 0 });
    asked.done = new Promise((resolve, reject) => Object.assign(asked, { resolve, reject }));
    asked.done.catch(() => {}).then(() => {
      this.#asked.delete(label);
      if (asked.answer) asked.answer.isSettled = true;
      this.#tell("chats"); // answers wait for it
    });
    this.#asked.set(label, asked);
    queueMicrotask(() => this.#pump());
    return asked;
  }

  /** Send what can be sent. Before all that was missed has come, this is only the request whose answer says that it has. */
  #pump() {
    const { socket, isReady, isDraining, barrier } = this.#line;
    for (const asked of this.#asked.values()) {
      const { label, route, payload, answer, sentAt, after } = asked, isHeld = answer && (isDraining || answer.isHeard);
      if (sentAt || isHeld || after > Date.now() || !(isReady || asked === barrier) || socket.readyState !== 1) continue;
      const text = JSON.stringify({ route, id: label, payload });
      asked.sentAt = Date.now();
      socket.send(text);
      this.#tell("sent", text, route, label);
    }
  }

  /** No answer will come: ask again, where that does no harm. */
  #again(asked, after = asked.after) {
    const isSafe = asked.answer || !["/chats/duplicate", "/chats/post"].includes(asked.route);
    if (isSafe) Object.assign(asked, { sentAt: 0, after });
    else if (asked.sentAt) asked.reject(new ThreadcastError("NO_ANSWER", "it is not known whether it was done"));
  }

  /** All that waits fails, or, in a chat that is gone, the answers. */
  #fail(error, chatId) {
    for (const { answer, reject } of this.#asked.values()) if (!chatId || answer?.chatId === chatId) reject(error);
    this.#open.delete(chatId);
    if (chatId) this.#fold.forget(chatId);
  }

  /** The chats that are open, or in which an answer is to come. */
  #wanted() {
    return [...this.#open, ...[...this.#asked.values()].flatMap(({ answer }) => answer?.chatId ?? [])];
  }

  async #opened(id) {
    const isCurrent = this.#line.isReady && this.#fold.isTrue(id) && isGrowing(this.#fold.get(id)); // each piece of it comes
    this.#open.add(id);
    this.#fold.doubt((chat) => chat.id === id && !isCurrent);
    const { done } = this.#ask("/chats/get", { id }, true);
    if (!isCurrent) await done;
    return this.#fold.get(id);
  }

  /** Get the chats that are not held as they stand. */
  #mend() {
    const asked = [...this.#asked.values()].map(({ route, payload }) => route === "/chats/get" && payload.id);
    const ids = [...this.#fold.stale, ...this.#wanted()].filter((id) => !this.#fold.isTrue(id) && !asked.includes(id));
    for (const id of new Set(ids)) this.#ask("/chats/get", { id }, true);
  }

  /** Hear a frame, or, `isAnswer`, an answer over HTTP, which comes in no order with the frames. */
  #hear(frame, text, isAnswer) {
    const before = this.#fold.snapshot;
    this.#heardAt = Date.now();
    this.#tell("frame", frame, text);
    if (frame.route === "/stream") this.#control(frame);
    else if (isAnswer || this.#isNext(frame)) this.#take(frame, this.#asked.get(frame.request_id) ?? {}, isAnswer);
    if (this.#fold.snapshot !== before) this.#tell("chats");
  }

  /** Whether the frame comes after the last one. From one that is in no log, or comes too late, there is no going on. */
  #isNext({ offset }) {
    const last = this.#place?.[1] ?? -1;
    if (offset === undefined || offset < last) this.#place = null;
    if (offset < last) this.#line.end({ code: LOST, reason: "frames came in a wrong order" });
    else if (this.#place) this.#place[1] = offset;
    return !(offset <= last);
  }

  /** `own` is the request that the frame answers. */
  #take({ event, error, ...frame }, own, isAnswer) {
    const line = this.#line, payload = frame.payload ?? {}, id = payload.chat_id ?? payload.id;
    const isNews = !isAnswer || (!this.#fold.isTrue(id) && ["getChat", "postThread", "getChatsList"].includes(event));
    line.beats = 0;
    if (error) this.#refuse(event, error, own);
    else if (isNews) this.#fold.take({ event, payload }, !isAnswer);
    for (const asked of error ? [] : this.#asked.values()) {
      const isStopped = event === "complete" && asked.route === "/chats/stop" && asked.payload.id === id;
      if (asked.answer && isNews) this.#follow(asked, payload, id, asked === own, isAnswer);
      else if (!asked.answer && (isStopped || asked === own)) asked.resolve(frame.payload);
    }
    const gone = event === "deleteChats" && !error ? payload.ids : [];
    for (const each of gone) this.#fail(new ThreadcastError("NOT_FOUND", "the chat is gone"), each);
    if (own === line.barrier && error?.code !== "LOST") this.#live();
    line.missed++;
  }

  /** See what a frame says of a post. If it is not `isOwn`, it may be about the message that the post is to replace. */
  #follow({ answer, payload: { once }, resolve, reject }, payload, id, isOwn, isAnswer) {
    const { messageId } = answer, message = payload.messages?.[messageId];
    const isAbout = message || payload.message_id === messageId;
    if (isAbout && (isOwn || once || message?.is_completed === false)) Object.assign(answer, { isHeard: true, chatId: id });
    if (!answer.isHeard || answer.chatId !== id) return;
    answer.chat = this.#fold.get(id) ?? answer.chat;
    const isGone = !isAnswer && payload.message_ids?.includes(messageId) === false;
    if (isGone) reject(new ThreadcastError("NOT_FOUND", "the message is gone"));
    else if (message?.is_completed) resolve(message);
  }

  #refuse(event, { code, message, retry_after: seconds }, own) {
    const { route, answer } = own, isGet = route === "/chats/get", error = new ThreadcastError(code, message, seconds);
    const isLater = code === "LOST" || (seconds !== undefined && (isGet || (answer && !answer.isHeard)));
    if (isLater) return this.#again(own, this.#line.isDraining ? 0 : Date.now() + 1000 * (seconds ?? 0.5));
    if (event === "postThread" && (!route || answer?.isHeard)) this.#fold.doubt(isGrowing); // one of these is stored as failed
    own.reject?.(error);
    if (isGet && code === "NOT_FOUND") this.#fail(error, own.payload.id);
  }

  /** A frame about the connection. */
  #control({ event, payload, sent_by: user }) {
    const line = this.#line;
    if (event === "heartbeat") {
      this.#seconds = payload.seconds ?? this.#seconds;
      this.#past.silences = 0;
      if (++line.beats % 2 === 0) this.#fold.doubt(isGrowing); // nothing has come for two heartbeats
    } else if (event === "goingAway") {
      line.isDraining = true;
      this.#become("draining", `the server restarts within ${Math.ceil(payload.retry_after)} s; what runs may finish`);
    } else if (event === "resumed") {
      line.isBack = this.#user === user.id;
      if (this.#user && !line.isBack) { // another user, who is to find nothing of the one before
        this.#place = null;
        this.#open.clear();
        this.#fail(new ThreadcastError("REPLACED", "another user has come"));
        this.#fold = new Fold(this.#fold.keeps);
        this.#tell("replaced", user);
      }
      line.recovered = payload.recovered && this.#place?.[0] === payload.epoch;
      [this.#user, this.#place] = [user.id, [payload.epoch, payload.offset]];
      if (!line.recovered) this.#fold.doubt();
      line.barrier = this.#ask("/chats/list", { page_size: 25 }, true);
      this.#tell("user", user);
    }
  }

  /** All that was missed has come. */
  #live() {
    const { recovered, missed, isBack, isDraining } = this.#line;
    const back = recovered ? `resumed with ${missed} frames` : "got anew: the log did not reach back";
    Object.assign(this.#line, { isReady: true, barrier: null });
    Object.assign(this.#past, { tries: 0, code: 0, usesEvents: false });
    if (!isDraining) this.#become("live", isBack ? `live, ${back}` : "live");
    if (isBack) this.#tell("resumed", recovered, missed);
    this.#mend();
    this.#pump();
  }

  /** Have one connection after another, until one ends that is to be the last. `#halt` leaves this waiting for ever. */
  async #run() {
    this.#halt("connecting", "connecting…");
    this.#ticking = setInterval(() => this.#tick(), Math.min(1000, this.#options.heartbeat * 250));
    this.#waking = new AbortController();
    const past = this.#past, wake = ({ type }) => { // the machine, the page or the network was away
      const isNow = type === "online" || (this.state === "waiting" && !globalThis.document?.hidden);
      isNow ? this.#run() : this.#tick();
    };
    const options = { signal: this.#waking.signal, capture: true };
    for (const type of ["online", "pageshow", "visibilitychange"]) globalThis.addEventListener?.(type, wake, options);
    for (past.tries = 0; ; past.tries++) {
      const { code, reason, retryAfter = 0 } = await new Promise((resolve) => this.#try(resolve));
      const said = `closed with ${code}${reason && `: ${reason}`}`, isToken = TOKEN.includes(code);
      const isLast = isToken && (typeof this.#options.token === "string" || TOKEN.includes(past.code));
      this.#tell("note", said);
      past.code = code;
      if (isToken) this.#token = "";
      if (FATAL.includes(code)) return this.close(said);
      if (isLast) return this.#halt("refused", `the token was refused: ${reason}`);
      const grown = past.tries && Math.min(OPEN_MS, 125 * 2 ** past.tries) * (0.5 + Math.random() / 2);
      const pause = isToken ? 0 : Math.max(grown, 1000 * retryAfter, FULL.includes(code) ? 1000 : 0);
      if (pause) this.#become("waiting", `${said}; again in ${(pause / 1000).toFixed(1)} s`);
      if (pause) await new Promise((go) => { this.#pausing = setTimeout(go, pause); });
      this.#become("connecting", pause ? "connecting anew…" : `${said}; connecting anew…`);
    }
  }

  /** Open a connection. `resolve` is told how it ended. */
  async #try(resolve) {
    const { base, token, WebSocket } = this.#options, past = this.#past, line = { missed: 0, beats: 0 };
    line.end = (how) => {
      if (line !== this.#line) return;
      if (how.code === LOST && !line.barrier && !line.isReady) past.usesEvents = !past.usesEvents;
      this.#leave();
      resolve(how);
    };
    [this.#line, this.#heardAt] = [line, Date.now()];
    try {
      this.#token ||= typeof token === "string" ? token : await token();
      if (line !== this.#line) return;
      const since = this.#place?.join(":") ?? "", query = new URLSearchParams({ authentication: this.#token, since });
      if (past.code !== 4503) query.set("refuse", "close"); // else a proxy may find another server by the 503
      if (past.usesEvents || !WebSocket) line.socket = new EventSocket(base, this.#token, since);
      else line.socket = new WebSocket(`${base.replace(/^http/, "ws")}/api/v1/ws?${query}`);
    } catch {
      return line.end({ code: LOST, reason: "the token could not be fetched" });
    }
    line.socket.onopen = () => { this.#heardAt = Date.now(); };
    line.socket.onerror = () => {}; // a close follows
    line.socket.onclose = line.end;
    line.socket.onmessage = ({ data, isAnswer = false }) => {
      try {
        if (line === this.#line) this.#hear(JSON.parse(data), data, isAnswer);
      } catch {
        this.#place = null; // it is not known how much of it was taken
        line.end({ code: LOST, reason: "a frame could not be read" });
      }
    };
  }

  /** Have no connection. What was on its way is asked again. */
  #leave() {
    const { socket, barrier } = this.#line;
    this.#line = {};
    socket?.close();
    this.#asked.delete(barrier?.label);
    for (const asked of this.#asked.values()) this.#again(asked);
  }

  /** Have no connection, until `#run`. */
  #halt(state, why) {
    clearInterval(this.#ticking);
    clearTimeout(this.#pausing);
    this.#waking?.abort();
    this.#leave();
    this.#become(state, why);
  }

  #tick() {
    const { socket, isReady, end } = this.#line, isOpen = socket?.readyState === 1, now = Date.now();
    const patience = isOpen ? 2000 * this.#seconds * 2 ** Math.min(this.#past.silences, 6) : socket ? OPEN_MS : ANSWER_MS;
    if (end && now - this.#heardAt > patience) {
      this.#past.silences += Number(isOpen);
      return end({ code: LOST, reason: `nothing came for ${patience / 1000} s` });
    }
    const isLate = ({ sentAt, answer }) => sentAt && now - sentAt > ANSWER_MS && !answer?.isHeard;
    for (const asked of [...this.#asked.values()].filter(isLate)) this.#again(asked);
    if (isReady) this.#mend();
    this.#pump();
  }

  #become(state, why) {
    [this.state, this.why] = [state, why];
    this.#tell("state", state, why);
  }

  #tell(name, ...told) {
    for (const each of this.#listeners) {
      try {
        if (each.name === name) each.listener(...told);
      } catch (error) {
        setTimeout(() => { throw error; }); // its own failure, not ours
      }
    }
  }
}
