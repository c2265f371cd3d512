"""The floor: what uvicorn alone takes for sending. A bare ASGI callable that builds, encodes and stores nothing.

All frames are made before the first post, so every post is answered with the same ids. Options: uvloop, uvicorn's Sans-I/O
WebSocket protocol, no compression, no access log. A text frame `echo` is answered with `echo`.
"""

import sys
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qs

import orjson
import uvicorn

from benchmarks.peers.frames import answer, paced, start

ECHO = {"type": "websocket.send", "text": "echo"}
FRAMES = [{"type": "websocket.send", "text": orjson.dumps(frame).decode()} for frame in answer("floor", "Hello")]

connections: defaultdict[bytes, list[Any]] = defaultdict(list)  # what sends to each connection of a user


async def post(user: bytes) -> None:
    async for frame in paced(FRAMES):
        for send in list(connections[user]):
            await send(frame)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    user = parse_qs(scope["query_string"])[b"authentication"][0]
    await receive()
    await send({"type": "websocket.accept"})
    connections[user].append(send)
    while (event := await receive())["type"] == "websocket.receive":
        if event["text"] == "echo":
            await send(ECHO)
        else:
            start(post(user))
    connections[user].remove(send)


if __name__ == "__main__":
    options = {"loop": "uvloop", "ws": "websockets-sansio", "ws_per_message_deflate": False, "access_log": False}
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), lifespan="off", log_level="warning", **options)
