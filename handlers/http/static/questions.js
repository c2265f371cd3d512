// @ts-check
// What the agent asks: its questions, with a value perhaps, and what a person says to them.

import { childrenOf, keyed, made, setText } from "./dom.js";

/**
 * @import { Approval, ApprovalAnswer } from "./frames.js"
 * @typedef {(answers: ApprovalAnswer[], text: string) => void} Send
 * @typedef {{ isOpen: boolean, waits: string | null, send: Send, redraw: () => void, leave: () => void }} State
 */

const MOST_OF_VALUE = 1000; // characters that are shown of what an answer came with

let fields = 0; // that have been made, for their ids

/** An element that questions are drawn in. */
export function makeQuestions() {
  return made("div", { className: "questions" }, made("div"), made("p", { className: "state" }));
}

/**
 * Draw what a message asks. `isOpen`: it can be answered; `waits`: why what was said is not taken yet, or null. `send` is
 * called once all has been answered, `redraw()` when something has, and `leave()` when what has the focus goes.
 * @param {HTMLElement & { choices?: Map<string, boolean> }} box @param {Approval[]} questions @param {State} state
 */
export function drawQuestions(box, questions, { isOpen, waits, send, redraw, leave }) {
  const asked = [...new Map(questions.map((question) => [question.id, question])).values()];
  const [list, note] = childrenOf(box), choices = (box.choices ??= new Map());
  box.hidden = !asked.length;
  if (!isOpen || waits !== null) {
    choices.clear();
    if (box.contains(document.activeElement)) leave();
  }
  keyed(list, asked, (question) => question.id, makeQuestion, (field, question) => {
    const [legend, schema, value, invalid, row] = childrenOf(field), [approve, deny, said] = childrenOf(row);
    const canAnswer = isOpen && question.approved === null, hasValue = isSchema(question.schema);
    field.classList.toggle("open", canAnswer);
    setText(legend, question.title);
    schema.hidden = value.hidden = !canAnswer || !hasValue;
    invalid.hidden = schema.hidden;
    if (!schema.hidden) setText(schema.children[1], JSON.stringify(question.schema, null, 2));
    field.disabled = waits !== null;
    approve.hidden = deny.hidden = !canAnswer;
    for (const button of [approve, deny]) {
      const approved = button === approve;
      if (asked.length > 1) button.ariaPressed = String(choices.get(question.id) === approved);
      button.onclick = () => choose(list, choices, asked, question, approved, send, redraw);
    }
    const answer = question.approved === null ? "Not answered" : question.approved ? "Approved" : "Denied";
    const whole = question.value == null ? answer : `${answer}, with ${shortened(JSON.stringify(question.value))}`;
    setText(said, canAnswer ? "" : whole);
    said.dataset.said = answer;
  });
  const left = asked.length > 1 && isOpen ? `${choices.size} of ${asked.length} answered. All are sent together.` : "";
  setText(note, waits ?? left);
}

function makeQuestion() {
  const id = `invalid-${++fields}`, invalid = made("p", { id, className: "failed", role: "alert" });
  const text = made("textarea", { rows: 2, spellcheck: false, oninput: () => say(text, invalid, "") });
  text.setAttribute("aria-describedby", id);
  const button = (/** @type {string} */ name) => made("button", { type: "button" }, name);
  const schema = made("pre", { className: "text", tabIndex: 0 });
  return made("fieldset", { className: "question" },
    made("legend", { className: "text" }),
    made("details", {}, made("summary", {}, "What the value may be, as a JSON Schema"), schema),
    made("label", {}, "Value, as JSON; it may be left out", text),
    invalid,
    made("div", { className: "row" }, button("Approve"), button("Deny"), made("span", { className: "said text" })));
}

/** @param {string} text */
const shortened = (text) => (text.length > MOST_OF_VALUE ? `${text.slice(0, MOST_OF_VALUE)}…` : text);

/** @param {unknown} schema */
const isSchema = (schema) => typeof schema === "object" && schema !== null && !Array.isArray(schema);

/** @param {Element} text @param {Element} invalid @param {string} why */
function say(text, invalid, why) {
  text.ariaInvalid = String(Boolean(why));
  setText(invalid, why);
}

/**
 * The value beside a question, as the key `value` or none. Null when it is no JSON, which the page then says.
 * @param {Element} field @param {Approval} question @returns {{ value?: unknown } | null}
 */
function valueOf(field, { schema }) {
  const [, , label, invalid] = field.children, text = /** @type {HTMLTextAreaElement} */ (label.children[0]);
  if (!isSchema(schema) || !text.value.trim()) return {};
  try {
    return { value: JSON.parse(text.value) };
  } catch (error) {
    say(text, invalid, `This is no JSON, so nothing was sent: ${/** @type {SyntaxError} */ (error).message}`);
    text.focus();
    return null;
  }
}

/**
 * Have this answer to one of the questions, and send all when it was the last.
 * @param {HTMLElement & { known?: Map<string, Element> }} list @param {Map<string, boolean>} choices
 * @param {Approval[]} asked @param {Approval} question @param {boolean} approved @param {Send} send @param {() => void} redraw
 */
function choose(list, choices, asked, question, approved, send, redraw) {
  const valueIn = (/** @type {Approval} */ each) => valueOf(/** @type {Element} */ (list.known?.get(each.id)), each);
  if (!valueIn(question)) return;
  choices.set(question.id, approved);
  redraw();
  if (!asked.every((each) => choices.has(each.id))) return;
  const answers = [];
  for (const each of asked) {
    const value = valueIn(each); // it may have been changed since
    if (!value) return;
    answers.push({ id: each.id, approved: choices.get(each.id) === true, ...value });
  }
  send(answers, asked.map((each) => `${choices.get(each.id) ? "Approved" : "Denied"}: ${each.title}`).join(", "));
}
