// The two lines to a server: a WebSocket, and Server-Sent Events with requests over HTTP where no WebSocket gets through.
// A line tells its listener what comes, and ends once. When to open the next is decided in threadcast.js.

/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {{ code: number, reason: string, retryAfter?: number }} End */
/**
 * @typedef {object} Listener `frame`: one without text is an answer over HTTP, in no order; `lost`: no answer will come
 * @property {(frame: Frame, text?: string) => void} frame
 * @property {() => void} alive
 * @property {(label: string) => void} lost
 * @property {(end: End) => void} ended
 */

const LOST = 1006;
const CLOSES = new Map([[401, 4401], [429, 4029], [503, 4503]]); // a socket's close code, by the status of a refused stream
const CODES = new Map([[401, "UNAUTHORIZED"], [404, "NOT_FOUND"], [429, "TOO_MANY_REQUESTS"], [503, "SERVICE_UNAVAILABLE"]]);

/** By route: the event of an answer, and the same request over HTTP. @type {Record<string, (id: string, it: any) => any[]>} */
const TWINS = {
  "/chats/post": (_, it) => ["postThread", "POST", "/chats", it],
  "/chats/get": (id) => ["getChat", "GET", `/chats/${id}`],
  "/chats/list": (_, it) => ["getChatsList", "GET", `/chats?${new URLSearchParams(it)}`],
  "/chats/stop": (id) => ["stopChat", "POST", `/chats/${id}/stop`],
  "/chats/update": (id, it) => ["updateChat", "PUT", `/chats/${id}`, it],
  "/chats/delete": (_, it) => ["deleteChats", "DELETE", "/chats", it],
  "/chats/duplicate": (_, it) => ["duplicateChat", "POST", "/chats/duplicate", it],
  "/messages/update": (id, it) => ["updateMessage", "PUT", `/messages/${id}`, it],
};

/** A WebSocket. Frames and answers come in the order in which the server sent them. */
export class SocketLine {
  isOpen = false;

  /** @param {typeof WebSocket} Socket @param {string} url @param {Listener} on */
  constructor(Socket, url, on) {
    this.socket = new Socket(url);
    this.socket.onopen = () => { this.isOpen = true; };
    this.socket.onmessage = ({ data }) => read(data, on) || this.socket.close(1000, "no frame");
    this.socket.onerror = () => {}; // a close follows
    this.socket.onclose = ({ code, reason }) => on.ended({ code, reason });
  }

  /** @param {string} route @param {string} label @param {object} payload @returns {string} what was sent */
  send(route, label, payload) {
    const text = JSON.stringify({ route, id: label, payload });
    if (this.socket.readyState === 1) this.socket.send(text); // else it closes, and what was asked is asked again
    return text;
  }

  close() {
    this.socket.onmessage = this.socket.onclose = null;
    this.socket.close(1000);
  }
}

/** Server-Sent Events, and requests over HTTP, whose answers come in no order with the events. */
export class EventsLine {
  isOpen = false;
  #ending = new AbortController();

  /** @param {string} base @param {string} token @param {string} since @param {Listener} on */
  constructor(base, token, since, on) {
    const tell = (/** @type {End} */ end) => this.#ending.signal.aborted || on.ended(end);
    this.on = on;
    this.base = `${base}/api/v1`;
    this.headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    this.#listen(`/events?since=${encodeURIComponent(since)}`).then(tell, () => tell({ code: LOST, reason: "" }));
  }

  /** @param {string} route @param {string} label @param {any} payload @returns {string} what was sent */
  send(route, label, payload) {
    const twin = TWINS[route] ?? (() => ["error", "POST", route, payload]);
    const [event, method, path, body] = twin(encodeURIComponent(payload.id), payload);
    const text = body && JSON.stringify(body), frame = { route, event, payload: null, error: null, request_id: label };
    this.#fetch(path, { method, body: text }).then(async (response) => {
      if (response.ok) return { ...frame, payload: await response.json() };
      const error = await refusal(response);
      if (response.status === 401 && error.message.endsWith(" token")) this.on.ended({ code: 4401, reason: error.message });
      else return error.code === "LOST" ? this.on.lost(label) : { ...frame, error };
    }).then((answer) => answer && this.on.frame(/** @type {any} */ (answer)), () => this.on.lost(label));
    return `${method} ${path} ${text ?? ""}`;
  }

  close() {
    this.#ending.abort();
  }

  /** @param {string} path @param {RequestInit} [init] */
  #fetch(path, init) {
    return fetch(this.base + path, { ...init, headers: this.headers, cache: "no-store", signal: this.#ending.signal });
  }

  /** @param {string} path @returns {Promise<End>} */
  async #listen(path) {
    const response = await this.#fetch(path), end = { code: LOST, reason: "" }, data = [];
    if (!response.ok || !response.body) {
      const { message, retry_after } = await refusal(response);
      return { code: CLOSES.get(response.status) ?? LOST, reason: message, retryAfter: retry_after };
    }
    this.isOpen = true;
    for await (const line of linesOf(response.body.getReader())) {
      const last = /^: (\d{4}) ?(.*)$/.exec(line);
      if (last) Object.assign(end, { code: Number(last[1]), reason: last[2] });
      else if (line.startsWith(":")) this.on.alive();
      else if (line.startsWith("data:")) data.push(line.slice(5));
      else if (!line && data.length && !read(data.splice(0).join("\n"), this.on)) break;
    }
    return end;
  }
}

/** The lines of a stream, however it is cut into pieces. @param {{ read(): Promise<{ value?: any, done: boolean }> }} reader */
export async function* linesOf(reader) {
  const decoder = new TextDecoder();
  for (let rest = "", piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const text = decoder.decode(piece.value, { stream: true });
    rest += text;
    if (!/[\r\n]/.test(text)) continue; // a large frame comes in many pieces
    const lines = rest.split(/\r\n|\n|\r(?!$)/); // a CR at the end may be half of a line's end
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** The error of a refused request: LOST, if no server of ours has said it and it may pass. @param {Response} response */
async function refusal(response) {
  const { status } = response, said = await response.json().catch(() => null), after = response.headers.get("retry-after");
  const error = { code: CODES.get(status) ?? (status < 500 ? "BAD_REQUEST" : "LOST"), message: `HTTP ${status}` };
  return { ...error, ...(after && { retry_after: Number(after) }), ...(typeof said?.code === "string" && said) };
}

/** Hand a frame on, if it is one. @param {string} text @param {Listener} on */
function read(text, on) {
  let frame;
  try {
    frame = JSON.parse(text);
  } catch {}
  const isFrame = typeof frame?.route === "string" && typeof frame.event === "string";
  if (isFrame) on.frame(frame, text);
  return isFrame;
}
