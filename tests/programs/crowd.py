"""Many users of a server that is a process of its own, and a look at that process from outside."""

import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio.to_thread
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect

from backends.auth import PERSON, issue_token
from schemas.load import LoadFile, LoadUser
from tests.support.house import SECRET
from tests.support.program import Program, run
from tests.support.world import ACME, uuid

Figures = dict[str, object]
Frame = dict[str, Any]
UNLIMITED = {"RATE_LIMIT": "1000000/minute", "MAX_RUNS_PER_USER": "1000"}
LONGEST_S = 120.0  # for anything that is waited for
UNFINISHED = "SELECT * FROM messages WHERE NOT is_completed"


def crowd(folder: Path, users: int, **settings: str) -> list[UUID]:
    """So many users, loaded into the folder's database, or into that of the settings."""
    people = [LoadUser(uuid(1000 + number), f"user{number}@acme.example", ACME) for number in range(users)]
    (folder / "crowd.json").write_bytes(msgspec.json.encode(LoadFile(people)))
    assert run(folder, "load", "crowd.json", **settings).returncode == 0
    return [person.id for person in people]


@asynccontextmanager
async def opened(
    program: Program, user: UUID, since: str | None = None, sock: socket.socket | None = None
) -> AsyncIterator[ClientConnection]:
    """A connection; with `since` one that can resume."""
    url = f"{program.url}?authentication={issue_token(SECRET, user, 600, PERSON)}"
    url += "" if since is None else f"&since={since}"
    async with connect(url, max_size=None, max_queue=None, ping_interval=None, sock=sock) as connection:
        yield connection


async def post(connection: ClientConnection, **payload: object) -> None:
    await connection.send(json.dumps({"route": "/chats/post", "payload": payload}))


def narrow(program: Program) -> socket.socket:
    """A socket to the program into which hardly anything fits that is not read."""
    host, port = program.url.split("/")[2].split(":")
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect((host, int(port)))
    made.setblocking(False)
    return made


def sockets_of(program: Program) -> int:
    """The sockets among the process' file descriptors."""
    folder = f"/proc/{program.process.pid}/fd"
    found = 0
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):
            found += os.readlink(f"{folder}/{name}").startswith("socket:")
    return found


async def sample(program: Program, name: str, **labels: str) -> float:
    """One figure of /metrics."""

    def read() -> str:
        with socket.create_connection(program.url.split("/")[2].split(":")) as connection:  # type: ignore[arg-type]
            connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode().partition("\r\n\r\n")[2]

    for family in text_string_to_metric_families(await anyio.to_thread.run_sync(read)):
        for found in family.samples:
            if found.name == f"threadcast_{name}" and found.labels == labels:
                return found.value
    raise AssertionError(f"no metric {name} {labels}")
