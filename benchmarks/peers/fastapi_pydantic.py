"""FastAPI with pydantic models and the ConnectionManager of its documentation; stores each chat with `databases` in SQLite.

Options: uvloop, uvicorn's Sans-I/O WebSocket protocol, no compression, no access log; each frame is dumped once, by pydantic's
`model_dump_json`, and sent as text. The file is BENCH_DATABASE, with a write-ahead log.
"""

import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import uvicorn
from databases import Database
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from benchmarks.peers.fastapi_models import Chat, Frame, Message, Post, Response, Sender, Text
from benchmarks.peers.frames import TEXT, WORDS, paced, start

SCHEMA = (
    "PRAGMA journal_mode=WAL",
    "CREATE TABLE IF NOT EXISTS chats (id TEXT PRIMARY KEY, user TEXT, title TEXT)",
    "CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, chat_id TEXT, request TEXT, response TEXT, is_completed INT)",
)
INSERT_CHAT = "INSERT INTO chats (id, user, title) VALUES (:id, :user, :title)"
INSERT_MESSAGE = "INSERT INTO messages (id, chat_id, request, is_completed) VALUES (:id, :chat_id, :request, 0)"
FINISH_MESSAGE = "UPDATE messages SET response = :response, is_completed = 1 WHERE id = :id"

database = Database(f"sqlite+aiosqlite:///{os.environ['BENCH_DATABASE']}", timeout=60)  # 200 writers at once


class ConnectionManager:
    def __init__(self) -> None:
        self.connections: defaultdict[str, list[WebSocket]] = defaultdict(list)

    async def connect(self, websocket: WebSocket, user: str) -> None:
        await websocket.accept()
        self.connections[user].append(websocket)

    def disconnect(self, websocket: WebSocket, user: str) -> None:
        self.connections[user].remove(websocket)

    async def broadcast(self, message: str, user: str) -> None:
        for connection in list(self.connections[user]):
            await connection.send_text(message)


manager = ConnectionManager()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with database:
        for statement in SCHEMA:
            await database.execute(statement)
        yield


app = FastAPI(lifespan=lifespan)


def answer(user: str, prompt: str, chat_id: str, message_id: str) -> Iterator[Frame[Chat] | Frame[Response]]:
    part_id, sender = str(uuid4()), Sender(id=user, name=user)

    def chat(event: str, parts: dict[str, Text]) -> Frame[Chat]:
        request = {"request": prompt, "sender_id": user, "sender_name": user}
        answered = {"response_message_ids": list(parts), "response_messages": parts, "is_completed": bool(parts)}
        message = Message(id=message_id, request_message=request, **answered)
        payload = Chat(id=chat_id, title=prompt, message_ids=[message_id], messages={message_id: message})
        return Frame[Chat](event=event, payload=payload, sent_by=sender)

    def response(part: Text, progress: str) -> Frame[Response]:
        payload = Response(response_message=part, chat_id=chat_id, message_id=message_id, progress=progress)
        return Frame[Response](event="generatingResponseMessage", payload=payload, sent_by=sender)

    yield chat("initializeChat", {})
    for word in WORDS:
        yield response(Text(id=part_id, message_chunk=word), "in_progress")
    whole = Text(id=part_id, message=TEXT, is_final_message=True)
    yield response(whole, "completed")
    yield chat("complete", {part_id: whole})


async def post(user: str, prompt: str) -> None:
    chat_id, message_id = str(uuid4()), str(uuid4())
    await database.execute(INSERT_CHAT, {"id": chat_id, "user": user, "title": prompt})
    await database.execute(INSERT_MESSAGE, {"id": message_id, "chat_id": chat_id, "request": prompt})
    async for frame in paced(answer(user, prompt, chat_id, message_id)):
        if frame.event == "complete":
            await database.execute(FINISH_MESSAGE, {"id": message_id, "response": TEXT})
        await manager.broadcast(frame.model_dump_json(), user)


@app.websocket("/api/v1/ws")
async def chats(websocket: WebSocket, authentication: str) -> None:
    await manager.connect(websocket, authentication)
    try:
        while True:
            request = Post.model_validate_json(await websocket.receive_text())
            start(post(authentication, request.payload.prompt))
    except WebSocketDisconnect:
        manager.disconnect(websocket, authentication)


if __name__ == "__main__":
    options = {"loop": "uvloop", "ws": "websockets-sansio", "ws_per_message_deflate": False, "access_log": False}
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", **options)
