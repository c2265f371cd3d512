"""Attackers with a token, or with one that is none any more: scenarios of any size, as in `attacks.py`."""

import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import jwt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from backends.auth import ALGORITHM, PERSON, issue_token
from backends.http_protocol import UNREAD_LOOK_S, UNREAD_LOOKS
from tests.programs.attacks import asking, comes_in, eventually, is_answered, posting
from tests.programs.crowd import UNLIMITED, Figures, crowd, narrow, opened, sample
from tests.programs.readers import grow, megabytes, most_resident
from tests.support.database import opened as database
from tests.support.house import SECRET
from tests.support.program import Program, run, serving
from tests.support.proxy import Proxy

AT_ONCE = {"OFFLINE_DELAY_MS": "0", **UNLIMITED}
REVOKED_S = 60  # as SECURITY.md promises
CUT_S = (UNREAD_LOOKS + 2) * UNREAD_LOOK_S  # by when who reads nothing is cut off


async def has(program: Program, **most: int) -> bool:
    """Whether /metrics of the program shows, for each of these names, no more than its value."""
    return all([await sample(program, name) <= value for name, value in most.items()])


async def gets(folder: Path, connections: int, gets: int, posts: int, words: int) -> Figures:
    """Many gets of a large chat on connections that are given up at once: others come in as ever."""
    user, other = crowd(folder, 2)
    with serving(folder, OFFLINE_WORDS=str(words), MAX_CONNECTIONS_PER_USER="1000", **AT_ONCE) as program:
        async with opened(program, user) as connection:
            chat = await grow(connection, posts, 100)
        async with asking(lambda: comes_in(program, other)) as others:
            for _ in range(connections):
                async with opened(program, user) as connection:
                    for _ in range(gets):
                        await connection.send(json.dumps({"route": "/chats/get", "payload": {"id": chat["id"]}}))
                    connection.transport.abort()
            await eventually(lambda: has(program, connections=1))
        assert program.stop() == 0
    return {"gets": connections * gets, "of a chat of": megabytes(len(json.dumps(chat))), **others.figures()}


async def unread_answers(folder: Path, answers: int, posts: int, words: int) -> Figures:
    """Answers over HTTP that nobody reads: they take little memory, and in time none is open."""
    user, other = crowd(folder, 2)
    with serving(folder, OFFLINE_WORDS=str(words), **AT_ONCE) as program:
        async with opened(program, user) as connection:
            chat = await grow(connection, posts, 100)
        again = json.dumps({"prompt": "x", "message_id": chat["message_ids"][-1]}).encode()
        most_resident(program)
        before = most_resident(program)
        sockets = []
        async with asking(lambda: comes_in(program, other)) as others:
            for _ in range(answers):
                sockets.append(narrow(program))
                await anyio.wait_writable(sockets[-1])
                sockets[-1].send(posting(user, again))
            await eventually(lambda: has(program, outbox_bytes=0, sockets_unheard=2), CUT_S)
        grown = most_resident(program) - before
        for each in sockets:
            each.close()
        assert program.stop() == 0
    size = len(json.dumps(chat))
    assert grown < 2**24 + 12 * size, f"{megabytes(grown)} of memory"
    return {"answers": answers, "of": megabytes(size), "memory": f"+ {megabytes(grown)}", **others.figures()}


async def full_chat(folder: Path, words: int) -> Figures:
    """Posts in one chat without an end: it is full before long, and the next chat is not."""
    (user,) = crowd(folder, 1)
    with serving(folder, OFFLINE_WORDS=str(words), CHAT_BYTES=str(2**20), **AT_ONCE) as program:
        async with opened(program, user) as connection:
            chat, refusal, posts = await grow(connection, 1, 100), None, 0
            while refusal is None and posts < 1000:
                chat_id = {"prompt": "x" * 30_000, "chat_id": chat["id"]}
                await connection.send(json.dumps({"route": "/chats/post", "payload": chat_id}))
                while (frame := json.loads(await connection.recv()))["event"] != "complete" and not frame["error"]:
                    pass
                posts, refusal = posts + 1, frame["error"]
            assert refusal is not None
            assert refusal["code"] == "BAD_REQUEST", refusal
            await grow(connection, 1, 100)
        assert program.stop() == 0
    return {"posts until it was full": posts, "told": refusal["message"]}


async def revoked(folder: Path) -> Figures:
    """A key that is deleted and a user who is removed, with open connections: both are closed, and post no more."""
    leaver, _ = crowd(folder, 2)
    key = run(folder, "token", "user1@acme.example", "--aud", "api").stdout.strip()
    with serving(folder) as program:
        async with (
            opened(program, leaver) as removed,
            connect(program.url, additional_headers={"Authorization": f"Bearer {key}"}) as keyed,
        ):
            with database(folder / "threadcast.db") as rows:
                rows.execute("UPDATE api_keys SET deleted_at = created_at")
                rows.execute("DELETE FROM users WHERE id = ?", (str(leaver),))
            began = time.monotonic()
            for connection in (removed, keyed):
                with anyio.fail_after(REVOKED_S):
                    assert await code_of(connection) == 4001
            took = time.monotonic() - began
        assert program.stop() == 0
    return {"closed with 4001 after at most": f"{took:.0f} s"}


async def code_of(connection: ClientConnection) -> int | None:
    try:
        while True:
            await connection.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


async def clocks(folder: Path) -> Figures:
    """Tokens of a clock that is ahead, or that have ended: within ten seconds the first are taken, the others never."""
    (user,) = crowd(folder, 1)
    now = int(time.time())
    told: dict[str, object] = {}
    with serving(folder) as program:
        for name, claims, welcome in (
            ("iat and nbf 8 s ahead", {"iat": now + 8, "nbf": now + 8, "exp": now + 60}, True),
            ("iat 30 s ahead", {"iat": now + 30, "exp": now + 60}, False),
            ("nbf 30 s ahead", {"nbf": now + 30, "exp": now + 60}, False),
            ("exp 1 s ago", {"exp": now - 1}, False),
        ):
            assert await is_let_in(program, user, claims) == welcome, name
            told[name] = "let in" if welcome else "refused"
        assert program.stop() == 0
    return told


async def is_let_in(program: Program, user: UUID, claims: dict[str, int]) -> bool:
    token = jwt.encode({"sub": str(user), "aud": PERSON, **claims}, str(SECRET), ALGORITHM)
    try:
        async with connect(program.url, additional_headers={"Authorization": f"Bearer {token}"}):
            return True
    except InvalidStatus:
        return False


async def change_of_network(folder: Path, tabs: int) -> Figures:
    """All tabs that a user may have lose their network at once and come back by another: all are let in."""
    (user,) = crowd(folder, 1)
    with serving(folder, MAX_CONNECTIONS_PER_USER=str(tabs)) as program:
        proxy = Proxy(int(program.url.split("/")[2].split(":")[1]))
        async with AsyncExitStack() as stack:
            port = await stack.enter_async_context(proxy.serving())
            options: dict[str, Any] = {"host": "127.0.0.1", "port": port, "ping_interval": None, "close_timeout": 0}
            headers = {"Authorization": f"Bearer {issue_token(SECRET, user, 600, PERSON)}"}
            for _ in range(tabs):
                await stack.enter_async_context(connect(program.url, additional_headers=headers, **options))
            proxy.hold()
            began, waits = time.monotonic(), list[float]()
            done = anyio.Event()

            async def come() -> None:
                async with opened(program, user) as connection:
                    await is_answered(connection)
                    waits.append(time.monotonic() - began)
                    await done.wait()

            async with anyio.create_task_group() as tasks:
                for _ in range(tabs):
                    tasks.start_soon(come)
                await eventually(lambda: len(waits) == tabs)
                done.set()
            refused = await sample(program, "closes_total", code="4029")
        assert program.stop() == 0
    assert refused == 0, f"{refused:.0f} were refused"
    return {"tabs": tabs, "refused": 0, "all back after": f"{max(waits):.1f} s"}
