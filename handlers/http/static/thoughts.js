// What an answer was thought out with: one line, which opens to all of its steps. Tools, files and failures are seen anyway.

import { made, setText } from "./dom.js";

const MOST_OF_LINE = 200; // characters, which is more than a line has

/** The line and the steps that it opens. */
export function makeThoughts() {
  const properties = { type: "button", className: "thoughts", ariaExpanded: "false", hidden: true };
  const button = made("button", properties, made("span"));
  button.onclick = () => { button.ariaExpanded = String(button.ariaExpanded === "false"); };
  return made("div", {}, button, made("div", { className: "steps" }));
}

/**
 * Draw the line, once the steps are drawn.
 * @param {HTMLElement & { began?: number, took?: number }} box @param {import("../../../clients/js/src/frames.js").ChatMessage} message
 * @param {boolean} hasFailed nothing comes of it any more
 */
export function drawThoughts(box, message, hasFailed) {
  const [button] = box.children, steps = message.reasoning_message_ids.map((id) => message.reasoning_messages[id]);
  const thoughts = steps.filter((step) => !step.tool && step.type !== "files");
  const isAnswering = Object.values(message.response_messages).some((part) => part.type === "text" && part.message);
  const isOver = message.is_completed || isAnswering || hasFailed;
  if (steps.length && !isOver) box.began ??= performance.now();
  if (isOver && box.began !== undefined) box.took ??= performance.now() - box.began;
  button.hidden = !thoughts.length;
  button.classList.toggle("running", !isOver);
  if (!thoughts.length) return;
  setText(button.firstChild, isOver ? ended(box.took, message.final_reasoning_message) : `${newest(steps)}…`);
}

/** What the newest step is about, or the last line that it says. */
function newest(steps) {
  const { title, message } = steps.at(-1);
  if (title) return title.slice(0, MOST_OF_LINE);
  return message?.slice(-MOST_OF_LINE).trim().split("\n").at(-1) || "Thinking";
}

/** How long it took: as this page has seen it, or else as the message says. */
function ended(took, said) {
  const seconds = took === undefined ? /^Reasoned for (\d+) /.exec(said ?? "")?.[1] : Math.round(took / 1000);
  if (seconds === undefined) return "Thoughts";
  if (Number(seconds) === 0) return "Thought for a moment";
  return `Thought for ${seconds} second${Number(seconds) === 1 ? "" : "s"}`;
}
