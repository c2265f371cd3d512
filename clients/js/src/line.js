// The two lines to a server: a WebSocket, and Server-Sent Events with requests over HTTP where no WebSocket gets through.
// A line opens once, tells its listener what comes, and ends once. When to open the next is decided in threadcast.js.

/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {{ code: number, reason: string, opened: boolean, retryAfter?: number }} End */
/**
 * @typedef {object} Listener
 * @property {(frame: Frame, text?: string) => void} frame a frame came; without `text` it is an answer over HTTP, in no order
 * @property {() => void} alive the server has shown that it is there
 * @property {(label: string) => void} lost no answer to this request will come
 * @property {(end: End) => void} ended nothing more comes
 */

const LOST = 1006;
const ENDS = new Map([[401, 4401], [429, 4029], [503, 4503]]); // what a refused stream would be on a socket, by status
const CODES = new Map([[401, "UNAUTHORIZED"], [404, "NOT_FOUND"], [429, "TOO_MANY_REQUESTS"], [503, "SERVICE_UNAVAILABLE"]]);
const MOST_POSTS = 3; // that wait for their HTTP answer at once: a browser has six connections to a server, one is the stream's

/** A WebSocket. Frames and answers come in the order in which the server sent them. */
export class SocketLine {
  opened = false;
  #socket;

  /** @param {typeof WebSocket} Socket @param {string} url @param {Listener} on */
  constructor(Socket, url, on) {
    this.on = /** @type {Listener | null} */ (on);
    this.#socket = new Socket(url);
    this.#socket.onopen = () => { this.opened = true; };
    this.#socket.onmessage = ({ data }) => {
      const frame = read(data);
      if (frame) this.on?.frame(frame, data);
      else this.#end(LOST, "what came is no frame");
    };
    this.#socket.onerror = () => {}; // a close follows, and says more
    this.#socket.onclose = ({ code, reason }) => this.#end(code, reason);
  }

  /** @param {string} route @param {string} label @param {object} payload @returns {string} what was sent */
  send(route, label, payload) {
    const text = JSON.stringify({ route, id: label, payload });
    if (this.#socket.readyState === 1) this.#socket.send(text); // else it closes, and what was asked is asked again
    return text;
  }

  close() {
    this.on = null;
    this.#socket.close(1000);
  }

  /** @param {number} code @param {string} reason */
  #end(code, reason) {
    const { on, opened } = this;
    this.close();
    on?.ended({ code, reason, opened });
  }
}

/** Server-Sent Events, and requests over HTTP, whose answers come in no order with the events. */
export class EventsLine {
  opened = false;
  #ending = new AbortController();
  /** @type {AbortController[]} */ #posts = [];

  /** @param {string} base @param {string} token @param {string} since @param {Listener} on */
  constructor(base, token, since, on) {
    this.on = /** @type {Listener | null} */ (on);
    this.base = `${base}/api/v1`;
    this.headers = { authorization: `Bearer ${token}` };
    this.#listen(`${this.base}/events?since=${encodeURIComponent(since)}`).catch(() => this.#end(LOST, ""));
  }

  /** @param {string} route @param {string} label @param {any} payload @returns {string} what was sent */
  send(route, label, payload) {
    const [method, path, body] = twin(route, payload), text = body && JSON.stringify(body);
    this.#ask(route, label, payload, method, path, text).catch(() => this.on?.lost(label));
    return `${method} ${path} ${text ?? ""}`;
  }

  close() {
    this.on = null;
    this.#ending.abort();
    for (const post of this.#posts) post.abort();
  }

  /** @param {number} code @param {string} reason @param {number} [retryAfter] */
  #end(code, reason, retryAfter) {
    const { on, opened } = this;
    this.close();
    on?.ended({ code, reason, opened, retryAfter });
  }

  /** @param {string} url */
  async #listen(url) {
    const headers = { ...this.headers, accept: "text/event-stream" };
    const response = await fetch(url, { headers, cache: "no-store", signal: this.#ending.signal });
    if (!response.ok || !response.body) {
      const { message, retry_after } = await refusal(response);
      return this.#end(ENDS.get(response.status) ?? LOST, message, retry_after);
    }
    this.opened = true;
    let code = LOST, reason = "";
    const events = new Events((data) => {
      const frame = read(data);
      if (!frame) throw new SyntaxError("what came is no frame");
      this.on?.frame(frame, data);
    }, (comment) => {
      const last = /^ (\d{4}) ?(.*)$/.exec(comment);
      if (last) [code, reason] = [Number(last[1]), last[2]];
      else this.on?.alive();
    });
    const reader = response.body.getReader(), decoder = new TextDecoder();
    for (let read = await reader.read(); !read.done; read = await reader.read()) events.take(decoder.decode(read.value, { stream: true }));
    this.#end(code, reason);
  }

  /** @param {string} route @param {string} label @param {any} payload @param {string} method @param {string} path @param {string} [body] */
  async #ask(route, label, payload, method, path, body) {
    const asking = new AbortController();
    if (route === "/chats/post") {
      this.#posts.push(asking);
      if (this.#posts.length > MOST_POSTS) this.#posts.shift()?.abort(); // it is answered all the same, and told by the stream
    } else this.#ending.signal.addEventListener("abort", () => asking.abort(), { once: true });
    const headers = body ? { ...this.headers, "content-type": "application/json" } : this.headers;
    const response = await fetch(this.base + path, { method, headers, body, cache: "no-store", signal: asking.signal });
    const error = response.ok ? null : await refusal(response);
    if (response.status === 401 && / token$/.test(error?.message ?? "")) return this.#end(4401, error?.message ?? "");
    if (response.status >= 500 && error?.code === "LOST") return this.on?.lost(label);
    let answer = error ? null : await response.json();
    if (answer && route === "/messages/update") answer = { chat_id: answer.id, message_id: payload.id, feedback: payload.feedback };
    const event = route === "/chats/post" && answer ? "complete" : EVENTS.get(route);
    const frame = { route, event, payload: answer, sent_by: null, error, send_method: "SenderOnly", request_id: label };
    this.on?.frame(/** @type {any} */ (frame));
  }
}

const EVENTS = new Map([
  ["/chats/post", "postThread"], ["/chats/get", "getChat"], ["/chats/list", "getChatsList"], ["/chats/stop", "stopChat"],
  ["/chats/update", "updateChat"], ["/chats/delete", "deleteChats"], ["/chats/duplicate", "duplicateChat"], ["/messages/update", "updateMessage"],
]);

/** A route's request over HTTP: method, path, body. @param {string} route @param {any} payload @returns {[string, string, object?]} */
function twin(route, payload) {
  const { id, ...rest } = payload, chat = `/chats/${encodeURIComponent(id)}`;
  switch (route) {
    case "/chats/post": return ["POST", "/chats", payload];
    case "/chats/get": return ["GET", chat];
    case "/chats/list": return ["GET", `/chats?${new URLSearchParams(payload)}`];
    case "/chats/stop": return ["POST", `${chat}/stop`];
    case "/chats/update": return ["PUT", chat, rest];
    case "/chats/delete": return ["DELETE", "/chats", payload];
    case "/chats/duplicate": return ["POST", "/chats/duplicate", payload];
    case "/messages/update": return ["PUT", `/messages/${encodeURIComponent(id)}`, rest];
    default: return ["POST", route, payload]; // which the server does not know
  }
}

/** The error of a refused request. What no server of ours has said is LOST when it may pass. @param {Response} response */
async function refusal(response) {
  const { status } = response, after = Number(response.headers.get("retry-after") ?? NaN);
  const said = await response.json().catch(() => null), code = CODES.get(status) ?? (status < 500 ? "BAD_REQUEST" : "LOST");
  const error = typeof said?.code === "string" ? said : { code, message: `HTTP ${status}` };
  return Number.isNaN(after) || error.retry_after !== undefined ? error : { ...error, retry_after: after };
}

/** @param {unknown} text @returns {Frame | null} */
function read(text) {
  try {
    const frame = JSON.parse(/** @type {string} */ (text));
    return typeof frame?.route === "string" && typeof frame.event === "string" ? frame : null;
  } catch {
    return null;
  }
}

/** Reads an event stream, however it is cut into pieces: its events' data, and its comments. */
export class Events {
  #rest = "";
  /** @type {string[]} */ #data = [];

  /** @param {(data: string) => void} event @param {(comment: string) => void} comment */
  constructor(event, comment) {
    this.event = event;
    this.comment = comment;
  }

  /** @param {string} text */
  take(text) {
    if (!/[\r\n]/.test(text)) return void (this.#rest += text); // a large frame comes in many pieces
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/); // a CR at the end may be the first half of a line's end
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith(":")) this.comment(line.slice(1));
      else if (line.startsWith("data:")) this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      else if (!line && this.#data.length) this.event(this.#data.splice(0).join("\n"));
    }
  }
}
