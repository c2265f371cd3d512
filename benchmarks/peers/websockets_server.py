"""The `websockets` library alone: its asyncio server, and `broadcast` for each frame.

Options: uvloop, `compression=None`, orjson, whose bytes `broadcast` takes as they are with `text=True`.
"""

import sys
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import orjson
import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.peers.frames import answer, paced, start

connections: defaultdict[str, set[ServerConnection]] = defaultdict(set)


async def post(user: str, prompt: str) -> None:
    async for frame in paced(answer(user, prompt)):
        broadcast(connections[user], orjson.dumps(frame), text=True)


async def chats(connection: ServerConnection) -> None:
    user = parse_qs(urlsplit(connection.request.path).query)["authentication"][0]
    connections[user].add(connection)
    try:
        async for message in connection:
            start(post(user, orjson.loads(message)["payload"]["prompt"]))
    finally:
        connections[user].discard(connection)


async def main() -> None:
    async with serve(chats, "127.0.0.1", int(sys.argv[1]), compression=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
