// A chat as a Markdown file: its texts as they are, and a name that every system takes.

import assert from "node:assert/strict";
import { test } from "node:test";

import { answerOf, fileName, markdownOf } from "../../handlers/http/static/export.js";

const text = (id, message) => ({ type: "text", id, message });
const card = { type: "file", id: "3333", file_type: "metric", file_name: "Revenue", version_number: 1, metadata: [] };

function aMessage(id, request, ...parts) {
  const response_messages = Object.fromEntries(parts.map((part) => [part.id, part]));
  const request_message = request && { request, sender_name: "Alice" };
  return { id, request_message, response_message_ids: parts.map((part) => part.id), response_messages };
}

function aChat(title, ...messages) {
  const byId = Object.fromEntries(messages.map((each) => [each.id, each]));
  return { id: "c", title, created_at: "2026-03-15T12:00:00Z", message_ids: Object.keys(byId), messages: byId };
}

test("a chat is its title, its day, and each prompt and answer as it is", () => {
  const first = aMessage("1", "What *is* <b>this</b>?\n\n  indented", card, text("t", "# Well\n\n| a | b |\n|---|---|"));
  const chat = aChat("Of revenue", first, aMessage("2", "And?", text("u", "So.")));
  assert.equal(markdownOf(chat), [
    "# Of revenue", "March 15, 2026",
    "## Alice", "What *is* <b>this</b>?\n\n  indented",
    "## Answer", "**Metric** Revenue (3333)\n\n# Well\n\n| a | b |\n|---|---|",
    "## Alice", "And?", "## Answer", "So.\n",
  ].join("\n\n"));
});

test("what is not there leaves no gap", () => {
  assert.equal(markdownOf(aChat("", aMessage("1", null, text("t", "Opened.")), aMessage("2", "Why?"))),
    "# Untitled chat\n\nMarch 15, 2026\n\n## Answer\n\nOpened.\n\n## Alice\n\nWhy?\n");
  assert.equal(answerOf(aMessage("1", "x")), "");
  assert.match(markdownOf(aChat("one\ntwo")), /^# one two\n/);
});

const NAMES = [
  ["Of revenue", "Of revenue.md"],
  ["../../etc/passwd", "etc passwd.md"],
  ['a<b>c:d"e/f\\g|h?i*j', "a b c d e f g h i j.md"],
  ["line\nbreak\u0000\u202Etxt.exe", "line break txt.exe.md"],
  ["  ..hidden.. ", "hidden.md"],
  ["CON", "chat CON.md"],
  ["com1", "chat com1.md"],
  ["", "chat.md"],
  ["///", "chat.md"],
  ["مبيعات ٢٠٢٦ 数据 😀", "مبيعات ٢٠٢٦ 数据 😀.md"],
  ["😀".repeat(200), `${"😀".repeat(50)}.md`],
  [`x${"😀".repeat(200)}`, `x${"😀".repeat(49)}.md`],
];

test("a file's name is safe", () => {
  for (const [title, name] of NAMES) assert.equal(fileName(title), name);
});
