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
import { drawStart } from "./start.js";
import { Threadcast } from "./threadcast.js";
import { haveUndo, isDeleted } from "./undo.js";
import { Posts, forget, restore } from "./waiting.js";
import { COPIED, NO_CHAT, UNSURE, connection, sentence } from "./words.js";

const MOST_LABELS = 200;
const MOST_SAID = 40; // characters of a prompt in a note
const LAMPS = { waiting: "connecting", refused: "closed" }; // of the states that have none of their own

const page = {
  client: null, // once there is a token
  view: { chat: null, post: null, follows: true }, // a chat, or what was posted to begin one; at first, what runs
  posts: new Posts(), // by message id: this page's, from their sending until their message is heard of, or refused
  failures: new Map(), // by message id: what is said of an answer that could not be given
  post, rerun, notify, say, show, draw, redrawList,
};
const { view, posts, failures } = page;
const labels = new Map(); // the message id of each post that was sent, by the label that its answers have

function connect(token) {
  if (page.client) page.client.connect(token);
  else haveClient(new Threadcast({ url: new URL(".", location.href), token }));
  const id = chatOfAddress();
  if (id && id !== view.chat) show(id, "stay");
}

function haveClient(client) {
  page.client = client;
  watch(client, draw);
  listChats(page);
  client.on("state", state);
  client.on("user", ({ id, name }) => {
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
  client.on("sent", (text, route, label) => route === "/chats/post" && sent(JSON.parse(text).payload.message_id, label));
  client.on("frame", hear);
  client.chats.subscribe(heard);
}

function state(name, why) {
  const light = $("light"), lamp = LAMPS[name] ?? name;
  light.dataset.state = lamp;
  light.title = why;
  setText($("light-text"), connection(name, why));
  if (name === "refused") refused(`${why[0].toUpperCase()}${why.slice(1)}.`);
  const isFree = !$("token-dialog").open && document.activeElement === document.body;
  if (name === "live" && isFree && matchMedia("(pointer: fine)").matches) $("prompt").focus(); // a phone would show its keyboard
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
  if (id && isIdle() && !isDeleted(id)) queueMicrotask(() => isIdle() && show(id, "replace"));
  if (frame.event === "deleteChats" && frame.payload.ids.includes(view.chat)) {
    show(null, "replace");
    say("This chat was deleted.");
  }
}

function sent(id, label) {
  labels.delete(label);
  labels.set(label, id);
  if (labels.size > MOST_LABELS) labels.delete(labels.keys().next().value);
  if (!posts.has(id)) return;
  Object.assign(posts.get(id), { why: null, isSent: true });
  posts.keep();
}

/** Say what is not said by a promise: what is asked again later, and what has become of other tabs' posts. */
function hearRefusal({ event, request_id, error }) {
  const post = posts.get(labels.get(request_id)), isLater = error.retry_after !== undefined;
  if (post && isLater) post.why = page.client.state === "draining" ? null : sentence(error);
  else if (!post && (event === "postThread" || (event === "getChat" && isLater))) notify(error);
  draw();
}

/** The chats have changed: the posts whose messages are in them need not be shown by themselves any more. */
function heard() {
  for (const { id, answer } of posts.values()) {
    if (!answer.message) continue;
    posts.delete(id);
    if (view.post !== id) continue;
    composeOn(answer.chat.id);
    show(answer.chat.id, "replace");
  }
  draw();
}

function say(text) {
  setText($("notice"), text);
}

/** Say what went wrong, about what was asked by this text. */
function notify(error, text) {
  const about = text && [...text].slice(0, MOST_SAID).join("");
  say(`${about ? `“${about}” ` : ""}${sentence(error)}`);
}

/** Show this chat, or none. `how` its address is gone to: as `go` has it, or `stay` where it stands already. */
function show(id, how = "push") {
  if (how !== "stay") go(id, how);
  if (posts.get(view.post)?.error) posts.delete(view.post);
  if (view.chat && view.chat !== id) page.client.chats.close(view.chat);
  Object.assign(view, { chat: id, post: null, follows: false });
  compose(id);
  say("");
  failures.clear();
  if (id) page.client?.chats.open(id).catch((error) => noChat(id, error));
  draw();
}

function noChat(id, error) {
  if (view.chat !== id) return;
  if (!["NOT_FOUND", "BAD_REQUEST"].includes(error.code)) return notify(error);
  show(null, "replace");
  say(NO_CHAT);
}

/** Run another prompt in place of a message's: in a copy of the chat where something comes after it, so that this is kept. */
async function rerun(chat, id, prompt) {
  if (chat.message_ids.at(-1) === id) {
    failures.delete(id);
    return post({ chatId: chat.id, messageId: id, prompt }, prompt);
  }
  try {
    const copy = await page.client.chats.duplicate(chat.id, id);
    if (view.chat === chat.id) show(copy.id);
    const isPosted = post({ chatId: copy.id, messageId: copy.message_ids.at(-1), prompt }, prompt);
    if (isPosted) say(COPIED);
    return isPosted;
  } catch (error) {
    notify(error);
    return false;
  }
}

/** Post, now or when there is a connection. `asked` is as the client's `post` takes it. Gives whether that went well. */
function post(asked, text) {
  say("");
  try {
    const made = wait(page.client.post(asked), asked, text);
    if (!asked.chatId) {
      go(null, "push");
      show(null, "stay");
      view.post = made.id;
    }
    return true;
  } catch (error) {
    notify(error);
    return false;
  } finally {
    draw();
  }
}

/** Have a post that waits for its answer. */
function wait(answer, asked, text) {
  const id = answer.messageId, made = { id, answer, asked, text, error: null, why: null, isSent: false };
  posts.set(id, made);
  answer.done.catch((error) => fail(made, error));
  return made;
}

/** Post what an earlier page of this tab has posted and has not heard of. Nothing of it runs twice. */
function repost({ id, asked, text, error, isSent }) {
  if (posts.has(id)) return;
  if (error) posts.set(id, { id, answer: {}, asked, text, error, why: null, isSent });
  else if (asked.messageId && isSent) return say(UNSURE); // it would replace what is perhaps there by now
  else wait(page.client.post(asked.messageId ? asked : { ...asked, messageId: id, once: true }), asked, text);
  if (!asked.chatId && !view.chat) Object.assign(view, { post: id, follows: false });
}

function fail(post, error) {
  const { id, asked, text } = post, isUnheard = posts.has(id);
  const isShown = id === view.post || (view.chat && asked.chatId === view.chat);
  const why = sentence(error, asked.asset ? "asset" : "chat");
  if (asked.approvals || asked.messageId || !isUnheard || !isShown) posts.delete(id);
  if (asked.messageId && isShown) failures.set(id, why);
  else if (asked.approvals || !isUnheard || !isShown) notify(error, text);
  else post.error = why;
  posts.keep();
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

haveComposer(page);
haveDoings(page);
haveUndo(page);
haveAddresses((id) => show(id, "stay"));
layOut(draw);
begin(connect, () => view.chat, show);
draw();
