// Node's socket.io with connection state recovery: a room for each user, and one `emit` for each frame, as an event of its name.
//
// Options: the WebSocket transport only, no compression.
const { createServer } = require("node:http");
const { randomUUID } = require("node:crypto");
const { Server } = require("socket.io");
const { answer, paced } = require("./frames.cjs");

const http = createServer();
const server = new Server(http, {
  transports: ["websocket"],
  connectionStateRecovery: { maxDisconnectionDuration: 120_000 },
  serveClient: false,
});

server.on("connection", (socket) => {
  const user = socket.handshake.query.authentication;
  socket.join(user);
  socket.on("post", async (request) => {
    for await (const frame of paced(answer(user, request.payload.prompt ?? "", randomUUID(), randomUUID()))) {
      server.to(user).emit(frame.event, frame);
    }
  });
});
http.listen(Number(process.argv[2]), "127.0.0.1");
