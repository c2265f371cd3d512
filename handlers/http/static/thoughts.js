// @ts-check
// What an answer was thought out with: one line, which opens to all of its steps. Tools, files and failures are seen anyway.

import { childrenOf, made, setText } from "./dom.js";

/** @import { ChatMessage } from "./frames.js" */
/** @import { Step } from "./parts.js" */

const MOST_OF_LINE = 200; // characters, which is more than a line has

/** The line and the steps that it opens. */
export function makeThoughts() {
  const states = { ariaExpanded: "false", hidden: true };
  const button = made("button", { type: "button", className: "thoughts", ...states }, made("span"));
  button.onclick = () => { button.ariaExpanded = String(button.ariaExpanded === "false"); };
  return made("div", {}, button, made("div", { className: "steps" }));
}

/**
 * Draw the line, once the steps are drawn.
 * @param {HTMLElement & { began?: number, took?: number }} box @param {ChatMessage} message
 * @param {boolean} hasFailed nothing comes of it any more
 */
export function drawThoughts(box, message, hasFailed) {
  const [button] = childrenOf(box), steps = message.reasoning_message_ids.map((id) => message.reasoning_messages[id]);
  const thoughts = steps.filter((step) => step.type === "pills" || (step.type === "text" && !step.tool));
  const isAnswering = Object.values(message.response_messages).some((part) => part.type === "text" && part.message);
  const isOver = message.is_completed || isAnswering || hasFailed;
  if (steps.length && !isOver) box.began ??= performance.now();
  if (isOver && box.began !== undefined) box.took ??= performance.now() - box.began;
  button.hidden = !thoughts.length;
  button.classList.toggle("running", !isOver);
  if (!thoughts.length) return;
  setText(button.children[0], isOver ? ended(box.took, message.final_reasoning_message) : `${newest(steps)}…`);
}

/** What the newest step is about, or the last line that it says. @param {Step[]} steps */
function newest(steps) {
  const step = steps.at(-1), said = step?.type === "text" ? step.message : null;
  if (step?.title) return step.title.slice(0, MOST_OF_LINE);
  return said?.slice(-MOST_OF_LINE).trim().split("\n").at(-1) || "Thinking";
}

/**
 * How long it took: as this page has seen it, or else as the message says.
 * @param {number | undefined} took in milliseconds @param {string | null} said
 */
function ended(took, said) {
  const seconds = took === undefined ? /^Reasoned for (\d+) /.exec(said ?? "")?.[1] : Math.round(took / 1000);
  if (seconds === undefined) return "Thoughts";
  if (Number(seconds) === 0) return "Thought for a moment";
  return `Thought for ${seconds} second${Number(seconds) === 1 ? "" : "s"}`;
}
