// The chat that is shown: its messages, and what was posted here and is not heard of yet.

import { offer } from "./assets.js";
import { $, copy, icon, keyed, made, setText } from "./dom.js";
import { drawEditor, makeEditor } from "./edit.js";
import { answerOf } from "./export.js";
import { drawParts, drawQuestions, makeQuestions } from "./parts.js";
import { keepPlace } from "./scroll.js";
import { drawThoughts, makeThoughts } from "./thoughts.js";
import { WAITS } from "./words.js";

const COPIED_MS = 2000; // how long a button says so
const THUMB = "M7 9l3-6c2 0 2 2 1.5 4H16l-1.5 8H7zM4 9h3v6H4z";

/**
 * Draw it. `page` has the client, `view`, `posts`, `failures` (by message id), `post(asked, text)`, `rerun(chat, id, prompt)`,
 * `notify(error)` and `draw()`.
 */
export function drawChat(page) {
  const { client, view, posts, failures } = page, chat = client?.chats.get(view.chat), box = $("messages");
  const messages = chat ? chat.message_ids.map((id) => chat.messages[id]) : [];
  const running = messages.find((message) => !message.is_completed && !failures.has(message.id));
  const isHere = (post) => (view.chat ? post.asked.chatId === view.chat : post.id === view.post);
  const waiting = [...posts.values()].filter(isHere);
  box.ariaBusy = String(Boolean(running));
  const unheard = waiting.filter((post) => !post.asked.approvals && !(post.id in (chat?.messages ?? {})));
  keyed(box, [...messages, ...unheard], (it) => it.id, makeMessage, (article, it) => {
    if ("asked" in it) drawPost(page, article, it);
    else drawMessage(page, article, it, chat, waiting);
  });
  keepPlace(view.chat ?? view.post, Boolean(running));
  if (!running && document.activeElement === $("stop")) box.focus({ preventScroll: true });
  $("stop").hidden = !running;
  $("stop").onclick = () => stop(page, running);
}

function stop({ client, view, notify }, message) {
  const id = view.chat;
  client.request("/chats/stop", { id, message_id: message.id }).catch((error) => {
    if (error.code === "NOT_FOUND") client.chats.open(id).catch(notify); // it has ended, or is not this user's to stop
    else notify(error);
  });
}

function makeMessage() {
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

function drawFoot(article, who, request, failure, how) {
  setText(article.querySelector(".request small"), who);
  article.querySelector(".request").classList.toggle("own", who === "you" || who === $("who").textContent);
  setText(article.querySelector(".request .text"), request);
  setText(article.querySelector(":scope > .failed"), failure);
  article.querySelector(":scope > .failed").hidden = !failure;
  const said = article.lastChild.firstChild;
  setText(said, failure ? "" : how);
  said.classList.toggle("hidden-label", /^(Reasoned|answered)/.test(how)); // the thoughts' line, or the text, has it
}

function drawPost({ client, posts, post, draw }, article, it) {
  const [request, , , questions, , foot] = article.children, again = foot.lastChild;
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

function drawMessage(page, article, it, chat, waiting) {
  const [request, reasoning, response, questions, , foot] = article.children, [, copying, good, bad, again] = foot.children;
  const asked = it.request_message, isLast = chat.message_ids.at(-1) === it.id, failure = page.failures.get(it.id) ?? "";
  const replacing = waiting.find((post) => post.id === it.id && post.asked.messageId && !post.error);
  const canRun = !replacing && Boolean(asked) && Boolean(failure || it.is_completed);
  const hasParts = it.reasoning_message_ids.length + it.response_message_ids.length > 0;
  article.dataset.state = failure || it.is_completed ? "done" : hasParts ? "growing" : "waiting";
  request.hidden = !asked;
  drawParts(reasoning.lastChild, it, "reasoning", isLast, offer);
  drawThoughts(reasoning, it, Boolean(failure));
  drawParts(response, it, "response", isLast, offer);
  drawApprovals(page, questions, it, chat, isLast, waiting.find((post) => post.asked.approvals));
  const how = replacing ? (page.client.state === "live" ? "asked again…" : WAITS) : ending(it, isLast);
  const prompt = asked?.request ?? "", run = (changed) => page.rerun(chat, it.id, changed);
  drawFoot(article, asked?.sender_name ?? "", replacing?.text ?? prompt, replacing ? "" : failure, how);
  const editor = [...request.children].slice(1);
  drawEditor(editor, { id: it.id, prompt, can: canRun, isLast, run, redraw: page.draw });
  again.hidden = !canRun;
  again.title = isLast ? "" : "What comes after it is removed";
  again.onclick = () => {
    $("messages").focus({ preventScroll: true });
    page.failures.delete(it.id);
    page.post({ chatId: chat.id, messageId: it.id, prompt: asked.request }, asked.request);
  };
  copying.hidden = !it.is_completed || !answerOf(it);
  copying.onclick = async () => {
    await copy(answerOf(it), copying, response);
    setTimeout(() => setText(copying, "Copy"), COPIED_MS);
  };
  for (const [button, feedback] of [[good, "positive"], [bad, "negative"]]) {
    const isGiven = it.feedback === feedback;
    button.hidden = !it.is_completed;
    button.ariaPressed = String(isGiven);
    button.onclick = () => page.client.chats.feedback(it.id, isGiven ? null : feedback).catch(page.notify);
  }
}

/** How a message ended, in words. The server's own speak of the moment when it did. */
function ending(message, isLast) {
  const isCut = ["failed", "stopped", "interrupted"].includes(message.finish_reason);
  const hasAsked = message.approvals && message.is_completed && !isCut;
  if (hasAsked && !isOpen(message, isLast)) return "Asked for your approval";
  return message.final_reasoning_message ?? (message.is_completed ? "answered" : "answering…");
}

const isOpen = (message, isLast) => isLast && message.is_completed && message.approvals.some((each) => each.approved === null);

/** What the agent asks. `said`: the post that answers it, while nothing of it is heard. */
function drawApprovals({ client, post, draw }, box, message, chat, isLast, said) {
  const open = Boolean(message.approvals) && isOpen(message, isLast);
  drawQuestions(box, message.approvals ?? [], {
    isOpen: open,
    waits: open && said ? (said.why ?? (client.state === "live" ? "sent…" : WAITS)) : null,
    send: (approvals, text) => post({ chatId: chat.id, approvals }, text),
    redraw: draw,
    leave: () => $("messages").focus({ preventScroll: true }),
  });
}
