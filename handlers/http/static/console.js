// The console: one client of the protocol that shows what it hears. It has no power that any other client has not.
//
// The connection, and what frames add up to, are threadcast.js's, which anybody's page can import. What is drawn follows its chats, at
// most once a picture, so a fast stream costs no more than a slow one.

import { begin, refused } from "./account.js";
import { drawTitle, haveDoings } from "./doings.js";
import { $, setText } from "./dom.js";
import { drawInspector, watch } from "./inspector.js";
import { tab } from "./kept.js";
import { layOut } from "./layout.js";
import { drawList, listChats } from "./list.js";
import { drawChat } from "./messages.js";
import { drawStart } from "./start.js";
import { Threadcast } from "./threadcast.js";

const MOST_LABELS = 200;
const LAMPS = { waiting: "connecting", refused: "closed" }; // of the states that have none of their own

const page = {
  client: null, // once there is a token
  view: { chat: null, post: null, follows: true }, // what is shown: a chat, or what was posted to begin one; at first, what runs
  posts: new Map(), // by message id: this page's, from their sending until their message is heard of, or refused
  failures: new Map(), // by message id: what is said of an answer that could not be given
  post, notify, show, draw,
};
const { view, posts, failures } = page;
const labels = new Map(); // the message id of each post that was sent, by the label that its answers have

function connect(token) {
  if (page.client) return page.client.connect(token);
  const client = (page.client = new Threadcast({ url: new URL(".", location.href), token }));
  watch(client, draw);
  listChats(client, show, draw, notify);
  client.on("state", state);
  client.on("user", ({ name }) => setText($("who"), name));
  client.on("replaced", () => { // by another user, who is to find nothing of the first one's
    tab.removeItem("assets");
    location.reload();
  });
  client.on("sent", (text, route, label) => route === "/chats/post" && sent(JSON.parse(text).payload.message_id, label));
  client.on("frame", hear);
  client.chats.subscribe(heard);
}

function state(name, why) {
  const light = $("light"), lamp = LAMPS[name] ?? name;
  light.ariaLive = lamp === "connecting" && light.dataset.state === lamp ? "off" : "polite"; // another try is no news
  light.dataset.state = lamp;
  setText($("light-text"), why);
  if (name === "refused") refused(`${why[0].toUpperCase()}${why.slice(1)}.`);
  if (name === "live" && !$("token-dialog").open && document.activeElement === document.body) $("prompt").focus();
  draw();
}

/** Whether nobody has done anything here yet, so that what other tabs do may be shown. */
function isIdle() {
  return view.follows && !view.chat && !view.post && !$("prompt").value && !$("asset").value;
}

/** A frame has come, which the client's chats have a moment later. */
function hear(frame) {
  if (frame.error) return hearRefusal(frame);
  const id = frame.route === "/chats/post" && (frame.payload?.chat_id ?? frame.payload?.id);
  if (id && isIdle()) queueMicrotask(() => isIdle() && show(id));
}

function sent(id, label) {
  labels.delete(label);
  labels.set(label, id);
  if (labels.size > MOST_LABELS) labels.delete(labels.keys().next().value);
  if (posts.has(id)) posts.get(id).why = null;
}

/** Say what is not said by a promise: what is asked again later, and what has become of other tabs' posts. */
function hearRefusal({ event, request_id, error }) {
  const post = posts.get(labels.get(request_id)), isLater = error.retry_after !== undefined;
  if (post && isLater) post.why = page.client.state === "draining" ? null : error.message;
  else if (!post && (event === "postThread" || (event === "getChat" && isLater))) notify(error);
  draw();
}

/** The chats have changed: the posts whose messages are in them need not be shown by themselves any more. */
function heard() {
  for (const { id, answer } of posts.values()) {
    if (!answer.message) continue;
    posts.delete(id);
    if (view.post === id) show(answer.chat.id);
  }
  draw();
}

function notify({ code, message }, text) {
  setText($("notice"), `${text ? `“${text.slice(0, 40)}” ` : ""}${code}: ${message}`);
}

function show(id) {
  if (posts.get(view.post)?.error) posts.delete(view.post);
  if (view.chat && view.chat !== id) page.client.chats.close(view.chat);
  Object.assign(view, { chat: id, post: null, follows: false });
  setText($("notice"), "");
  failures.clear();
  if (id) page.client.chats.open(id).catch(notify);
  draw();
}

/** Post, now or when there is a connection. `asked` is as the client's `post` takes it. */
function post(asked, text) {
  setText($("notice"), "");
  try {
    const answer = page.client.post(asked), id = answer.messageId, made = { id, answer, asked, text, error: null, why: null };
    posts.set(id, made);
    if (!asked.chatId) {
      show(null);
      view.post = id;
    }
    answer.done.catch((error) => fail(made, error));
  } catch (error) {
    notify(error);
  }
  draw();
}

function fail(post, error) {
  const { id, asked, text } = post, isShown = id === view.post || (view.chat && asked.chatId === view.chat), isUnheard = posts.has(id);
  if (asked.approvals || asked.messageId || !isUnheard || !isShown) posts.delete(id);
  if (asked.messageId && isShown) failures.set(id, `${error.code}: ${error.message}`);
  else if (asked.approvals || !isUnheard || !isShown) notify(error, text);
  else post.error = `${error.code}: ${error.message}`;
  if (asked.approvals && error.code === "BAD_REQUEST") page.client.chats.open(asked.chatId).catch(notify); // answered elsewhere
  draw();
}

// Drawing: what changes is asked for, and drawn with the next picture

let drawing = 0;

function draw() {
  drawing ||= requestAnimationFrame(() => {
    drawing = 0;
    drawList(view.chat);
    drawTitle(page);
    drawStart(page.view);
    drawChat(page);
    drawInspector();
  });
}

haveDoings(page);
layOut(draw);
begin(connect, () => view.chat, show);
draw();
