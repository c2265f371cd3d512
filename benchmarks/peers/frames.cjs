// What a peer of Node answers to a post: the frames of frames.py, and their pace.
const { randomUUID } = require("node:crypto");
const { setTimeout: sleep } = require("node:timers/promises");

const WORDS = Array.from({ length: Number(process.env.BENCH_WORDS ?? "200") }, (_, number) => `word${number} `);
const TEXT = WORDS.join("");
const DELAY_MS = Number(process.env.BENCH_DELAY_MS ?? "0");

// All frames of one answer, each built when it is asked for.
function* answer(user, prompt, chatId, messageId) {
  const partId = randomUUID();
  const sentBy = { id: user, name: user };
  const frame = (event, payload) => ({
    route: "/chats/post", event, payload, sent_by: sentBy, error: null, send_method: "All",
  });
  const chat = (event, parts) => {
    const message = {
      id: messageId,
      request_message: { request: prompt, sender_id: user, sender_name: user },
      response_message_ids: Object.keys(parts),
      response_messages: parts,
      is_completed: Object.keys(parts).length > 0,
    };
    return frame(event, { id: chatId, title: prompt, message_ids: [messageId], messages: { [messageId]: message } });
  };
  const response = (part, progress) =>
    frame("generatingResponseMessage", { response_message: part, chat_id: chatId, message_id: messageId, progress });
  const text = (message, chunk, isFinal) => ({
    id: partId, type: "text", message, message_chunk: chunk, is_final_message: isFinal,
  });

  yield chat("initializeChat", {});
  for (const word of WORDS) yield response(text(null, word, false), "in_progress");
  const whole = text(TEXT, null, true);
  yield response(whole, "completed");
  yield chat("complete", { [partId]: whole });
}

// The frames, the words among them each after the delay; without one, others get a turn after each frame.
async function* paced(frames) {
  let number = 0;
  for (const frame of frames) {
    if (DELAY_MS && 0 < number && number <= WORDS.length) await sleep(DELAY_MS);
    yield frame;
    number += 1;
    if (!DELAY_MS) await new Promise(setImmediate);
  }
}

module.exports = { answer, paced, TEXT };
