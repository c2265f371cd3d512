"""Databases that take no writes, processes that die, and agents that raise what they should not: scenarios of any size."""

import json
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
from websockets.exceptions import ConnectionClosed

from tests.programs.crowd import LONGEST_S, UNFINISHED, UNLIMITED, Figures, Frame, crowd, opened, post
from tests.programs.unruly import DEEDS, UNRULY, Unruly, others_at_work
from tests.support.client import fold, is_end, unsettled
from tests.support.database import as_stored, rows, stored_chat
from tests.support.house import open_house, settings_in
from tests.support.program import Program, serving
from tests.support.world import ALICE

Trouble = Callable[[Path, Program], AbstractContextManager[None]]

DELAY_MS = 20  # between an agent's words
FOR_ALL_S = 1.0  # that the words of all users' answers take at least: they do not begin at one moment
A_SECOND = 1.0  # of what was told may be missing after a kill


class Telling:
    """A client that posts, and keeps what it is told with the moment at which each frame came."""

    def __init__(self, user: UUID) -> None:
        self.user, self.message_id = user, str(uuid4())
        self.frames: list[Frame] = []
        self.moments: list[float] = []
        self.has_all = anyio.Event()  # the last frame of the answer's text is there

    async def post(self, program: Program) -> None:
        """Post, and read until the end, or until the server dies."""
        with suppress(ConnectionClosed):
            async with opened(program, self.user) as connection:
                await post(connection, prompt="Go", message_id=self.message_id)
                async for text in connection:
                    self.moments.append(time.monotonic())
                    self.frames.append(json.loads(text))
                    if (self.frames[-1]["payload"] or {}).get("response_message", {}).get("is_final_message"):
                        self.has_all.set()
                    if is_end(self.frames[-1]):
                        return

    @property
    def chat_id(self) -> str:
        return str(self.frames[0]["payload"]["id"])

    def told_until(self, moment: float) -> str:
        """The answer's text as it had come by then."""
        heard = [frame["payload"] for frame, came in zip(self.frames, self.moments, strict=True) if came <= moment]
        return "".join(payload.get("response_message", {}).get("message_chunk") or "" for payload in heard)


@contextmanager
def locked(folder: Path, program: Program) -> Iterator[None]:
    """Another process holds SQLite's write lock."""
    with closing(sqlite3.connect(folder / "threadcast.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def full(folder: Path, program: Program) -> Iterator[None]:
    """No file of the server's may be written to, as on a full disk. Its log is a pipe."""
    before = resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    yield
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, before)


async def unwritable(folder: Path, trouble: Trouble, users: int, seconds: float) -> Figures:
    """Streams whose ends all fall into a time in which the database takes no writes: whole, stored, and readable meanwhile."""
    words = int(FOR_ALL_S * 1000 / DELAY_MS)
    people = [Telling(user) for user in crowd(folder, users)]
    pace = {"OFFLINE_WORDS": str(words), "OFFLINE_DELAY_MS": str(DELAY_MS)}
    waits: list[float] = []

    async def read(program: Program, who: Telling) -> None:
        began = time.monotonic()
        async with opened(program, who.user) as connection:
            await connection.send(json.dumps({"route": "/chats/get", "payload": {"id": who.chat_id}}))
            chat = json.loads(await connection.recv())["payload"]
        waits.append(time.monotonic() - began)
        assert not chat["messages"][who.message_id]["is_completed"]
        (part,) = chat["messages"][who.message_id]["response_messages"].values()
        assert part["message"] == who.told_until(began)

    with serving(folder, **pace, **UNLIMITED) as program, anyio.fail_after(LONGEST_S):
        async with anyio.create_task_group() as tasks:
            for who in people:
                tasks.start_soon(who.post, program)
            while not all(who.frames for who in people):  # noqa: ASYNC110
                await anyio.sleep(0.01)
            with trouble(folder, program):
                for who in people:
                    await who.has_all.wait()
                await anyio.sleep(seconds)
                assert not any(is_end(who.frames[-1]) for who in people), "an end was told and not stored"
                async with anyio.create_task_group() as reading:
                    for who in people:
                        reading.start_soon(read, program, who)
        for who in people:
            assert unsettled(fold(who.frames)) == unsettled(who.frames[-1]["payload"]), "a gap"
            assert as_stored(who.frames[-1]["payload"]) == stored_chat(folder / "threadcast.db", who.chat_id)
            assert "Reasoned" in str(who.frames[-1]["payload"]), "cut short"
        assert program.stop() == 0
    assert rows(folder / "threadcast.db", UNFINISHED) == []
    return {"runs": users, "stored whole": users, "longest read meanwhile": f"{max(waits):.2f} s"}


async def kept(folder: Path, users: int, seconds: float, *, missing: float = A_SECOND) -> Figures:
    """`kill -9` in the middle of long streams: at most a second of what was told is missing afterwards."""
    people = [Telling(user) for user in crowd(folder, users)]
    with serving(folder, OFFLINE_WORDS="100000", OFFLINE_DELAY_MS=str(DELAY_MS), **UNLIMITED) as program:
        async with anyio.create_task_group() as tasks:
            for who in people:
                tasks.start_soon(who.post, program)
            await anyio.sleep(seconds)
            killed = time.monotonic()
            program.process.send_signal(signal.SIGKILL)
        program.stop(signal.SIGKILL)
    lost = []
    with serving(folder, **UNLIMITED) as program:
        for who in people:
            (message,) = rows(folder / "threadcast.db", "SELECT * FROM messages WHERE id = ?", who.message_id)
            assert message["final_reasoning_message"] == "Interrupted"
            (part,) = json.loads(message["response_messages"])
            assert part["message"].startswith(who.told_until(killed - missing)), "more than a second is missing"
            assert part["is_final_message"]
            lost.append(len(who.told_until(killed)) - len(part["message"]))
        assert program.stop() == 0
    told = sum(len(who.told_until(killed)) for who in people)
    return {"runs": users, "characters told": told, "most missing of one": max(0, *lost)}


async def unruly(folder: Path) -> Figures:
    """Whatever an agent raises, in its answer or its title, fails its own run; two other users' runs come to their end."""
    for where in ("answer", "title"):
        for deed in DEEDS.values():
            agent = Unruly(deed, where)
            async with (
                open_house(settings_in(folder), agent) as house,
                others_at_work(house, agent),
                house.connect(ALICE) as client,
            ):
                frames = await client.post(prompt=UNRULY)
                assert frames[-1]["event"] == ("postThread" if where == "answer" else "complete")
    return {"deeds": 2 * len(DEEDS), "failed": len(DEEDS), "others' runs": f"{4 * len(DEEDS)}, all whole"}
