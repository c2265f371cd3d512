// The console: one client of the protocol that shows what it hears. It has no power that any other client has not.
//
// Its parts, each of which knows only those above it: what frames add up to (Chats), what one request did (Requests), the socket
// (Link), and the page. The page is drawn from the first two at most once a picture, so a fast stream costs no more than a slow
// one; parts.js draws what a message is made of. What comes from outside becomes text nodes and attributes, never markup.

import { drawParts, drawQuestions, keyed, made, makeQuestions, setText } from "./parts.js";

const MOST_CHATS = 30; // that are held whole
const MOST_LISTED = 500; // chats
const MOST_ASSETS = 100; // that can be picked
const MOST_FRAMES = 1000; // in the inspector
const MOST_FRAME_CHARACTERS = 8_000_000; // the same in characters
const MOST_REQUESTS = 50; // that have a picture
const MOST_EVENTS = 5000; // in a picture, which is 350 wide
const PAGE_SIZE = 25; // chats that are listed at a time
const LONGEST_PAUSE_MS = 10_000; // between two tries to connect
const LOOK_MS = 1000; // between two looks at a connection that may be dead

// By close code: what it means, and whether to come back.
const CLOSES = {
  1000: ["closed by this page", false],
  1002: ["this page broke the WebSocket protocol", false],
  1006: ["the connection was lost", true],
  1007: ["this page sent no UTF-8", false],
  1009: ["this page sent too large a frame", false],
  1011: ["no pong in time, or an error of the server's", true],
  1012: ["the server restarts", true],
  4001: ["the token has expired", false],
  4008: ["this page read too slowly", true],
  4029: ["you have too many connections", true],
  4401: ["the server does not take this token", false],
  4503: ["the server is full, or about to restart", true],
};

const words = (text) => text?.match(/\S+/g)?.length ?? 0;

/** A version 4 UUID. `crypto.randomUUID` is only there over HTTPS and on this very machine. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// What frames add up to

/** A part of an answer after one more frame of it. */
function merged(old, part) {
  const text = (whole, chunk, before) => whole ?? (before ?? "") + (chunk ?? "");
  if (part.type === "text") {
    return { ...part, message: text(part.message, part.message_chunk, old?.message), message_chunk: null };
  }
  if (part.type === "files") {
    const files = { ...old?.files };
    for (const [id, { file, ...rest }] of Object.entries(part.files)) {
      files[id] = { ...rest, file: { ...file, text: text(file.text, file.text_chunk, files[id]?.file.text), text_chunk: null } };
    }
    return { ...part, file_ids: [...new Set([...part.file_ids, ...Object.keys(files)])], files };
  }
  return part;
}

/** The chats of which this page has heard, the latest last. */
class Chats {
  whole = new Map(); // by id, with their messages; `stale` is one that misses pieces, until it is got
  listed = new Map(); // by id: {id, title, updated_at}, the newest first as far as they have been asked for; a new map each time
  shown = null; // the id of the chat that is not let go

  /** Take a frame. Returns the id of a chat that would have to be got to understand it. */
  hear(frame) {
    const payload = frame.payload;
    switch (frame.event) {
      case "initializeChat":
      case "complete":
      case "getChat":
        this.#hold(structuredClone(payload));
        break;
      case "generatingTitle":
        return this.#grow(payload, (chat) => {
          chat.title = payload.title ?? (payload.title_chunk ? chat.growing + payload.title_chunk : chat.title);
          chat.growing = chat.title;
          this.#list(chat);
        });
      case "generatingReasoningMessage":
        return this.#grow(payload, (_, message) => this.#add(message, "reasoning", payload.reasoning));
      case "generatingResponseMessage":
        return this.#grow(payload, (_, message) => this.#add(message, "response", payload.response_message));
      case "getChatsList":
        this.#list(...payload);
    }
    return null;
  }

  /** Frames are missing: what is held is not how it stands. */
  doubt() {
    for (const [id, chat] of this.whole) {
      if (id === this.shown) chat.stale = true;
      else this.whole.delete(id);
    }
  }

  /** Whether the chat has to be got before it can be shown as it stands. */
  lacks(id) {
    return this.whole.get(id)?.stale ?? true;
  }

  #hold(chat) {
    chat.growing = ""; // a title's pieces
    chat.stale = false;
    this.whole.delete(chat.id);
    this.whole.set(chat.id, chat);
    if (this.whole.size > MOST_CHATS) this.whole.delete([...this.whole.keys()].find((id) => id !== this.shown));
    this.#list(chat);
  }

  #list(...chats) {
    const all = new Map(this.listed);
    for (const { id, title, updated_at } of chats) all.set(id, { id, title, updated_at });
    const newest = [...all.values()].sort((one, other) => (one.updated_at < other.updated_at) - (one.updated_at > other.updated_at));
    this.listed = new Map(newest.slice(0, MOST_LISTED).map((chat) => [chat.id, chat]));
  }

  #grow(payload, change) {
    const chat = this.whole.get(payload.chat_id);
    const message = chat?.messages[payload.message_id];
    if (!message || chat.stale) return payload.chat_id;
    change(chat, message);
    return null;
  }

  #add(message, kind, part) {
    const ids = message[`${kind}_message_ids`], parts = message[`${kind}_messages`];
    if (!(part.id in parts)) ids.push(part.id);
    parts[part.id] = merged(parts[part.id], part);
  }
}

/** What became of each request that has a label, this page's and those of the user's other tabs. */
class Requests {
  all = new Map();

  /** This page is about to send it. */
  begin(id, label, at, isMine = true) {
    this.all.delete(id);
    this.all.set(id, { id, label, isMine, began: at, events: [], ended: null });
    if (this.all.size > MOST_REQUESTS) this.all.delete(this.all.keys().next().value);
  }

  hear(frame, at) {
    const id = frame.request_id;
    if (id === undefined || frame.route !== "/chats/post") return;
    const before = this.all.get(id), isNext = frame.event === "initializeChat" && before?.ended !== null; // of one label for all
    if (!before || isNext) this.begin(id, before?.label ?? "another tab's", at, before?.isMine ?? false);
    const request = this.all.get(id), payload = frame.payload;
    const part = payload?.reasoning ?? payload?.response_message;
    const chunk = payload?.title_chunk ?? part?.message_chunk;
    const event = { at: at - request.began, event: frame.error ? "error" : frame.event, words: words(chunk) };
    if (request.events.length === MOST_EVENTS) request.events.pop(); // the end is always there
    request.events.push(event);
    if (frame.event === "complete" || frame.error) request.ended = at - request.began;
    const asked = frame.event === "initializeChat" && payload.messages[payload.message_ids.at(-1)]?.request_message?.request;
    if (asked && !request.isMine) request.label = `another tab's: ${asked.slice(0, 40)}`;
  }
}

// The socket

/** A connection that comes back after a cut and goes on where it was. */
class Link {
  #socket = null;
  #place = null; // [epoch, offset], when it is known
  #tries = 0;
  #timer = 0;
  #barrier = null; // the label of the request whose answer says that all that was missed has come
  #missed = 0;
  #label = `page-${uuid().slice(0, 8)}-`;
  #count = 0;
  #user = null; // whose token it has been so far
  #code = 0; // with which the last connection was closed
  #heardAt = 0; // when the last frame came, or the connection was asked for; by the clock that goes on while the machine sleeps
  #seconds = 15; // between heartbeats, until the server says otherwise
  #silences = 0; // on open connections, since the last heartbeat
  token = null;
  live = false;
  draining = false; // the server has said that it goes

  /** `on` has `frame(frame, text)`, `note(text)`, `state(name, text)`, `user(user)`, `resumed(recovered)`, `live()`, `refused(why)`
   * and `replaced()`. */
  constructor(on) {
    this.on = on;
    setInterval(() => this.#look(), LOOK_MS);
    addEventListener("online", () => this.#wake(true));
    addEventListener("pageshow", ({ persisted }) => persisted && this.#wake(true)); // out of the back-forward cache
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake(false));
  }

  connect(why = "connecting…") {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const old = this.#socket;
    this.#socket = null;
    old?.close(1000);
    this.live = this.draining = false;
    this.#heardAt = Date.now();
    this.on.state("connecting", why);
    const query = new URLSearchParams({ authentication: this.token, since: this.#place?.join(":") ?? "" });
    if (this.#code !== 4503) query.set("refuse", "close"); // else a proxy may find another server by the 503
    this.#code = 0;
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/v1/ws?${query}`);
    let opened = false;
    socket.onopen = () => { opened = true; };
    socket.onmessage = ({ data }) => socket === this.#socket && this.#hear(data);
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#closed(code, reason, opened);
    this.#socket = socket;
  }

  /** Send a request, with a label that is returned. False when it cannot be sent now. */
  send(route, payload, label = this.label()) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    const text = JSON.stringify({ route, id: label, payload });
    this.#socket.send(text);
    this.on.sent(text, route, label);
    return label;
  }

  label() {
    return this.#label + ++this.#count;
  }

  #hear(text) {
    const frame = JSON.parse(text), event = frame.route === "/stream" && frame.event;
    this.#heardAt = Date.now();
    if (event === "resumed" && frame.sent_by.id !== (this.#user ??= frame.sent_by.id)) {
      this.#socket.close(1000);
      this.#socket = null;
      return this.on.replaced();
    }
    if (event === "resumed") this.on.user(frame.sent_by);
    this.on.frame(frame, text);
    if (event === "resumed") this.#resumed(frame.payload);
    else if (event === "goingAway") {
      this.draining = true;
      this.on.state("draining", `draining: the server restarts within ${Math.ceil(frame.payload.retry_after)} s, what runs may finish`);
    } else if (event === "heartbeat") {
      this.#seconds = frame.payload.seconds;
      this.#silences = 0;
    } else if (event) return; // what this page does not know yet
    else if (frame.offset === undefined) this.#place = null; // it is in no log, so there is no going on from it
    else if (this.#place) {
      this.#place[1] = frame.offset;
      if (this.#barrier && frame.request_id !== this.#barrier) this.#missed++;
    }
    if (this.#barrier && frame.request_id === this.#barrier) this.#caughtUp();
  }

  #resumed({ epoch, offset, recovered }) {
    this.wasHere = this.#place !== null;
    this.recovered = recovered;
    this.#place = [epoch, offset];
    this.#missed = 0;
    this.on.resumed(this.recovered && this.wasHere);
    this.#barrier = this.label();
    this.send("/chats/list", { page_size: PAGE_SIZE }, this.#barrier);
  }

  #caughtUp() {
    this.#barrier = null;
    this.#tries = 0;
    this.live = true;
    const back = this.recovered ? `, resumed with ${this.#missed} frames` : ", and got anew: the log did not reach back";
    if (!this.draining) this.on.state("live", `live${this.wasHere ? back : ""}`);
    this.on.live();
  }

  #closed(code, reason, opened) {
    this.#socket = null;
    this.live = false;
    this.#barrier = null;
    this.#code = code;
    const [meaning, again] = CLOSES[code] ?? ["no reason that is known here", true];
    this.on.note(`closed with ${code}${reason ? ` (${reason})` : ""}: ${meaning}`);
    if (code === 4001 || code === 4401) return this.on.refused(`${meaning[0].toUpperCase()}${meaning.slice(1)}.`);
    const said = opened ? `closed with ${code}: ${reason || meaning}` : "the server cannot be reached";
    if (!again) return this.on.state("closed", said);
    this.#tries ||= Number(code === 4029 || code === 4503); // at once it would be the same
    const pause = this.#tries ? Math.min(LONGEST_PAUSE_MS, 250 * 2 ** this.#tries) * (0.5 + Math.random() / 2) : 0;
    this.#tries++;
    this.on.state("connecting", `${said}; again in ${(pause / 1000).toFixed(1)} s`);
    this.#timer = setTimeout(() => this.connect(), pause);
  }

  /** Milliseconds without a frame after which the line is dead. A large frame on a slow line may take longer than twice the
   * heartbeat, so each silence on an open connection doubles this, until a heartbeat comes. */
  get #patience() {
    return 2000 * this.#seconds * 2 ** this.#silences;
  }

  /** Connect anew when the line is dead. */
  #look() {
    const patience = this.#patience;
    if (!this.#socket || Date.now() - this.#heardAt < patience) return;
    this.#silences += Number(this.#socket.readyState === WebSocket.OPEN);
    this.on.note(`nothing came for ${patience / 1000} s: the line is dead`);
    this.connect(`nothing came for ${patience / 1000} s, connecting anew…`);
  }

  /** The page or the network was away: a pause between two tries is over, and a connection may have died unnoticed. */
  #wake(isSure) {
    if (this.#timer || (isSure && this.#socket)) this.connect();
    else this.#look();
  }
}

// The page

const $ = (id) => document.getElementById(id);

const chats = new Chats(), requests = new Requests();
const posts = new Map(); // by label: this page's, from their sending until their message is heard of, or refused
const view = { chat: null, post: null, follows: true }; // what is shown: a chat, or what was posted to begin one; at first, what runs
const got = new Set(); // chats that have been asked for on this connection, and not been answered
let pages = 0; // of the list that have been asked for

const link = new Link({
  sent: (text, route, label) => inspect("out", text, `→ ${route}`, label),
  frame: (frame, text) => hear(frame, text),
  note: (text) => inspect("note", null, text),
  state(name, text) {
    $("light").ariaLive = name === "connecting" && $("light").dataset.state === name ? "off" : "polite"; // another try is no news
    $("light").dataset.state = name;
    $("light-text").textContent = text;
  },
  refused(why) {
    this.state("closed", why);
    if (offered) switchTo(offered); // nobody's page any more
    else askForToken(why);
  },
  user({ name }) { $("who").textContent = name; },
  replaced() { // by another user, who is to find nothing of the first one's
    sessionStorage.removeItem("assets");
    location.reload();
  },
  resumed(recovered) {
    got.clear();
    pages = 1;
    if (recovered) return;
    chats.doubt();
  },
  live() {
    if (view.chat && chats.lacks(view.chat) && !got.has(view.chat)) get(view.chat);
    if (!$("token-dialog").open && document.activeElement === document.body) $("prompt").focus();
    for (const post of posts.values()) if (!post.error) submit(post); // lost on its way, or not: the server knows what it has
    draw();
  },
});

function hear(frame, text) {
  const now = performance.now(), size = new TextEncoder().encode(text).length, mine = posts.get(frame.request_id);
  inspect(frame.error ? "error" : "in", text, `${frame.event}${frame.error ? ` ${frame.error.code}` : ""}`, frame.request_id, size, now);
  requests.hear(frame, now);
  if (frame.error) return refused(frame, mine);
  const unknown = chats.hear(frame);
  if (frame.event === "initializeChat" || frame.event === "complete") {
    posts.delete(frame.request_id);
    if (mine && view.post === frame.request_id) show(frame.payload.id);
    else if (isIdle()) show(frame.payload.id);
  } else if (unknown && !got.has(unknown)) {
    if (view.chat === unknown) get(unknown);
    else if (isIdle()) show(unknown); // a tab that was opened while this was being answered
  }
  if (frame.event === "getChat") got.delete(frame.payload.id);
  if (frame.event === "getChatsList") $("more-chats").hidden = frame.payload.length < PAGE_SIZE || chats.listed.size === MOST_LISTED;
  draw();
}

/** Whether nobody has done anything here yet, so that what other tabs do may be shown. */
function isIdle() {
  return view.follows && !view.chat && !view.post && !$("prompt").value && !$("asset").value;
}

function refused(frame, post) {
  const { code, message, retry_after } = frame.error, said = `${code}: ${message}`;
  if (post && link.draining && code === "SERVICE_UNAVAILABLE") return void (post.isSent = false); // sent again when it is back
  if (post && retry_after !== undefined) return void wait(post, message, retry_after);
  if (frame.event === "getChat" && retry_after !== undefined) {
    setTimeout(() => view.chat && chats.lacks(view.chat) && get(view.chat), retry_after * 1000);
  }
  if (post?.payload.approvals) {
    posts.delete(post.label);
    $("notice").textContent = `“${post.text.slice(0, 40)}” ${said}`;
    if (code === "BAD_REQUEST") get(post.payload.chat_id); // answered somewhere else, or the chat has gone on
  } else if (post && (post.label === view.post || (view.chat && post.payload.chat_id === view.chat))) post.error = said;
  else if (post) {
    posts.delete(post.label);
    $("notice").textContent = `“${post.text.slice(0, 40)}” ${said}`;
  } else if (frame.event !== "stopChat" || code !== "NOT_FOUND") $("notice").textContent = said;
  else if (view.chat) get(view.chat); // it has ended, or is not this user's to stop
  if (frame.event === "postThread" && frame.send_method === "All") { // a stream had begun; which one the frame does not say
    chats.doubt();
    if (view.chat) get(view.chat);
  }
  const message_id = post?.payload.message_id;
  for (const chat of chats.whole.values()) {
    if (message_id in chat.messages) { // its stream had begun
      chat.messages[message_id].error = said;
      posts.delete(frame.request_id);
    }
  }
  draw();
}

/** Post again after so many seconds, unless a new connection has been faster. */
function wait(post, why, seconds) {
  Object.assign(post, { isSent: false, why });
  setTimeout(() => posts.has(post.label) && !post.isSent && submit(post), seconds * 1000);
  draw();
}

function get(id) {
  got.add(id);
  link.send("/chats/get", { id });
}

function show(id, anew = false) {
  if (posts.get(view.post)?.error) posts.delete(view.post);
  Object.assign(view, { chat: id, post: null, follows: false });
  chats.shown = id;
  $("notice").textContent = "";
  if (id && (anew || chats.lacks(id))) get(id);
  draw();
}

/** Post, now or when there is a connection. */
function submit(post) {
  if (link.live && link.send("/chats/post", post.payload, post.label)) Object.assign(post, { isSent: true, why: null });
}

function post(payload, text) {
  const label = link.label(), made = { label, payload: { ...payload, message_id: payload.message_id ?? uuid() }, text, error: null };
  posts.set(label, made);
  requests.begin(label, text.slice(0, 60), performance.now());
  $("request").dataset.follow = label;
  if (!payload.chat_id) {
    show(null);
    view.post = label;
  }
  submit(made);
  draw();
}

// Drawing: the parts that change are asked for, and drawn with the next picture

let drawing = 0;

function draw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    drawList();
    drawChat();
    drawInspector();
    drawTimeline();
  });
}

function drawList() {
  if (drawList.listed === chats.listed && drawList.chat === view.chat) return;
  Object.assign(drawList, { listed: chats.listed, chat: view.chat });
  keyed(
    $("chats"), chats.listed.values(), (chat) => chat.id,
    (chat) => {
      const button = made("button", { type: "button", onclick: () => show(chat.id, true) }, made("span", { className: "text" }), made("small"));
      return made("li", {}, button);
    },
    ({ firstChild: button }, chat) => {
      setText(button.firstChild, chat.title || "untitled");
      setText(button.lastChild, new Date(chat.updated_at).toLocaleString());
      button.ariaCurrent = String(chat.id === view.chat);
    },
  );
}

function drawChat() {
  const chat = chats.whole.get(view.chat), box = $("messages");
  const messages = chat ? chat.message_ids.map((id) => chat.messages[id]) : [];
  const running = messages.find((message) => !message.is_completed && !message.error);
  const waiting = [...posts.values()].filter((post) => (view.chat ? post.payload.chat_id === view.chat : post.label === view.post));
  const atEnd = drawChat.chat !== view.chat || box.scrollHeight - box.scrollTop - box.clientHeight < 40;
  drawChat.chat = view.chat;
  setText($("title"), chat?.title || (view.chat ? "untitled" : "New chat"));
  box.ariaBusy = String(Boolean(running));
  const replaced = new Set(waiting.filter((post) => !post.error && !post.payload.once).map((post) => post.payload.message_id));
  const isUnheard = (post) => !post.payload.approvals && !(post.payload.message_id in (chat?.messages ?? {}));
  keyed(box, [...messages, ...waiting.filter(isUnheard)], (it) => it.id ?? it.label, makeMessage, (node, it) => drawMessage(node, it, chat, replaced.has(it.id)));
  const said = waiting.find((post) => post.payload.approvals); // a message of its own once it is heard of
  for (const message of messages) drawApprovals(box.known.get(message.id).children[3], message, chat, said);
  if (atEnd) box.scrollTop = box.scrollHeight;
  if (!running && document.activeElement === $("stop")) box.focus({ preventScroll: true });
  $("stop").hidden = !running;
  $("stop").onclick = () => {
    if (!link.send("/chats/stop", { id: view.chat, message_id: running?.id })) $("notice").textContent = "There is no connection.";
  };
  $("asset").disabled = Boolean(view.chat);
  $("asset").title = view.chat ? "a chat goes on about what it began with" : "";
  document.title = chat?.title ? `${chat.title} · Threadcast` : "Threadcast";
}

function makeMessage() {
  const again = made("button", { type: "button" }, "Run again");
  return made("article", {},
    made("div", { className: "request" }, made("small"), made("span", { className: "text" })),
    made("div"), made("div"), makeQuestions(),
    made("p", { className: "failed" }),
    made("p", { className: "foot" }, made("span"), again));
}

function drawMessage(article, it, chat, isReplaced) {
  const [request, reasoning, response, questions, failed, foot] = article.children;
  const asked = it.request_message, isPost = "label" in it, isLast = chat?.message_ids.at(-1) === it.id;
  setText(request.firstChild, isPost ? "you" : (asked?.sender_name ?? ""));
  setText(request.lastChild, isPost ? it.text : (asked?.request ?? ""));
  request.hidden = !isPost && !asked;
  if (isPost) questions.hidden = true;
  else {
    drawParts(reasoning, it, "reasoning", isLast, offer);
    drawParts(response, it, "response", isLast, offer);
  }
  setText(failed, it.error ?? "");
  failed.hidden = !it.error;
  const done = isPost ? "" : ending(it, isLast);
  setText(foot.firstChild, isReplaced ? "asked again…" : it.error ? "" : isPost ? (link.live && it.isSent ? "sent" : it.why ?? "waits for the connection") : done);
  foot.lastChild.hidden = isReplaced || !(isPost ? it.error : asked && (it.error || it.is_completed));
  foot.lastChild.onclick = () => {
    $("messages").focus({ preventScroll: true }); // the button goes
    if (isPost) posts.delete(it.label);
    if (isPost) return post(it.payload, it.text);
    it.error = null;
    post({ chat_id: chat.id, message_id: it.id, prompt: asked.request }, asked.request);
  };
}

/** How a message ended, in words. The server's own speak of the moment when it did. */
function ending(message, isLast) {
  const hasAsked = message.approvals && message.is_completed && !["failed", "stopped", "interrupted"].includes(message.finish_reason);
  if (hasAsked && !isOpen(message, isLast)) return "Asked for your approval";
  return message.final_reasoning_message ?? (message.is_completed ? "answered" : "answering…");
}

const isOpen = (message, isLast) => isLast && message.is_completed && message.approvals.some((each) => each.approved === null);

/** What the agent asks. `said`: the post that answers it, while nothing of it is heard. */
function drawApprovals(box, message, chat, said) {
  const open = Boolean(message.approvals) && isOpen(message, chat.message_ids.at(-1) === message.id);
  drawQuestions(box, message.approvals ?? [], {
    isOpen: open,
    waits: open && said ? (link.live && said.isSent ? "sent…" : said.why ?? "waits for the connection") : null,
    send(approvals, text) {
      $("notice").textContent = "";
      post({ chat_id: chat.id, approvals, once: true }, text);
    },
    redraw: draw,
    leave: () => $("messages").focus({ preventScroll: true }),
  });
}

/** Let an asset be picked. */
function offer(value, name) {
  const select = $("asset");
  if (select.length > MOST_ASSETS + 1 || [...select.options].some((option) => option.value === value)) return;
  select.insertBefore(made("option", { value }, `${name} (${value.split(":")[0]})`), select.lastElementChild);
}

// The inspector

const began = performance.now();
let frames = [], held = 0;

function inspect(kind, text, what, request = "", size = text?.length ?? 0, at = performance.now()) {
  const frame = { kind, text, what, request, size, at, node: null };
  frames.push(frame);
  held += text?.length ?? 0;
  while (frames.length > MOST_FRAMES || held > MOST_FRAME_CHARACTERS) {
    const oldest = frames.shift();
    held -= oldest.text?.length ?? 0;
    oldest.node?.remove();
  }
  draw();
}

const passes = (frame) => {
  const wanted = $("filter").value.trim().toLowerCase();
  return !wanted || `${frame.what} ${frame.text ?? ""}`.toLowerCase().includes(wanted);
};

function drawInspector() {
  if ($("inspector").hidden) return;
  const list = $("frames"), atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const first = frames.findLastIndex((frame) => frame.node) + 1;
  for (const frame of frames.slice(first)) list.append((frame.node = makeFrame(frame)));
  if (atEnd) list.scrollTop = list.scrollHeight;
  countFrames();
}

function countFrames() {
  const shown = frames.filter((frame) => frame.node && !frame.node.hidden).length;
  setText($("counts"), shown === frames.length ? `${shown} frames` : `${shown} of ${frames.length} frames`);
}

function makeFrame(frame) {
  const line = [
    made("span", { className: "when" }, ((frame.at - began) / 1000).toFixed(3)),
    made("span", { className: "size" }, frame.text === null ? "" : `${frame.size} B`),
    made("span", { className: "what text" }, frame.what),
  ];
  const item = made("li", { className: frame.kind });
  item.hidden = !passes(frame);
  if (frame.text === null) item.append(made("details", {}, made("summary", {}, ...line)));
  else {
    const details = made("details", {}, made("summary", {}, ...line));
    details.addEventListener("toggle", () => {
      if (!details.open || details.childElementCount > 1) return;
      const pre = made("pre", { tabIndex: 0 }, JSON.stringify(JSON.parse(frame.text), null, 2));
      details.append(pre, made("button", { type: "button", onclick: (event) => copy(frame.text, event.target, pre) }, "Copy as JSON"));
    });
    item.append(details);
  }
  return item;
}

async function copy(text, button, shown) {
  try {
    await navigator.clipboard.writeText(text);
    setText(button, "Copied");
  } catch { // not over HTTPS: then by hand
    if (shown) getSelection().selectAllChildren(shown);
    setText(button, shown ? "Press Ctrl+C" : "Only over HTTPS");
  }
}

// The picture of one request

const ROWS = ["generatingTitle", "generatingReasoningMessage", "generatingResponseMessage"];
const LEFT = 62, RIGHT = 412, TOP = 8, ROW = 36;

function drawn(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

function drawTimeline() {
  if ($("inspector").hidden) return;
  const select = $("request");
  keyed(select, [...requests.all.values()].reverse(), (request) => request.id,
    (request) => made("option", { value: request.id }), (option, request) => setText(option, request.label));
  const request = requests.all.get(select.dataset.follow) ?? [...requests.all.values()].at(-1);
  const events = request?.events ?? [];
  if (request) select.value = request.id;
  if (!events.length || events.at(-1) === drawTimeline.event) return;
  const early = request === drawTimeline.last && request.ended === null && drawTimeline.at + events.length / 10 - performance.now();
  if (early > 0) return void (drawTimeline.timer ||= setTimeout(() => { drawTimeline.timer = 0; draw(); }, early));
  Object.assign(drawTimeline, { last: request, event: events.at(-1), at: performance.now() });
  $("timeline").replaceChildren(...picture(events));
  const streamed = events.filter((event) => ROWS.includes(event.event)), all = streamed.map((event) => event.words);
  const first = `first event after ${events[0].at.toFixed(1)} ms`;
  const sum = all.reduce((before, count) => before + count, 0);
  const joined = sum ? `${streamed.length} frames of ${sum} words, at most ${Math.max(...all)} joined in one` : `${streamed.length} frames, each whole`;
  const total = request.ended === null ? "not ended yet" : `ended after ${(request.ended / 1000).toFixed(2)} s`;
  setText($("summary"), `${first}; ${joined}; ${total}. Bars are as high as the words that their frame joined.`);
  $("timeline").setAttribute("aria-label", `${first}; ${joined}; ${total}`);
}

function* picture(events) {
  const total = Math.max(1, events.at(-1).at), most = Math.max(1, ...events.map((event) => event.words));
  const x = (at) => LEFT + (RIGHT - LEFT) * (at / total), bottom = TOP + ROWS.length * ROW;
  for (const [index, name] of ["title", "reasoning", "response"].entries()) {
    const y = TOP + (index + 1) * ROW;
    yield drawn("line", { x1: LEFT, x2: RIGHT, y1: y, y2: y });
    yield drawn("text", { x: 2, y: y - 4 }, name);
  }
  for (const { at, event, words: count } of events) {
    const row = ROWS.indexOf(event);
    if (row < 0) {
      const mark = drawn("line", { x1: x(at), x2: x(at), y1: TOP, y2: bottom, class: event === "error" ? "failed" : "mark" });
      mark.append(drawn("title", {}, `${event} at ${at.toFixed(1)} ms`));
      yield mark;
    } else {
      const height = 4 + (ROW - 8) * (count / most);
      const bar = drawn("rect", { x: x(at) - 1, y: TOP + (row + 1) * ROW - height, width: 2, height, class: event });
      bar.append(drawn("title", {}, `${event} at ${at.toFixed(1)} ms: ${count} words`));
      yield bar;
    }
  }
  for (const part of [0, 0.5, 1]) {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    yield drawn("text", { x: x(total * part), y: bottom + 13, "text-anchor": anchor }, `${(total * part).toFixed(0)} ms`);
  }
}

// What a person does

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = $("prompt").value.trim(), chosen = view.chat ? "" : $("asset").value;
  const [asset_type, asset_id] = (chosen === "other" ? $("other-asset").value.trim() : chosen).split(":");
  $("notice").textContent = "";
  if (!prompt && !asset_type) return void ($("notice").textContent = "Type a prompt, or pick an asset.");
  if (chosen && !asset_id) return void ($("notice").textContent = "An asset is a type and an id, such as metric:33333333-…");
  const about = asset_type ? { asset_type, asset_id } : view.chat ? { chat_id: view.chat } : {};
  post({ ...about, ...(prompt && { prompt }), once: true }, prompt || `Open ${$("asset").selectedOptions[0].textContent}`);
  $("prompt").value = $("asset").value = "";
  $("other-asset").hidden = true;
});

$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("composer").requestSubmit();
});

addEventListener("keydown", (event) => {
  const isElsewhere = event.isComposing || $("inspector").contains(event.target) || $("token-dialog").open;
  if (event.key === "Escape" && !$("stop").hidden && !isElsewhere) $("stop").click();
  if (event.altKey && event.key.toLowerCase() === "n") {
    event.preventDefault();
    $("new-chat").click();
  }
});

$("new-chat").addEventListener("click", () => {
  show(null);
  $("prompt").focus();
});
$("more-chats").addEventListener("click", () => {
  if (link.send("/chats/list", { page_token: pages, page_size: PAGE_SIZE })) pages++;
});
$("asset").addEventListener("change", () => { $("other-asset").hidden = $("asset").value !== "other"; });
$("request").addEventListener("change", (event) => {
  event.target.dataset.follow = event.target.value;
  draw();
});
$("filter").addEventListener("input", () => {
  for (const frame of frames) if (frame.node) frame.node.hidden = !passes(frame);
  countFrames();
});
$("copy-all").addEventListener("click", (event) => {
  const shown = frames.filter((frame) => frame.text !== null && passes(frame)).map((frame) => frame.text);
  copy(`[${shown.join(",\n")}]`, event.target);
});
$("clear").addEventListener("click", () => {
  [frames, held] = [[], 0];
  $("frames").replaceChildren();
  countFrames();
});
$("inspector-button").addEventListener("click", (event) => {
  const hidden = ($("inspector").hidden = !$("inspector").hidden);
  document.querySelector("main").className = hidden ? "wide" : "";
  event.target.ariaExpanded = String(!hidden);
  draw();
});

function askForToken(why) {
  $("token-why").textContent = why;
  if (!$("token-dialog").open) $("token-dialog").showModal();
}

/** Be who the token says, in this tab and in those that it opens. A terminal may have broken it into lines. */
function enter(pasted) {
  const token = pasted.replace(/[^\x21-\x7e]/g, "");
  sessionStorage.setItem("token", token);
  link.token = token;
  link.connect();
}

$("token-button").addEventListener("click", () => askForToken(link.live ? "You are connected." : "You are not connected."));
$("token-cancel").addEventListener("click", () => $("token-dialog").close());
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("token-dialog").close();
  enter($("token").value);
  $("token").value = "";
});

/** Whose token it is: only the server can say whether that is true. */
function subject(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub;
  } catch {
    return token; // a short one of a dev server
  }
}

/** The address may bring a token and assets after its #, which no server is sent. They do not stay there. */
function arrive() {
  const brought = new URLSearchParams(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  const before = sessionStorage.getItem("token"), token = brought.get("token");
  if (!before || !token || subject(before) === subject(token)) return take(brought);
  if (!link.token) take(new URLSearchParams()); // as who this tab was before it was loaded
  askToSwitch(brought);
}

function take(brought) {
  if (brought.has("demo")) offerDemo();
  const assets = brought.getAll("asset").length ? brought.getAll("asset") : JSON.parse(sessionStorage.getItem("assets") ?? "[]");
  offerAll(assets);
  const token = brought.get("token") ?? sessionStorage.getItem("token");
  if (token) enter(token);
  else askForToken("");
  draw();
}

function offerAll(assets) {
  sessionStorage.setItem("assets", JSON.stringify(assets));
  for (const asset of assets) {
    const [type, id, ...name] = asset.split(":");
    offer(`${type}:${id}`, name.join(":"));
  }
}

/** A dev server tells its demo assets. */
async function offerDemo() {
  const answer = await fetch("demo.json");
  if (answer.ok) offerAll(await answer.json());
}

let offered = null; // what an address has brought, while it is asked whether to take it

function askToSwitch(brought) {
  offered = brought;
  const whose = $("who").textContent ? `${$("who").textContent}’s` : "somebody’s already";
  $("switch-why").textContent = `This page is ${whose}. The address that was opened brings the token of another account: what you write after a switch is that account’s.`;
  const dialog = $("switch-dialog");
  dialog.returnValue = "";
  if (!dialog.open) dialog.showModal();
}

/** Begin anew as another user, who is to find nothing of the first one's. */
async function switchTo(brought) {
  sessionStorage.clear();
  const assets = brought.getAll("asset");
  if (assets.length) sessionStorage.setItem("assets", JSON.stringify(assets));
  if (brought.has("demo")) await offerDemo();
  sessionStorage.setItem("token", brought.get("token"));
  location.reload();
}

$("switch-dialog").addEventListener("close", ({ target: dialog }) => {
  if (dialog.open) return; // the event comes late: another address has asked meanwhile
  if (offered && dialog.returnValue === "switch") switchTo(offered);
  offered = null;
});
addEventListener("hashchange", () => location.hash && arrive()); // the same page is given another address
arrive();
