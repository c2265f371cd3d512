"""A server of the contract's tests: the paced agent, many users of their own, hardly a limit, and a heartbeat each second."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from websockets.asyncio.client import connect

from backends.auth import PERSON, issue_token
from schemas.load import LoadFile, LoadUser
from tests.support.client import Client
from tests.support.house import SECRET
from tests.support.paced import AGENT
from tests.support.program import Program, run, serving
from tests.support.world import ACME, ASSETS, PERMISSIONS, USERS, uuid

MANY = 300
SETTINGS = {
    "AGENT": AGENT,
    "PING_SECONDS": "1",
    "FLUSH_MS": "0",
    "RATE_LIMIT": "100000/minute",
    "FRAMES_PER_SECOND": "100000",
    "MAX_RUNS_PER_USER": "1000",
    "MAX_REQUESTS_PER_USER": "1000",
    "MAX_CONNECTIONS_PER_USER": "1000",
    "DRAIN_SECONDS": "2",
}


def member(number: int) -> UUID:
    return uuid(10_000 + number)


def crowded(folder: Path) -> Path:
    """The folder with the world and `MANY` members of Acme in its database."""
    crowd = [LoadUser(member(n), f"member{n}@acme.example", ACME, f"Member {n}") for n in range(MANY)]
    (folder / "crowd.json").write_bytes(msgspec.json.encode(LoadFile([*USERS, *crowd], ASSETS, PERMISSIONS), enc_hook=str))
    loaded = run(folder, "load", "crowd.json")
    assert loaded.returncode == 0, loaded.stderr
    return folder


@contextmanager
def crowd_served(folder: Path, *arguments: str, **settings: str) -> Iterator[Program]:
    with serving(folder, *arguments, **SETTINGS | settings) as program:
        yield program


def token_of(user: UUID, ttl: int = 600) -> str:
    return issue_token(SECRET, user, ttl, PERSON)


def port_of(program: Program) -> int:
    return int(program.url.split("/")[2].split(":")[1])


async def ask(port: int, user: UUID, route: str, payload: object) -> Any:
    """What the server itself answers to a request of the user's."""
    headers = {"Authorization": f"Bearer {token_of(user)}"}
    url = f"ws://127.0.0.1:{port}/api/v1/ws"
    async with connect(url, additional_headers=headers, max_size=None, max_queue=None, proxy=None) as socket:
        await socket.send(json.dumps({"route": route, "payload": payload, "id": "asked"}))
        client = Client(socket)
        while (frame := await client.frame()).get("request_id") != "asked":
            pass
    assert frame["error"] is None, frame
    return frame["payload"]


async def chats_of(port: int, user: UUID) -> dict[str, Any]:
    """All chats of the user, whole, as the server has them."""
    items = await ask(port, user, "/chats/list", {"page_size": 100})
    return {item["id"]: await ask(port, user, "/chats/get", {"id": item["id"]}) for item in items}
