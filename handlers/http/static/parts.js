// The parts of a message: its texts, thoughts, tools, sources, files and cards, and what the agent asks.
//
// They are drawn into nodes that stay, so that what is open stays open, a selection stays, and a reader is not sent back. It knows
// nothing of chats and connections. What comes from outside becomes text nodes and attributes, never markup.

import { keyed, made, setText } from "./dom.js";
import { Markdown } from "./markdown.js";

const MOST_OF_VALUE = 1000; // characters that are shown of what an answer came with

/** Draw the steps, or the answer's parts, of a message. `isLast`: nothing has come after it. `offer` lets an asset be picked. */
export function drawParts(box, message, kind, isLast, offer) {
  const parts = message[`${kind}_message_ids`].map((id) => message[`${kind}_messages`][id]);
  keyed(box, parts, (part) => part.id, (part) => makePart(part, kind), (node, part) => {
    if (part.type === "file") drawCard(node, part, offer);
    else if (kind === "response") node.markdown.set(part.message ?? "");
    else drawStep(node, part, message, isLast, offer);
  });
}

const withMarkdown = (node) => Object.assign(node, { markdown: new Markdown(node) });

function makePart(part, kind) {
  if (part.type === "file") return made("div", { className: "card" }, made("strong", { className: "text" }), made("small"), made("code"));
  if (kind === "response") return withMarkdown(made("div", { className: "markdown" }));
  if (part.tool) return folded("reasoning tool");
  if (part.type === "text") return made("div", { className: "reasoning" }, made("div", { className: "name text" }), made("div", { className: "text" }));
  return made("div", { className: "reasoning" }, part.type === "files" ? heading("div") : made("div", { className: "name text" }), made("div"));
}

/** A line of what is at work: a lamp, a title, what it is more exactly, and how it stands. */
function heading(tag) {
  const title = made("span", { className: "name text" }), detail = made("code", { className: "text" });
  return made(tag, { className: "heading" }, made("span", { className: "lamp", ariaHidden: "true" }), title, detail, made("span", { className: "state" }));
}

/** Such a line, with a text below it that is shown when it is opened. */
function folded(className) {
  return made("details", { className }, heading("summary"), made("pre", { className: "text", tabIndex: 0 }));
}

function drawHeading(line, title, detail, [status, state]) {
  line.parentNode.dataset.status = status;
  setText(line.children[1], title);
  setText(line.children[2], detail);
  line.children[2].hidden = !detail;
  setText(line.children[3], state);
}

function drawCard(node, part, offer) {
  setText(node.children[0], part.file_name);
  setText(node.children[1], ` ${part.file_type}, version ${part.version_number}. ${part.metadata.at(-1)?.message ?? ""} `);
  setText(node.children[2], `${part.file_type}:${part.id}`);
  offer(`${part.file_type}:${part.id}`, part.file_name);
}

function drawStep(node, part, message, isLast, offer) {
  const body = node.lastChild;
  if (part.tool) {
    drawHeading(node.firstChild, part.title, part.tool.name ?? "", stateOf(part, message, isLast, "running…"));
    return setText(body, part.message ?? "");
  }
  if (part.type === "files") {
    drawHeading(node.firstChild, part.title, "", stateOf(part, message, isLast, "writing…"));
    const files = part.file_ids.map((id) => part.files[id]).filter(Boolean);
    return keyed(body, files, (file) => file.id, () => folded("file"), (fold, file) => {
      drawHeading(fold.firstChild, file.file_name, `${file.file_type}, version ${file.version_number}`, stateOf(file, message, isLast, "writing…"));
      setText(fold.lastChild, file.file.text ?? "");
    });
  }
  node.classList.add("thought"); // which thoughts.js folds
  node.dataset.status = part.status;
  setText(node.firstChild, [part.title, part.secondary_title, part.status === "completed" ? "" : part.status].filter(Boolean).join(" · "));
  if (part.type === "text") setText(body, part.message ?? "");
  else drawPills(body, part.pill_containers, offer);
}

/** How a step or a file stands: for the looks, and in words. A tool that the agent asks about goes on when that is answered. */
function stateOf(part, message, isLast, atWork) {
  const question = part.tool && message.approvals?.find((each) => each.id === part.tool.call_id);
  if (part.status === "loading") {
    if (!message.is_completed) return ["loading", atWork];
    if (question?.approved === null) return ["waiting", isLast ? "waits for your approval" : "not answered"];
    return ["waiting", "not ended"];
  }
  const failed = part.status === "failed" && !question ? "failed" : ""; // what was denied says so itself
  return [part.status, [failed, part.secondary_title].filter(Boolean).join(" · ")];
}

/** The address of a source, where a click on it is safe. */
function linkOf(pill) {
  if (pill.type !== "url" || !pill.url) return null;
  try {
    const url = new URL(pill.url);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}

function drawPills(body, groups, offer) {
  if (body.groups === groups) return; // they come whole, and may be many
  body.groups = groups;
  const pills = groups.flatMap((group) => group.pills.map((pill) => ({ ...pill, group: group.title, link: linkOf(pill) })));
  for (const [index, pill] of pills.entries()) pill.key = `${pill.link ? "a" : "span"} ${index}`; // two may have one id
  keyed(body, pills, (pill) => pill.key, makePill, (node, pill) => {
    setText(node.firstChild, pill.text);
    node.title = `${pill.group}: ${pill.link ? pill.link.href : pill.type}`;
    if (pill.link) {
      node.href = pill.link.href;
      setText(node.lastChild, pill.link.host);
    }
    if (pill.type === "metric" || pill.type === "dashboard") offer(`${pill.type}:${pill.id}`, pill.text);
  });
}

function makePill({ link }) {
  const text = made("span", { className: "text" });
  if (!link) return made("span", { className: "pill" }, text);
  return made("a", { className: "pill", target: "_blank", rel: "noopener noreferrer nofollow" }, text, made("small", { className: "text" }));
}

// What the agent asks

let fields = 0; // that have been made, for their ids

export function makeQuestions() {
  return made("div", { className: "questions" }, made("div"), made("p", { className: "state" }));
}

/** What a message asks. `isOpen`: it can be answered; `waits`: why what was said is not taken yet, or null. `send(answers, text)` is
 * called once all has been answered, `redraw()` when something has, and `leave()` when what has the focus goes. */
export function drawQuestions(box, questions, { isOpen, waits, send, redraw, leave }) {
  const asked = [...new Map(questions.map((question) => [question.id, question])).values()];
  const [list, note] = box.children, choices = (box.choices ??= new Map());
  box.hidden = !asked.length;
  if (!isOpen || waits !== null) {
    choices.clear();
    if (box.contains(document.activeElement)) leave();
  }
  keyed(list, asked, (question) => question.id, makeQuestion, (field, question) => {
    const [legend, schema, value, invalid, row] = field.children, [approve, deny, said] = row.children;
    const canAnswer = isOpen && question.approved === null, hasValue = isSchema(question.schema);
    field.classList.toggle("open", canAnswer);
    setText(legend, question.title);
    schema.hidden = value.hidden = !canAnswer || !hasValue;
    invalid.hidden = schema.hidden;
    if (!schema.hidden) setText(schema.lastChild, JSON.stringify(question.schema, null, 2));
    field.disabled = waits !== null;
    approve.hidden = deny.hidden = !canAnswer;
    for (const [button, approved] of [[approve, true], [deny, false]]) {
      if (asked.length > 1) button.ariaPressed = String(choices.get(question.id) === approved);
      button.onclick = () => choose(box, asked, question, approved, send, redraw);
    }
    const answer = question.approved === null ? "Not answered" : question.approved ? "Approved" : "Denied";
    setText(said, canAnswer ? "" : question.value == null ? answer : `${answer}, with ${shortened(JSON.stringify(question.value))}`);
    said.dataset.said = answer;
  });
  const left = asked.length > 1 && isOpen ? `${choices.size} of ${asked.length} answered. All are sent together.` : "";
  setText(note, waits ?? left);
}

function makeQuestion() {
  const id = `invalid-${++fields}`, invalid = made("p", { id, className: "failed", role: "alert" });
  const text = made("textarea", { rows: 2, spellcheck: false, oninput: () => say(text, invalid, "") });
  text.setAttribute("aria-describedby", id);
  const button = (name) => made("button", { type: "button" }, name);
  return made("fieldset", { className: "question" },
    made("legend", { className: "text" }),
    made("details", {}, made("summary", {}, "What the value may be, as a JSON Schema"), made("pre", { className: "text", tabIndex: 0 })),
    made("label", {}, "Value, as JSON; it may be left out", text),
    invalid,
    made("div", { className: "row" }, button("Approve"), button("Deny"), made("span", { className: "said text" })));
}

const shortened = (text) => (text.length > MOST_OF_VALUE ? `${text.slice(0, MOST_OF_VALUE)}…` : text);

const isSchema = (schema) => typeof schema === "object" && schema !== null && !Array.isArray(schema);

function say(text, invalid, why) {
  text.ariaInvalid = String(Boolean(why));
  setText(invalid, why);
}

/** The value beside a question, as the key `value` or none. Null when it is no JSON, which the page then says. */
function valueOf(field, { schema }) {
  const [, , label, invalid] = field.children, text = label.lastChild;
  if (!isSchema(schema) || !text.value.trim()) return {};
  try {
    return { value: JSON.parse(text.value) };
  } catch ({ message }) {
    say(text, invalid, `This is no JSON, so nothing was sent: ${message}`);
    text.focus();
    return null;
  }
}

function choose(box, asked, question, approved, send, redraw) {
  const fieldOf = (each) => box.firstChild.known.get(each.id);
  if (!valueOf(fieldOf(question), question)) return;
  box.choices.set(question.id, approved);
  redraw();
  if (!asked.every((each) => box.choices.has(each.id))) return;
  const answers = [];
  for (const each of asked) {
    const value = valueOf(fieldOf(each), each); // it may have been changed since
    if (!value) return;
    answers.push({ id: each.id, approved: box.choices.get(each.id), ...value });
  }
  send(answers, asked.map((each) => `${box.choices.get(each.id) ? "Approved" : "Denied"}: ${each.title}`).join(", "));
}
