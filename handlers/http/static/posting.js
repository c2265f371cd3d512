// @ts-check
// What is posted: its sending, what it waits for, and what is said when it is refused.

import { go } from "./addresses.js";
import { $ } from "./dom.js";
import { COPIED, UNSURE, sentence } from "./words.js";

/**
 * @import { Connected, Page } from "./console.js"
 * @import { ChatWithMessages, Post } from "./frames.js"
 * @import { Heard } from "./running.js"
 * @import { Answer } from "./threadcast.js"
 * @import { Kept, Waiting } from "./waiting.js"
 * @import { Refusal } from "./words.js"
 */

const MOST_LABELS = 200;

/** @type {Connected} */
let page;
/** @type {Map<string, string>} */
const labels = new Map(); // the message id of each post that was sent, by the label that its answers have

/** Post for this page, and follow what the client says of it. @param {Page} of */
export function havePosts(of) {
  page = /** @type {Connected} */ (of);
}

/** A post has gone to the server. @param {string} id of its message @param {string} label */
export function sent(id, label) {
  labels.delete(label);
  labels.set(label, id);
  const [oldest] = labels.keys(), post = page.posts.get(id);
  if (labels.size > MOST_LABELS) labels.delete(oldest);
  if (!post) return;
  Object.assign(post, { why: null, isSent: true });
  page.posts.keep();
}

/**
 * Say what is not said by a promise: what is asked again later, and what has become of other tabs' posts.
 * @param {Heard} frame @param {Refusal} error
 */
export function hearRefusal({ event, request_id = "" }, error) {
  const post = page.posts.get(labels.get(request_id) ?? ""), isLater = error.retry_after !== undefined;
  if (post && isLater) post.why = page.client.state === "draining" ? null : sentence(error);
  else if (!post && (event === "postThread" || (event === "getChat" && isLater))) page.notify(error);
  page.draw();
}

/**
 * Run another prompt in place of a message's: in a copy of the chat where something comes after it, so that this is kept.
 * @param {ChatWithMessages} chat @param {string} id @param {string} prompt
 */
export async function rerun(chat, id, prompt) {
  const { client, failures, notify, say, show, view } = page;
  if (chat.message_ids.at(-1) === id) {
    failures.delete(id);
    return post({ chatId: chat.id, messageId: id, prompt }, prompt);
  }
  try {
    const copy = await client.chats.duplicate(chat.id, id);
    if (view.chat === chat.id) show(copy.id);
    const isPosted = post({ chatId: copy.id, messageId: copy.message_ids.at(-1), prompt }, prompt);
    if (isPosted) say(COPIED);
    return isPosted;
  } catch (error) {
    notify(error);
    return false;
  }
}

/**
 * Post, now or when there is a connection. Gives whether that went well.
 * @param {Post} asked @param {string} text @returns {boolean}
 */
export function post(asked, text) {
  const { client, draw, notify, say, show, view } = /** @type {Page} */ (page);
  say("");
  if (!client) {
    $("token-button").click(); // nobody has signed in yet
    return false;
  }
  try {
    const made = wait(client.post(asked), asked, text);
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

/** Have a post that waits for its answer. @param {Answer} answer @param {Post} asked @param {string} text */
function wait(answer, asked, text) {
  /** @type {Waiting} */
  const made = { id: answer.messageId, answer, asked, text, error: null, why: null, isSent: false };
  page.posts.set(made.id, made);
  answer.done.catch((error) => fail(made, error));
  return made;
}

/** Post what an earlier page of this tab has posted and has not heard of. Nothing of it runs twice. @param {Kept} kept */
export function repost({ id, asked, text, error, isSent }) {
  const { client, posts, say, view } = page;
  if (posts.has(id)) return;
  if (error) posts.set(id, { id, answer: null, asked, text, error, why: null, isSent });
  else if (asked.messageId && isSent) return say(UNSURE); // it would replace what is perhaps there by now
  else wait(client.post(asked.messageId ? asked : { ...asked, messageId: id, once: true }), asked, text);
  if (!asked.chatId && !view.chat) Object.assign(view, { post: id, follows: false });
}

/** @param {Waiting} post @param {Refusal} error */
function fail(post, error) {
  const { client, draw, failures, notify, posts, view } = page, { id, asked, text } = post, isUnheard = posts.has(id);
  const isShown = id === view.post || (view.chat && asked.chatId === view.chat);
  const why = sentence(error, asked.asset ? "asset" : "chat");
  if (asked.approvals || asked.messageId || !isUnheard || !isShown) posts.delete(id);
  if (asked.messageId && isShown) failures.set(id, why);
  else if (asked.approvals || !isUnheard || !isShown) notify(error, text);
  else post.error = why;
  posts.keep();
  const isElsewhere = asked.approvals && error.code === "BAD_REQUEST"; // it was answered
  if (isElsewhere && asked.chatId) client.chats.open(asked.chatId).catch(notify);
  draw();
}
