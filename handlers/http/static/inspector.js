// @ts-check
// The inspector: each frame that was sent and got, and a picture of one request. It only looks on.

import { $, copy, keyed, made, setText } from "./dom.js";

/**
 * @import { Heard } from "./running.js"
 * @import { Threadcast } from "./threadcast.js"
 * @typedef {{ at: number, event: string, words: number }} Moment `at`: milliseconds after its request
 * @typedef {{ id: string, label: string, isMine: boolean, began: number, events: Moment[], ended: number | null }} Asked
 * @typedef {{ kind: string, text: string | null, what: string, size: number, at: number, node: HTMLElement | null }} Shown
 */

const MOST_FRAMES = 1000;
const MOST_FRAME_CHARACTERS = 8_000_000;
const MOST_REQUESTS = 50; // that have a picture
const MOST_EVENTS = 5000; // in a picture, which is 350 wide

/** @param {string | null | undefined} text */
const words = (text) => text?.match(/\S+/g)?.length ?? 0;

/** What became of each request that has a label, this page's and those of the user's other tabs. */
class Requests {
  /** @type {Map<string, Asked>} */ all = new Map();

  /** It is about to be sent. @param {string} id @param {string} label @param {number} at */
  begin(id, label, at, isMine = true) {
    this.all.delete(id);
    /** @type {Asked} */
    const begun = { id, label, isMine, began: at, events: [], ended: null };
    this.all.set(id, begun);
    const [oldest] = this.all.keys();
    if (this.all.size > MOST_REQUESTS) this.all.delete(oldest);
    return begun;
  }

  /** @param {Heard} frame @param {number} at */
  hear(frame, at) {
    const id = frame.request_id;
    if (id === undefined || frame.route !== "/chats/post") return;
    const before = this.all.get(id), isFirst = frame.event === "initializeChat";
    const isNew = !before || (isFirst && before.ended !== null); // another client may have one label for all
    const request = isNew ? this.begin(id, before?.label ?? "another tab's", at, before?.isMine ?? false) : before;
    const { payload } = frame, part = payload?.reasoning ?? payload?.response_message;
    const chunk = payload?.title_chunk ?? (part?.type === "text" ? part.message_chunk : null);
    const event = { at: at - request.began, event: frame.error ? "error" : frame.event, words: words(chunk) };
    if (request.events.length === MOST_EVENTS) request.events.pop(); // the end is always there
    request.events.push(event);
    if (frame.event === "complete" || frame.error) request.ended = at - request.began;
    const newest = payload?.messages?.[payload.message_ids?.at(-1) ?? ""], asked = newest?.request_message?.request;
    if (isFirst && asked && !request.isMine) request.label = `another tab's: ${asked.slice(0, 40)}`;
  }
}

const began = performance.now(), requests = new Requests();
/** @type {Shown[]} */
let frames = [];
let held = 0, draw = () => {};

/** Look on at what the client sends and gets. @param {Threadcast} client @param {() => void} redraw there is something new */
export function watch(client, redraw) {
  draw = redraw;
  client.on("sent", (/** @type {string} */ text, /** @type {string} */ route, /** @type {string} */ label) => {
    inspect("out", text, `→ ${route}`);
    if (route !== "/chats/post" || requests.all.has(label)) return;
    const { prompt, asset_type } = JSON.parse(text).payload;
    requests.begin(label, (prompt ?? asset_type ?? "an approval").slice(0, 60), performance.now());
    $("request").dataset.follow = label;
  });
  client.on("frame", (/** @type {Heard} */ frame, /** @type {string} */ text) => {
    const now = performance.now(), size = new TextEncoder().encode(text).length;
    inspect(frame.error ? "error" : "in", text, `${frame.event}${frame.error ? ` ${frame.error.code}` : ""}`, size, now);
    requests.hear(frame, now);
  });
  client.on("note", (/** @type {string} */ text) => inspect("note", null, text));
}

/** @param {string} kind @param {string | null} text @param {string} what */
function inspect(kind, text, what, size = text?.length ?? 0, at = performance.now()) {
  /** @type {Shown} */
  const frame = { kind, text, what, size, at, node: null };
  frames.push(frame);
  held += text?.length ?? 0;
  while (frames.length > MOST_FRAMES || held > MOST_FRAME_CHARACTERS) {
    const oldest = frames.shift();
    held -= oldest?.text?.length ?? 0;
    oldest?.node?.remove();
  }
  draw();
}

const passes = (/** @type {Shown} */ frame) => {
  const wanted = $("filter").value.trim().toLowerCase();
  return !wanted || `${frame.what} ${frame.text ?? ""}`.toLowerCase().includes(wanted);
};

/** Draw what is new. */
export function drawInspector() {
  if ($("inspector").hidden) return;
  drawTimeline();
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

/** @param {Shown} frame */
function makeFrame(frame) {
  const { text } = frame;
  const line = [
    made("span", { className: "when" }, ((frame.at - began) / 1000).toFixed(3)),
    made("span", { className: "size" }, text === null ? "" : `${frame.size} B`),
    made("span", { className: "what text" }, frame.what),
  ];
  const item = made("li", { className: frame.kind });
  item.hidden = !passes(frame);
  if (text === null) item.append(made("details", {}, made("summary", {}, ...line)));
  else {
    const details = made("details", {}, made("summary", {}, ...line));
    details.addEventListener("toggle", () => {
      if (!details.open || details.childElementCount > 1) return;
      const pre = made("pre", { tabIndex: 0 }, JSON.stringify(JSON.parse(text), null, 2));
      const button = made("button", { type: "button", onclick: () => copy(text, button, pre) }, "Copy as JSON");
      details.append(pre, button);
    });
    item.append(details);
  }
  return item;
}

// The picture of one request

const ROWS = ["generatingTitle", "generatingReasoningMessage", "generatingResponseMessage"];
const LEFT = 62, RIGHT = 412, TOP = 8, ROW = 36;

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
function drawn(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text) element.textContent = text;
  return element;
}

/** What is drawn: of which request, up to which event, since when, and the timer of the next picture. */
const picture = { request: /** @type {Asked | null} */ (null), event: /** @type {Moment | null} */ (null), at: 0, timer: 0 };

function drawTimeline() {
  const select = $("request");
  keyed(select, [...requests.all.values()].reverse(), (request) => request.id,
    (request) => made("option", { value: request.id }), (option, request) => setText(option, request.label));
  const request = requests.all.get(select.dataset.follow ?? "") ?? [...requests.all.values()].at(-1);
  if (!request) return;
  const { events } = request, event = events.at(-1);
  select.value = request.id;
  if (!event || event === picture.event) return;
  const isSame = request === picture.request && request.ended === null;
  const early = isSame ? picture.at + events.length / 10 - performance.now() : 0;
  if (early > 0) return void (picture.timer ||= setTimeout(() => { picture.timer = 0; draw(); }, early));
  Object.assign(picture, { request, event, at: performance.now() });
  $("timeline").replaceChildren(...bars(events, Math.max(1, event.at)));
  const streamed = events.filter((event) => ROWS.includes(event.event)), all = streamed.map((event) => event.words);
  const first = `first event after ${events[0].at.toFixed(1)} ms`;
  const sum = all.reduce((before, count) => before + count, 0);
  const how = sum ? ` of ${sum} words, at most ${Math.max(...all)} joined in one` : ", each whole";
  const joined = `${streamed.length} frames${how}`;
  const total = request.ended === null ? "not ended yet" : `ended after ${(request.ended / 1000).toFixed(2)} s`;
  setText($("summary"), `${first}; ${joined}; ${total}. Bars are as high as the words that their frame joined.`);
  $("timeline").setAttribute("aria-label", `${first}; ${joined}; ${total}`);
}

/** @param {Moment[]} events @param {number} total milliseconds */
function* bars(events, total) {
  const most = Math.max(1, ...events.map((event) => event.words));
  const x = (/** @type {number} */ at) => LEFT + (RIGHT - LEFT) * (at / total), bottom = TOP + ROWS.length * ROW;
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

$("request").addEventListener("change", () => {
  $("request").dataset.follow = $("request").value;
  draw();
});
$("filter").addEventListener("input", () => {
  for (const frame of frames) if (frame.node) frame.node.hidden = !passes(frame);
  countFrames();
});
$("copy-all").addEventListener("click", () => {
  const shown = frames.filter((frame) => frame.text !== null && passes(frame)).map((frame) => frame.text);
  copy(`[${shown.join(",\n")}]`, $("copy-all"));
});
$("clear").addEventListener("click", () => {
  [frames, held] = [[], 0];
  $("frames").replaceChildren();
  countFrames();
});
