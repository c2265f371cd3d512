"""aiohttp alone: a WebSocketResponse for each connection, each frame encoded once and sent to one after the other.

Options: uvloop, `compress=False`, no access log, orjson, whose bytes go out by `send_frame`, which the documentation has for
what is encoded already.
"""

import sys
from collections import defaultdict

import orjson
import uvloop
from aiohttp import WSMsgType, web

from benchmarks.peers.frames import answer, paced, start

connections: defaultdict[str, set[web.WebSocketResponse]] = defaultdict(set)


async def post(user: str, prompt: str) -> None:
    async for frame in paced(answer(user, prompt)):
        data = orjson.dumps(frame)
        for socket in list(connections[user]):
            await socket.send_frame(data, WSMsgType.TEXT)


async def chats(request: web.Request) -> web.WebSocketResponse:
    user = request.query["authentication"]
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    connections[user].add(socket)
    try:
        async for message in socket:
            start(post(user, orjson.loads(message.data)["payload"]["prompt"]))
    finally:
        connections[user].discard(socket)
    return socket


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.get("/api/v1/ws", chats)])
    options = {"access_log": None, "print": None, "shutdown_timeout": 1, "loop": uvloop.new_event_loop()}
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), **options)
