// Server-Sent Events, with requests over HTTP, in the shape of a WebSocket: for where no WebSocket gets through. Answers over
// HTTP come in no order with the events, so they are marked, as is a request that got none: by an error with the code LOST.

const LOST = 1006;
const CLOSES = { 401: 4401, 429: 4029, 503: 4503 }; // a socket's close code, by the status of a refused stream

/** By route: the event of an answer, and the same request over HTTP. */
const TWINS = {
  "/chats/post": ["postThread", "POST", "/chats"],
  "/chats/get": ["getChat", "GET", "/chats/:id"],
  "/chats/list": ["getChatsList", "GET", "/chats"],
  "/chats/stop": ["stopChat", "POST", "/chats/:id/stop"],
  "/chats/update": ["updateChat", "PUT", "/chats/:id"],
  "/chats/delete": ["deleteChats", "DELETE", "/chats"],
  "/chats/duplicate": ["duplicateChat", "POST", "/chats/duplicate"],
  "/messages/update": ["updateMessage", "PUT", "/messages/:id"],
};

export class EventSocket {
  readyState = 0;
  onopen; onmessage; onclose; // as a WebSocket has them
  #ending = new AbortController();

  constructor(base, token, since) {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" }, { signal } = this.#ending;
    this.fetch = (target, init) => fetch(`${base}/api/v1${target}`, { ...init, headers, cache: "no-store", signal });
    this.#listen(since).catch(() => ({ code: LOST, reason: "" })).then((end) => this.onclose(end));
  }

  /** Send a request, as it would go over a socket. */
  async send(text) {
    const { route, id, payload } = JSON.parse(text), [event, method, path] = TWINS[route] ?? ["error", "POST", route];
    const frame = /** @type {any} */ ({ route, event, payload: null, error: null, request_id: id });
    const [query, body] = method === "GET" ? [`?${new URLSearchParams(payload)}`] : ["", JSON.stringify(payload)];
    try {
      const response = await this.fetch(path.replace(":id", encodeURIComponent(payload.id)) + query, { method, body });
      frame[response.ok ? "payload" : "error"] = response.ok ? await response.json() : await refusal(response);
    } catch {
      frame.error = { code: "LOST", message: "the request was lost" };
    }
    const { code, message = "" } = frame.error ?? {};
    if (code === "UNAUTHORIZED" && message.endsWith(" token")) this.onclose({ code: 4401, reason: message });
    else this.onmessage({ data: JSON.stringify(frame), isAnswer: true });
  }

  close() { this.#ending.abort(); }

  /** Hear the stream of events to its end. */
  async #listen(since) {
    const response = await this.fetch(`/events?since=${encodeURIComponent(since)}`);
    if (!response.ok || !response.body) {
      const { message, retry_after } = await refusal(response);
      return { code: CLOSES[response.status] ?? LOST, reason: message, retryAfter: retry_after };
    }
    this.readyState = 1;
    this.onopen();
    let end = { code: LOST, reason: "" };
    for await (const line of linesOf(response.body.getReader())) {
      const last = /^: (\d{4}) ?(.*)$/.exec(line); // the comment before the end has the close code
      if (last) end = { code: Number(last[1]), reason: last[2] };
      else if (line.startsWith(":")) this.onmessage({ data: '{"route": "/stream", "event": "heartbeat", "payload": {}}' });
      else if (line.startsWith("data:")) this.onmessage({ data: line.slice(5) }); // a frame has no line's end
    }
    return end;
  }
}

/** The lines of a stream, however it is cut into pieces. */
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

/** The error of a refused request: LOST, if it may pass, and no server of ours has said it. */
async function refusal(response) {
  const { status } = response, said = await response.json().catch(() => null), after = response.headers.get("retry-after");
  const code = status === 429 || status >= 500 ? "LOST" : "BAD_REQUEST", retry_after = Number(after) || undefined;
  return typeof said?.code === "string" ? said : { code, message: `HTTP ${status}`, retry_after };
}
