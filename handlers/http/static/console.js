// @ts-check
// The console: one client of the protocol that shows what it hears. It has no power that any other client has not.
//
// The connection, and what frames add up to, are threadcast.js's, which anybody's page can import. What is drawn follows its
// chats, at most once a picture, so a fast stream costs no more than a slow one.

import { begin, refused } from "./account.js";
import { chatOfAddress, clean, go, haveAddresses } from "./addresses.js";
import { compose, composeOn, haveComposer, restoreDraft } from "./composer.js";
import { drawTitle, haveDoings } from "./doings.js";
import { $, setText } from "./dom.js";
import { drawInspector, watch } from "./inspector.js";
import { tab } from "./kept.js";
import { layOut } from "./layout.js";
import { drawList, listChats, redraw as redrawList } from "./list.js";
import { drawChat } from "./messages.js";
import { havePosts, hearRefusal, post, repost, rerun, sent } from "./posting.js";
import { drawStart } from "./start.js";
import { Threadcast } from "./threadcast.js";
import { haveUndo, isDeleted } from "./undo.js";
import { Posts, forget, restore } from "./waiting.js";
import { NO_CHAT, connection, sentence } from "./words.js";

/**
 * @import { Heard } from "./running.js"
 * @import { Refusal } from "./words.js"
 * @typedef {typeof page} Page what the modules share
 * @typedef {Page & { client: Threadcast }} Connected the same, where there is a client for sure
 */

const MOST_SAID = 40; // characters of a prompt in a note
/** @type {Record<string, string>} */
const LAMPS = { waiting: "connecting", refused: "closed" }; // of the states that have none of their own

const page = {
  client: /** @type {Threadcast | null} */ (null), // once there is a token
  /** @type {{ chat: string | null, post: string | null, follows: boolean }} */
  view: { chat: null, post: null, follows: true }, // a chat, or what was posted to begin one; at first, what runs
  posts: new Posts(), // by message id: this page's, from their sending until their message is heard of, or refused
  /** @type {Map<string, string>} */ failures: new Map(), // by message id: what is said of an answer that could not be given
  post, rerun, notify, say, show, draw, redrawList,
};
const { view, posts, failures } = page;

/** @param {string} token */
function connect(token) {
  if (page.client) page.client.connect(token);
  else haveClient(new Threadcast({ url: new URL(".", location.href), token }));
  const id = chatOfAddress();
  if (id && id !== view.chat) show(id, "stay");
}

/** @param {Threadcast} client */
function haveClient(client) {
  page.client = client;
  watch(client, draw);
  listChats(/** @type {Connected} */ (page));
  client.on("state", state);
  client.on("user", (/** @type {{ id: string, name: string }} */ { id, name }) => {
    setText($("who"), name);
    restore(id).forEach(repost);
    posts.keep();
    restoreDraft();
  });
  client.on("replaced", () => { // by another user, who is to find nothing of the first one's
    tab.removeItem("assets");
    forget();
    clean(null);
    location.reload();
  });
  client.on("sent", (/** @type {string[]} */ ...[text, route, label]) => {
    if (route === "/chats/post") sent(JSON.parse(text).payload.message_id, label);
  });
  client.on("frame", hear);
  client.chats.subscribe(heard);
}

/** @param {string} name @param {string} why */
function state(name, why) {
  const light = $("light"), lamp = LAMPS[name] ?? name;
  light.ariaLive = lamp === "connecting" && light.dataset.state === lamp ? "off" : "polite"; // another try is no news
  light.dataset.state = lamp;
  light.title = why;
  setText($("light-text"), connection(name, why));
  if (name === "refused") refused(why);
  const isFree = !$("token-dialog").open && document.activeElement === document.body;
  const canType = matchMedia("(pointer: fine)").matches; // a phone would show its keyboard
  if (name === "live" && isFree && canType) $("prompt").focus();
  draw();
}

/** Whether nobody has done anything here yet, so that what other tabs do may be shown. */
function isIdle() {
  return view.follows && !view.chat && !view.post && !$("prompt").value && !$("asset").value;
}

/** A frame has come, which the client's chats have a moment later. @param {Heard} frame */
function hear(frame) {
  if (frame.error) return hearRefusal(frame, frame.error);
  const id = frame.route === "/chats/post" && (frame.payload?.chat_id ?? frame.payload?.id);
  if (id && isIdle() && !isDeleted(id)) queueMicrotask(() => isIdle() && show(id, "replace"));
  if (frame.event === "deleteChats" && frame.payload?.ids?.includes(view.chat ?? "")) {
    show(null, "replace");
    say("This chat was deleted.");
  }
}

/** The chats have changed: the posts whose messages are in them need not be shown by themselves any more. */
function heard() {
  for (const { id, answer } of posts.values()) {
    const chat = answer?.message && answer.chat;
    if (!chat) continue;
    posts.delete(id);
    if (view.post !== id) continue;
    composeOn(chat.id);
    show(chat.id, "replace");
  }
  draw();
}

/** @param {string} text */
function say(text) {
  setText($("notice"), text);
}

/** Say what went wrong, about what was asked by this text. @param {unknown} error @param {string} [text] */
function notify(error, text) {
  const about = text && [...text].slice(0, MOST_SAID).join("");
  say(`${about ? `“${about}” ` : ""}${sentence(/** @type {Refusal} */ (error))}`);
}

/**
 * Show this chat, or none. `how` its address is gone to: as `go` has it, or `stay` where it stands already.
 * @param {string | null} id @param {"push" | "replace" | "stay"} [how]
 */
function show(id, how = "push") {
  if (how !== "stay") go(id, how);
  if (view.post && posts.get(view.post)?.error) posts.delete(view.post);
  if (view.chat && view.chat !== id) page.client?.chats.close(view.chat);
  Object.assign(view, { chat: id, post: null, follows: false });
  compose(id);
  say("");
  failures.clear();
  if (id) page.client?.chats.open(id).catch((error) => noChat(id, error));
  draw();
}

/** @param {string} id @param {Refusal} error */
function noChat(id, error) {
  if (view.chat !== id) return;
  if (!["NOT_FOUND", "BAD_REQUEST"].includes(error.code)) return notify(error);
  show(null, "replace");
  say(NO_CHAT);
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

haveComposer(page);
havePosts(page);
haveDoings(page);
haveUndo(page);
haveAddresses((id) => show(id, "stay"));
layOut(draw);
begin(connect, () => view.chat, show);
draw();
