// @ts-check
// The chat that is shown: its messages, and what was posted here and is not heard of yet.

import { offer } from "./assets.js";
import { $, childrenOf, copy, icon, keyed, made, setText } from "./dom.js";
import { drawEditor, isEdited, makeEditor } from "./edit.js";
import { answerOf } from "./export.js";
import { drawAnswer, drawSteps } from "./parts.js";
import { drawQuestions, makeQuestions } from "./questions.js";
import { keepPlace } from "./scroll.js";
import { drawThoughts, makeThoughts } from "./thoughts.js";
import { WAITS } from "./words.js";

const NEAR = 8; // messages at the end of a chat, whose answers are drawn at once
const COPIED_MS = 2000; // how long a button says so
const THUMB = "M7 9l3-6c2 0 2 2 1.5 4H16l-1.5 8H7zM4 9h3v6H4z";

/**
 * @import { Connected, Page } from "./console.js"
 * @import { Editor } from "./edit.js"
 * @import { ChatMessage, ChatWithMessages } from "./frames.js"
 * @import { Waiting } from "./waiting.js"
 */

const drawn = /** @type {WeakMap<HTMLElement, unknown[]>} */ (new WeakMap()); // what each message was drawn of

/** Draw it. @param {Page} of */
export function drawChat(of) {
  const page = /** @type {Connected} */ (of); // without a client there are no messages
  const { view, posts, failures } = page, chat = of.client?.chats.get(view.chat ?? ""), box = $("messages");
  const messages = chat ? chat.message_ids.map((id) => chat.messages[id]) : [];
  const running = messages.find((message) => !message.is_completed && !failures.has(message.id));
  const isHere = (/** @type {Waiting} */ post) => (view.chat ? post.asked.chatId === view.chat : post.id === view.post);
  const waiting = [...posts.values()].filter(isHere);
  box.ariaBusy = String(Boolean(running));
  const unheard = waiting.filter((post) => !post.asked.approvals && !(post.id in (chat?.messages ?? {})));
  const near = new Set(messages.slice(-NEAR).map(({ id }) => id));
  keyed(box, [...messages, ...unheard], (it) => it.id, makeMessage, (article, it) => {
    const isNear = near.has(it.id);
    if ("asked" in it) drawPost(page, article, it);
    else if (!chat || !hasChanged(page, article, it, waiting.length, isNear)) return;
    else drawMessage(page, article, it, chat, waiting, !isNear);
  });
  keepPlace(view.chat ?? view.post, Boolean(running));
  if (!running && document.activeElement === $("stop")) box.focus({ preventScroll: true });
  $("stop").hidden = !running;
  $("stop").onclick = () => chat && running && stop(page, chat.id, running.id);
}

/**
 * Whether a message is to be drawn again. What is far from the end is not looked through for each word that comes there.
 * @param {Connected} page @param {HTMLElement} article @param {ChatMessage} it @param {number} waiting @param {boolean} isNear
 */
function hasChanged({ client, failures }, article, it, waiting, isNear) {
  const now = [it, failures.get(it.id), waiting, client.state, isNear, isEdited(it.id)], before = drawn.get(article);
  drawn.set(article, now);
  return isNear || isEdited(it.id) || now.some((each, i) => each !== before?.[i]);
}

/** @param {Connected} page @param {string} id of the chat @param {string} messageId */
function stop({ client, notify }, id, messageId) {
  client.request("/chats/stop", { id, message_id: messageId }).catch((error) => {
    if (error.code === "NOT_FOUND") client.chats.open(id).catch(notify); // it has ended, or is not this user's to stop
    else notify(error);
  });
}

function makeMessage() {
  /** @param {string | Node} name @param {string} [label] */
  const button = (name, label) => made("button", { type: "button", ariaLabel: label ?? null, hidden: true }, name);
  return made("article", {},
    made("div", { className: "request" }, made("small"), made("span", { className: "text" }), ...makeEditor()),
    makeThoughts(), made("div"), makeQuestions(),
    made("p", { className: "failed" }),
    made("p", { className: "foot" },
      made("span"),
      button("Copy", "Copy the answer"),
      button(icon(THUMB), "A good answer"),
      button(icon(THUMB, "down"), "A bad answer"),
      button("Run again")));
}

/**
 * Draw what a message and a post have in common.
 * @param {HTMLElement} article @param {string} who @param {string} prompt @param {string} failure @param {string} how
 */
function drawFoot(article, who, prompt, failure, how) {
  const [request, , , , failed, foot] = childrenOf(article), said = foot.children[0];
  setText(request.children[0], who);
  request.classList.toggle("own", who === "you" || who === $("who").textContent);
  setText(request.children[1], prompt);
  setText(failed, failure);
  failed.hidden = !failure;
  setText(said, failure ? "" : how);
  said.classList.toggle("hidden-label", /^(Reasoned|answered)/.test(how)); // the thoughts' line, or the text, has it
}

/** @param {Connected} page @param {HTMLElement} article @param {Waiting} it */
function drawPost({ client, posts, post, draw }, article, it) {
  const [request, , , questions, , foot] = childrenOf(article), [, , , , again] = childrenOf(foot);
  request.hidden = false;
  questions.hidden = true;
  drawFoot(article, "you", it.text, it.error ?? "", it.why ?? (client.state === "live" ? "sent" : WAITS));
  again.hidden = !it.error;
  again.onclick = () => {
    $("messages").focus({ preventScroll: true }); // the button goes
    posts.delete(it.id);
    post(it.asked, it.text);
    draw();
  };
}

/**
 * @param {Connected} page @param {HTMLElement} article @param {ChatMessage} it
 * @param {ChatWithMessages} chat @param {Waiting[]} waiting @param {boolean} isFar from the end
 */
function drawMessage(page, article, it, chat, waiting, isFar) {
  const [request, reasoning, response, questions, , foot] = childrenOf(article);
  const [, copying, good, bad, again] = childrenOf(foot);
  const asked = it.request_message, isLast = chat.message_ids.at(-1) === it.id, failure = page.failures.get(it.id) ?? "";
  const replacing = waiting.find((post) => post.id === it.id && post.asked.messageId && !post.error);
  const canRun = !replacing && Boolean(asked) && Boolean(failure || it.is_completed);
  const hasParts = it.reasoning_message_ids.length + it.response_message_ids.length > 0;
  article.dataset.state = failure || it.is_completed ? "done" : hasParts ? "growing" : "waiting";
  request.hidden = !asked;
  drawSteps(childrenOf(reasoning)[1], it, isLast, offer);
  drawThoughts(reasoning, it, Boolean(failure));
  drawAnswer(response, it, isFar, offer);
  drawApprovals(page, questions, it, chat, isLast, waiting.find((post) => post.asked.approvals));
  const how = replacing ? (page.client.state === "live" ? "asked again…" : WAITS) : ending(it, isLast);
  const prompt = asked?.request ?? "", run = (/** @type {string} */ changed) => page.rerun(chat, it.id, changed);
  drawFoot(article, asked?.sender_name ?? "", replacing?.text ?? prompt, replacing ? "" : failure, how);
  const editor = /** @type {Editor} */ ([...request.children].slice(1));
  drawEditor(editor, { id: it.id, prompt, can: canRun, isLast, run, redraw: page.draw });
  again.hidden = !canRun;
  again.title = isLast ? "" : "What comes after it is removed";
  again.onclick = () => {
    $("messages").focus({ preventScroll: true });
    page.failures.delete(it.id);
    page.post({ chatId: chat.id, messageId: it.id, prompt }, prompt);
  };
  copying.hidden = !it.is_completed || !answerOf(it);
  copying.onclick = async () => {
    await copy(answerOf(it), copying, response);
    setTimeout(() => setText(copying, "Copy"), COPIED_MS);
  };
  for (const feedback of /** @type {const} */ (["positive", "negative"])) {
    const button = feedback === "positive" ? good : bad;
    const isGiven = it.feedback === feedback;
    button.hidden = !it.is_completed;
    button.ariaPressed = String(isGiven);
    button.onclick = () => page.client.chats.feedback(it.id, isGiven ? null : feedback).catch(page.notify);
  }
}

/**
 * How a message ended, in words. The server's own speak of the moment when it did.
 * @param {ChatMessage} message @param {boolean} isLast
 */
function ending(message, isLast) {
  const isCut = ["failed", "stopped", "interrupted"].includes(message.finish_reason ?? "");
  const hasAsked = message.approvals && message.is_completed && !isCut;
  if (hasAsked && !isOpen(message, isLast)) return "Asked for your approval";
  return message.final_reasoning_message ?? (message.is_completed ? "answered" : "answering…");
}

/** @param {ChatMessage} message @param {boolean} isLast */
const isOpen = ({ is_completed, approvals }, isLast) =>
  isLast && is_completed && Boolean(approvals?.some((each) => each.approved === null));

/**
 * What the agent asks. `said`: the post that answers it, while nothing of it is heard.
 * @param {Connected} page @param {HTMLElement} box @param {ChatMessage} message @param {ChatWithMessages} chat
 * @param {boolean} isLast @param {Waiting} [said]
 */
function drawApprovals({ client, post, draw }, box, message, chat, isLast, said) {
  const open = isOpen(message, isLast);
  drawQuestions(box, message.approvals ?? [], {
    isOpen: open,
    waits: open && said ? (said.why ?? (client.state === "live" ? "sent…" : WAITS)) : null,
    send: (approvals, text) => post({ chatId: chat.id, approvals }, text),
    redraw: draw,
    leave: () => $("messages").focus({ preventScroll: true }),
  });
}
