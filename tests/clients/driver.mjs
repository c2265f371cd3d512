// The JavaScript client behind JSON lines, for the contract suite: commands on stdin, each answered on stdout when it is done.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

import { Threadcast } from "../../clients/js/src/threadcast.js";

// Node 20 has no WebSocket of its own.
const WebSocket = globalThis.WebSocket ?? createRequire(new URL("../../.venv/node/", import.meta.url))("ws");

let client, answers = new Map();

const DO = {
  open({ url, tokens, plain, heartbeat, sse }) {
    let next = 0;
    const token = plain ? tokens[0] : () => tokens[Math.min(next++, tokens.length - 1)];
    client = new Threadcast({ url, token, ...(heartbeat && { heartbeat }), WebSocket: sse ? null : WebSocket });
    return null;
  },
  post({ as, id, do: _, ...post }) {
    const answer = client.post(post);
    answers.set(as, answer);
    return { messageId: answer.messageId };
  },
  async read({ as }) {
    let text = "";
    for await (const piece of answers.get(as)) text += piece;
    return text;
  },
  done: ({ as }) => answers.get(as).done,
  text: ({ as }) => answers.get(as).text,
  stop: ({ as }) => answers.get(as).stop(),
  chats: () => client.chats.getSnapshot(),
  openChat: ({ id, chat = id }) => client.chats.open(chat),
  closeChat: ({ id, chat = id }) => client.chats.close(chat),
  list: ({ query, pageToken, pageSize }) => client.chats.list({ query, pageToken, pageSize }),
  update: ({ id, chat = id, title, isFavorited }) => client.chats.update(chat, { title, isFavorited }),
  delete: ({ ids }) => client.chats.delete(ids),
  duplicate: ({ id, chat = id, messageId }) => client.chats.duplicate(chat, messageId),
  feedback: ({ messageId, feedback }) => client.chats.feedback(messageId, feedback),
  request: ({ route, payload }) => client.request(route, payload),
  state: () => client.state,
  until: ({ state }) => new Promise((resolve) => {
    const stop = client.subscribe(() => look());
    const look = () => {
      if (client.state !== state) return;
      stop();
      resolve(state);
    };
    look();
  }),
  connect: ({ token }) => client.connect(token),
  close: () => client.close(),
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line), answer = { id: command.id };
  try {
    answer.ok = (await DO[command.do](command)) ?? null;
  } catch (error) {
    const { code = "ERROR", message, retryAfter } = error;
    answer.error = { code, message, retryAfter };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}).on("close", () => client?.close());
