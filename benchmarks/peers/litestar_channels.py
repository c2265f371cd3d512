"""Litestar with its ChannelsPlugin: one channel for each user, whose subscribers send to their socket in the background.

Options: the memory backend; a subscriber's backlog without a bound (the default), so that nothing is dropped; frames are
encoded by the plugin, with msgspec; uvloop, uvicorn's Sans-I/O WebSocket protocol, no compression, no access log.
"""

import sys

import uvicorn
from litestar import Litestar, WebSocket, websocket
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend

from benchmarks.peers.frames import answer, paced, start


async def post(channels: ChannelsPlugin, user: str, prompt: str) -> None:
    async for frame in paced(answer(user, prompt)):
        channels.publish(frame, channels=[user])


@websocket("/api/v1/ws")
async def chats(socket: WebSocket, channels: ChannelsPlugin, authentication: str) -> None:
    await socket.accept()
    async with (
        channels.start_subscription([authentication]) as subscriber,
        subscriber.run_in_background(socket.send_text),
    ):
        async for request in socket.iter_json():
            start(post(channels, authentication, request["payload"]["prompt"]))


channels_plugin = ChannelsPlugin(backend=MemoryChannelsBackend(), arbitrary_channels_allowed=True)
app = Litestar(route_handlers=[chats], plugins=[channels_plugin], openapi_config=None)

if __name__ == "__main__":
    options = {"loop": "uvloop", "ws": "websockets-sansio", "ws_per_message_deflate": False, "access_log": False}
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", **options)
