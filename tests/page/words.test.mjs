// The page's words: what it says of errors, connections, lengths and days, and nothing in capitals and underscores.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ago, groupOf } from "../../handlers/http/static/when.js";
import { connection, firstWords, lengthOf, sentence } from "../../handlers/http/static/words.js";

const CODES = [
  "BAD_REQUEST", "UNAUTHORIZED", "FORBIDDEN", "NOT_FOUND", "TOO_MANY_REQUESTS", "SERVICE_UNAVAILABLE", "INTERNAL_SERVER_ERROR",
  "QUEUE_FULL", "NO_ANSWER", "CLOSED", "REPLACED", "SOMETHING_NEW", "toString", "",
];

test("every error is a sentence without its code", () => {
  for (const code of CODES) {
    for (const more of [{}, { message: "$.payload.NO_SUCH_FIELD: x" }, { retryAfter: 3 }, { retry_after: 0.2 }]) {
      const said = sentence({ code, ...more });
      assert.match(said, /^[A-Z][^_$]*[.]$/, code);
      assert.doesNotMatch(said, /[A-Z]{3}/, code);
    }
  }
});

test("an error says what a person can do about it", () => {
  assert.equal(sentence({ code: "INTERNAL_SERVER_ERROR", message: "internal error, reference 0a1b2c3d4e5f" }),
    "The server had a problem. Reference 0a1b2c3d4e5f. Try again.");
  const joined = { code: "INTERNAL_SERVER_ERROR", message: "the run that this post joined has failed" };
  assert.equal(sentence(joined), "The server had a problem. Try again.");
  assert.equal(sentence({ code: "TOO_MANY_REQUESTS", retryAfter: 2.1 }), "That was a lot at once. It goes on in 3 seconds.");
  assert.equal(sentence({ code: "TOO_MANY_REQUESTS", retry_after: 0 }), "That was a lot at once. It goes on in a second.");
  assert.equal(sentence({ code: "SERVICE_UNAVAILABLE" }), "The server is busy or restarts. Try again in a moment.");
  assert.equal(sentence({ code: "NOT_FOUND" }), sentence({ code: "NOT_FOUND", message: "forbidden" }));
  assert.equal(sentence({ code: "NOT_FOUND" }, "asset"), "This asset is not there, or it is not yours to see.");
  const bad = (message) => sentence({ code: "BAD_REQUEST", message });
  assert.equal(bad("the chat is full, start another"), "This chat is full. Start another one.");
  assert.match(bad("Expected `str` of length <= 32000 - at `$.payload.prompt`"), /too long/);
});

test("the connection is told in plain words, and no network apart from no token", () => {
  assert.equal(connection("live", "live, resumed with 3 frames"), "Connected");
  assert.equal(connection("connecting", "connecting…"), "Connecting…");
  assert.equal(connection("waiting", "closed with 1006; again in 1.0 s"), "No connection; trying again…");
  assert.equal(connection("waiting", "closed with 4029: too many; again in 1.0 s"), "Too many tabs are open; trying again…");
  assert.equal(connection("waiting", "closed with 4503: full; again"), "The server is full or restarts; trying again…");
  assert.equal(connection("refused", "the token was refused: invalid token"), "Not signed in");
});

test("a length is told from 30,000 characters on, which are code points", () => {
  assert.deepEqual(lengthOf("x".repeat(29_999)), { count: "", tooLong: "" });
  assert.deepEqual(lengthOf("x".repeat(31_200)), { count: "31,200 of 32,000 characters", tooLong: "" });
  assert.deepEqual(lengthOf("😀".repeat(32_000)), { count: "32,000 of 32,000 characters", tooLong: "" });
  assert.equal(lengthOf("😀".repeat(20_000)).count, "");
  const over = lengthOf("x".repeat(32_001));
  assert.equal(over.tooLong, "That is too long to send. Nothing was cut: take 1 character away.");
  assert.equal(lengthOf(`${"x".repeat(32_000)}\n\n `).tooLong, ""); // which is not sent
});

test("first words are whole characters on one line", () => {
  assert.equal(firstWords("  What\n is   this? "), "What is this?");
  assert.equal(firstWords("😀".repeat(100)), `${"😀".repeat(60)}…`);
  assert.equal(firstWords(null), "");
});

const NOW = new Date(2026, 2, 15, 12, 30);
const MOMENTS = [
  [new Date(2026, 2, 15, 12, 31), "Today", "just now"], // by a clock that is fast
  [new Date(2026, 2, 15, 12, 29, 30), "Today", "just now"],
  [new Date(2026, 2, 15, 12, 25), "Today", "5 minutes ago"],
  [new Date(2026, 2, 15, 12, 29), "Today", "1 minute ago"],
  [new Date(2026, 2, 15, 0, 0), "Today", "12 hours ago"],
  [new Date(2026, 2, 14, 23, 59), "Yesterday", "12 hours ago"],
  [new Date(2026, 2, 14, 0, 0), "Yesterday", "yesterday"],
  [new Date(2026, 2, 13, 23, 59), "Previous 7 days", "2 days ago"],
  [new Date(2026, 2, 8, 13, 0), "Previous 7 days", "7 days ago"],
  [new Date(2026, 2, 7, 23, 59), "March 2026", "March 7, 2026"],
  [new Date(2025, 10, 1), "November 2025", "November 1, 2025"],
];

test("moments are grouped by days, and told as people do", () => {
  for (const [then, ...expected] of MOMENTS) assert.deepEqual([groupOf(then, NOW), ago(then, NOW)], expected, String(then));
});
