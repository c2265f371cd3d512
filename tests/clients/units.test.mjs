// What the contract suite cannot reach: how streams of events are cut into lines, and that the fold changes nothing given out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Fold } from "../../clients/js/src/fold.js";
import { linesOf } from "../../clients/js/src/line.js";

const SEEDS = 200;

/** Numbers below `most`, the same for the same seed. */
function chance(seed) {
  return (most) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % most;
  };
}

test("lines are the same, however bytes are cut and lines end", async () => {
  const lines = [": comment", "id: e:1", 'data: {"text": "Größe 😀"}', "", "data: two", "data:three", "", ""];
  for (let seed = 0; seed < SEEDS; seed++) {
    const next = chance(seed), ends = ["\n", "\r\n", "\r"];
    let bytes = new TextEncoder().encode(lines.map((line) => line + (seed % 4 < 3 ? ends[seed % 4] : ends[next(2)])).join("") + "data: x\n");
    const pieces = [];
    while (bytes.length) {
      const size = 1 + next(7);
      pieces.push(bytes.slice(0, size));
      bytes = bytes.slice(size);
    }
    const reader = { read: async () => (pieces.length ? { value: pieces.shift(), done: false } : { done: true }) };
    const found = [];
    for await (const line of linesOf(reader)) found.push(line);
    assert.deepEqual(found, [...lines, "data: x"], `seed ${seed}`);
  }
});

const frozen = (value) => {
  if (value && typeof value === "object" && !Object.isFrozen(value)) Object.values(Object.freeze(value)).forEach(frozen);
  return value;
};

/** A stream of one message, in any order that a server may tell it: its frames, and the chat that they add up to. */
function stream(next, id) {
  const message = {
    id: `${id}-m`, request_message: null, response_message_ids: [], response_messages: {}, reasoning_message_ids: [],
    reasoning_messages: {}, created_at: "t", final_reasoning_message: null, is_completed: false, finish_reason: null, usage: null, feedback: null,
  };
  const chat = { id, title: "", is_favorited: false, message_ids: [message.id], messages: { [message.id]: message }, created_at: "t", updated_at: "t" };
  const frames = [{ event: "initializeChat", payload: structuredClone(chat) }];
  const about = { chat_id: id, message_id: message.id, progress: "in_progress" };
  const tell = (kind, part) => frames.push(kind === "response"
    ? { event: "generatingResponseMessage", payload: { ...about, response_message: structuredClone(part) } }
    : { event: "generatingReasoningMessage", payload: { ...about, reasoning: structuredClone(part) } });
  for (let count = 0; count < 40; count++) {
    const kind = ["response", "reasoning"][next(2)], ids = message[`${kind}_message_ids`], parts = message[`${kind}_messages`];
    const part = `${kind}-${next(3)}`, isNew = !(part in parts), isFiles = kind === "reasoning" && part.endsWith("2");
    if (isNew) ids.push(part);
    if (isFiles) {
      const file = `f${next(2)}`, old = parts[part]?.files[file]?.file.text ?? "", chunk = `${count} `;
      const files = { ...parts[part]?.files, [file]: { id: file, file: { text: old + chunk, text_chunk: null, modified: null } } };
      parts[part] = { type: "files", id: part, status: "loading", file_ids: Object.keys(files), files };
      tell(kind, { ...parts[part], files: { [file]: { id: file, file: { text: null, text_chunk: chunk, modified: null } } } });
    } else {
      const isBack = next(9) === 0, chunk = isBack ? null : `${count} `, before = parts[part]?.message ?? "";
      parts[part] = { type: "text", id: part, message: isBack ? "" : before + chunk, message_chunk: null };
      tell(kind, { ...parts[part], message: isBack ? "" : null, message_chunk: chunk });
    }
  }
  return [frames, chat];
}

test("streams that run beside each other add up, and nothing that was given out changes", () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const next = chance(seed), streams = ["a", "b", "c"].map((id) => stream(next, id)), fold = new Fold(() => false);
    const left = streams.map(([frames]) => [...frames]);
    while (left.some((frames) => frames.length)) {
      const frames = left[next(left.length)], before = frozen(fold.snapshot);
      if (!frames.length) continue;
      const frame = frozen(frames.shift()), changed = frame.payload.chat_id ?? frame.payload.id;
      fold.take(frame);
      for (const id of Object.keys(before.chats)) assert.equal(fold.get(id) === before.chats[id], id !== changed, `seed ${seed}`);
    }
    for (const [, chat] of streams) assert.deepEqual(fold.get(chat.id), chat, `seed ${seed}`);
  }
});

test("pieces of a chat that came in no order with them are not appended, until it comes whole", () => {
  const [frames, chat] = stream(chance(1), "a"), fold = new Fold(() => true);
  fold.take({ event: "getChat", payload: frames[0].payload }, false);
  for (const frame of frames.slice(1)) fold.take(frame);
  assert.deepEqual(fold.get("a"), frames[0].payload);
  assert.equal(fold.isTrue("a"), false);
  fold.take({ event: "complete", payload: chat });
  assert.deepEqual([fold.get("a"), fold.isTrue("a")], [chat, true]);
});

test("a list that comes in no order with the frames takes nothing back that they have told", () => {
  const fold = new Fold(() => true), item = { id: "c", created_at: "1", updated_at: "1", title: "Old" };
  const other = { ...item, id: "d" };
  fold.take({ event: "updateChat", payload: { ...item, updated_at: "2", title: "New" } });
  fold.take({ event: "getChatsList", payload: [item, other] }, false);
  assert.deepEqual(fold.snapshot.list.map(({ id, title }) => [id, title]), [["d", "Old"], ["c", "New"]]);
  fold.take({ event: "getChatsList", payload: [{ ...item, updated_at: "3", title: "Newest" }] }, false);
  fold.take({ event: "getChatsList", payload: [{ ...other, title: "In order" }] });
  assert.deepEqual(fold.snapshot.list.map(({ title }) => title), ["In order", "Newest"]);
});
