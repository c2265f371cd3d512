// @ts-check
// The parts of a message: its texts, thoughts, tools, sources, files and cards.
//
// They are drawn into nodes that stay, so that what is open stays open, a selection stays, and a reader is not sent back. It
// knows nothing of chats and connections. What comes from outside becomes text nodes and attributes, never markup.

import { childrenOf, keyed, made, setText } from "./dom.js";
import { drawText } from "./later.js";
import { Markdown } from "./markdown.js";

/**
 * @import { ChatMessage, FileResponse, FilesReasoning, Pill, PillContainer, PillsReasoning } from "./frames.js"
 * @import { TextReasoning, TextResponse, Tool } from "./frames.js"
 * @typedef {PillsReasoning | TextReasoning | FilesReasoning} Step
 * @typedef {(value: string, name: string) => void} Offer lets an asset be picked
 * @typedef {Pill & { group: string, link: URL | null, key: string }} Linked
 */

/**
 * Draw a message's steps.
 * @param {HTMLElement} box @param {ChatMessage} message @param {boolean} isLast nothing has come after it @param {Offer} offer
 */
export function drawSteps(box, message, isLast, offer) {
  const steps = message.reasoning_message_ids.map((id) => message.reasoning_messages[id]);
  keyed(box, steps, (step) => step.id, makeStep, (node, step) => drawStep(node, step, message, isLast, offer));
}

/**
 * Draw the parts of a message's answer.
 * @param {HTMLElement} box @param {ChatMessage} message @param {boolean} isFar nobody sees it yet @param {Offer} offer
 */
export function drawAnswer(box, message, isFar, offer) {
  const parts = message.response_message_ids.map((id) => message.response_messages[id]);
  keyed(box, parts, (part) => part.id, makePart, (node, part) => {
    if (part.type === "file") drawCard(node, part, offer);
    else if (node.markdown) drawText(node.markdown, part.message ?? "", isFar);
  });
}

/** @param {TextResponse | FileResponse} part @returns {HTMLElement & { markdown?: Markdown }} */
function makePart(part) {
  const name = made("strong", { className: "text" });
  if (part.type === "file") return made("div", { className: "card" }, name, made("small"), made("code"));
  const node = made("div", { className: "markdown" });
  return Object.assign(node, { markdown: new Markdown(node) });
}

/** @param {Step} step */
function makeStep(step) {
  if (step.type === "text" && step.tool) return folded("reasoning tool");
  const name = step.type === "files" ? heading("div") : made("div", { className: "name text" });
  return made("div", { className: "reasoning" }, name, made("div", { className: step.type === "text" ? "text" : "" }));
}

/** A line of what is at work: a lamp, a title, what it is more exactly, and how it stands. @param {"div" | "summary"} tag */
function heading(tag) {
  const lamp = made("span", { className: "lamp", ariaHidden: "true" }), title = made("span", { className: "name text" });
  const detail = made("code", { className: "text" });
  return made(tag, { className: "heading" }, lamp, title, detail, made("span", { className: "state" }));
}

/** Such a line, with a text below it that is shown when it is opened. @param {string} className */
function folded(className) {
  return made("details", { className }, heading("summary"), made("pre", { className: "text", tabIndex: 0 }));
}

/** @param {HTMLElement} node @param {string} title @param {string} detail @param {string[]} state as of `stateOf` */
function drawHeading(node, title, detail, [status, state]) {
  const [, name, more, last] = childrenOf(node.children[0]);
  node.dataset.status = status;
  setText(name, title);
  setText(more, detail);
  more.hidden = !detail;
  setText(last, state);
}

/** @param {HTMLElement} node @param {FileResponse} part @param {Offer} offer */
function drawCard(node, part, offer) {
  const [name, about, value] = node.children;
  setText(name, part.file_name);
  setText(about, ` ${part.file_type}, version ${part.version_number}. ${part.metadata.at(-1)?.message ?? ""} `);
  setText(value, `${part.file_type}:${part.id}`);
  offer(`${part.file_type}:${part.id}`, part.file_name);
}

/** @param {HTMLElement} node @param {Step} step @param {ChatMessage} message @param {boolean} isLast @param {Offer} offer */
function drawStep(node, step, message, isLast, offer) {
  const [name, body] = childrenOf(node), { title, secondary_title, status } = step;
  if (step.type === "text" && step.tool) {
    drawHeading(node, title, step.tool.name ?? "", stateOf(step, message, isLast, "running…"));
    return setText(body, step.message ?? "");
  }
  if (step.type === "files") {
    drawHeading(node, title, "", stateOf(step, message, isLast, "writing…"));
    const files = step.file_ids.map((id) => step.files[id]).filter(Boolean);
    return keyed(body, files, (file) => file.id, () => folded("file"), (fold, file) => {
      const detail = `${file.file_type}, version ${file.version_number}`;
      drawHeading(fold, file.file_name, detail, stateOf(file, message, isLast, "writing…"));
      setText(fold.children[1], file.file.text ?? "");
    });
  }
  node.classList.add("thought"); // which thoughts.js folds
  node.dataset.status = status;
  setText(name, [title, secondary_title, status === "completed" ? "" : status].filter(Boolean).join(" · "));
  if (step.type === "text") setText(body, step.message ?? "");
  else drawPills(body, step.pill_containers, offer);
}

/**
 * How a step or a file stands: for the looks, and in words. A tool that the agent asks about goes on when that is answered.
 * @param {{ status: string, secondary_title?: string | null, tool?: Tool }} part @param {ChatMessage} message
 * @param {boolean} isLast nothing has come after the message @param {string} atWork
 */
function stateOf({ status, secondary_title, tool }, message, isLast, atWork) {
  const question = tool && message.approvals?.find((each) => each.id === tool.call_id);
  if (status === "loading") {
    if (!message.is_completed) return ["loading", atWork];
    if (question?.approved === null) return ["waiting", isLast ? "waits for your approval" : "not answered"];
    return ["waiting", "not ended"];
  }
  const failed = status === "failed" && !question ? "failed" : ""; // what was denied says so itself
  return [status, [failed, secondary_title].filter(Boolean).join(" · ")];
}

/** The address of a source, where a click on it is safe. @param {Pill} pill */
function linkOf(pill) {
  if (pill.type !== "url" || !pill.url) return null;
  try {
    const url = new URL(pill.url);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}

/** @param {HTMLElement & { groups?: PillContainer[] }} body @param {PillContainer[]} groups @param {Offer} offer */
function drawPills(body, groups, offer) {
  if (body.groups === groups) return; // they come whole, and may be many
  body.groups = groups;
  const all = groups.flatMap(({ title, pills }) => pills.map((pill) => ({ ...pill, group: title, link: linkOf(pill) })));
  const linked = all.map((pill, index) => ({ ...pill, key: `${pill.link ? "a" : "span"} ${index}` })); // two may have one id
  keyed(body, linked, (pill) => pill.key, makePill, (node, pill) => {
    const { id, group, link, text, type } = pill, [name, host] = node.children;
    setText(name, text);
    node.title = `${group}: ${link ? link.href : type}`;
    if (link) {
      node.setAttribute("href", link.href);
      setText(host, link.host);
    }
    if (type === "metric" || type === "dashboard") offer(`${type}:${id}`, text);
  });
}

/** @param {Linked} pill */
function makePill({ link }) {
  const text = made("span", { className: "text" });
  if (!link) return made("span", { className: "pill" }, text);
  const properties = { className: "pill", target: "_blank", rel: "noopener noreferrer nofollow" };
  return made("a", properties, text, made("small", { className: "text" }));
}
