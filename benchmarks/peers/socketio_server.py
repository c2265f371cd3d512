"""python-socketio's AsyncServer under uvicorn: a room for each user, and one `emit` for each frame, as an event of its name.

Options: the WebSocket transport only, orjson as `json`; uvloop, uvicorn's Sans-I/O WebSocket protocol, no compression, no
access log. An event handler is a task of its own (`async_handlers`, the default), so it may run as long as its answer.
"""

import sys
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import orjson
import socketio
import uvicorn

from benchmarks.peers.frames import answer, paced

# What a raw WebSocket client at /socket.io/?EIO=4&transport=websocket&authentication=<user> has to read and write, as text:
#   server: 0{"sid":"<id>","upgrades":[],"pingTimeout":20000,"pingInterval":25000,"maxPayload":1000000}
#   client: 40
#   server: 40{"sid":"<another id>"}        only now is the connection in its room
#   client: 42["post",{"route":"/chats/post","payload":{"prompt":"Hello"}}]
#   server: 42["initializeChat",{<frame>}], then 42["generatingResponseMessage",{<frame>}] ..., 42["complete",{<frame>}]
#   server: 2                               every 25 s; closes the connection unless it is answered within 20 s by
#   client: 3
json = SimpleNamespace(dumps=lambda data, **_: orjson.dumps(data).decode(), loads=lambda data, **_: orjson.loads(data))
server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], json=json)
app = socketio.ASGIApp(server)


@server.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    user = parse_qs(environ["QUERY_STRING"])["authentication"][0]
    await server.save_session(sid, {"user": user})
    await server.enter_room(sid, user)


@server.event
async def post(sid: str, request: dict[str, Any]) -> None:
    user = (await server.get_session(sid))["user"]
    async for frame in paced(answer(user, request["payload"]["prompt"])):
        await server.emit(frame["event"], frame, room=user)


if __name__ == "__main__":
    options = {"loop": "uvloop", "ws": "websockets-sansio", "ws_per_message_deflate": False, "access_log": False}
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", **options)
