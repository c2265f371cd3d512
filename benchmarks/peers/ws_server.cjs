// Node's `ws`: a set of sockets for each user, each frame made to JSON once and sent to one after the other.
//
// With BENCH_STORE=1 it stores as Threadcast does, by better-sqlite3: chat and message before the first frame, the answer before
// the last, in WAL, with `synchronous=NORMAL`. Options: no compression.
const { randomUUID } = require("node:crypto");
const Database = process.env.BENCH_STORE ? require("better-sqlite3") : null;
const { WebSocketServer } = require("ws");
const { answer, paced, TEXT } = require("./frames.cjs");

const connections = new Map();
const store = Database && opened(process.env.BENCH_DATABASE);

function opened(path) {
  const database = new Database(path);
  database.pragma("journal_mode = WAL");
  database.pragma("synchronous = NORMAL");
  database.exec(`CREATE TABLE chats (id TEXT PRIMARY KEY, user TEXT, title TEXT);
    CREATE TABLE messages (id TEXT PRIMARY KEY, chat_id TEXT, request TEXT, response TEXT, is_completed INTEGER DEFAULT 0)`);
  const chat = database.prepare("INSERT INTO chats VALUES (?, ?, ?)");
  const message = database.prepare("INSERT INTO messages (id, chat_id, request) VALUES (?, ?, ?)");
  const finish = database.prepare("UPDATE messages SET response = ?, is_completed = 1 WHERE id = ?");
  return {
    begin: database.transaction((chatId, messageId, user, prompt) => {
      chat.run(chatId, user, prompt);
      message.run(messageId, chatId, prompt);
    }),
    end: (messageId) => finish.run(TEXT, messageId),
  };
}

async function post(user, prompt) {
  const chatId = randomUUID();
  const messageId = randomUUID();
  store?.begin(chatId, messageId, user, prompt);
  for await (const frame of paced(answer(user, prompt, chatId, messageId))) {
    if (frame.event === "complete") store?.end(messageId);
    const data = JSON.stringify(frame);
    for (const socket of connections.get(user) ?? []) socket.send(data);
  }
}

new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), perMessageDeflate: false }).on(
  "connection",
  (socket, request) => {
    const user = new URL(request.url, "ws://x").searchParams.get("authentication");
    if (!connections.has(user)) connections.set(user, new Set());
    connections.get(user).add(socket);
    socket.on("message", (data) => post(user, JSON.parse(data).payload.prompt ?? ""));
    socket.on("close", () => connections.get(user).delete(socket));
  },
);
