"""Nodes that have stored ends and never tell them to the others: scenarios of any size, as in `befallen.py`."""

import json
import signal
import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import anyio
import anyio.to_thread
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.programs.befallen import Scene, Tab, until
from tests.programs.cluster import Cluster, cluster
from tests.programs.crowd import UNFINISHED, Figures, Frame, crowd, opened
from tests.programs.mishaps import lines_to
from tests.support.client import is_end
from tests.support.database import as_stored, rows, stored_chat
from tests.support.program import Program

ENDLESS = {"OFFLINE_WORDS": "100000", "OFFLINE_DELAY_MS": "20", "DRAIN_SECONDS": "1"}


class Resuming(Tab):
    """A client with `since` that goes on from its place when it is closed: at a node of its choice."""

    def __init__(self, program: Program, user: UUID) -> None:
        super().__init__(program, user)
        self.connections: list[list[Frame]] = []

    async def read(self) -> None:
        place = ""
        while True:
            with suppress(OSError, ConnectionClosed, InvalidHandshake):
                async with opened(self.program, self.user, place) as connection:
                    resumed = json.loads(await connection.recv())["payload"]
                    self.connections.append([])
                    place = f"{resumed['epoch']}:{resumed['offset']}"
                    self.open.set()
                    async for text in connection:
                        frame = json.loads(text)
                        self.frames.append(frame)
                        self.connections[-1].append(frame)
                        if frame["route"] != "/stream":
                            place = f"{resumed['epoch']}:{frame['offset']}" if "offset" in frame else ""
            self.closes += 1
            await anyio.sleep(0.05)


class Audience(Scene):
    """A user with two tabs on each node, of which one can resume, and a post on the first node that does not end by itself."""

    def __init__(self, user: UUID, a: Program, b: Program) -> None:
        super().__init__(user, a, b)
        self.tabs += [Resuming(a, user), Resuming(b, user)]

    def on(self, program: Program) -> list[Tab]:
        return [tab for tab in self.tabs if tab.program is program]

    def turn_to(self, program: Program, gone: Program) -> None:
        """What is on the node that is gone goes on at the other one."""
        for tab in self.on(gone):
            tab.program = program

    async def stop(self) -> None:
        """Stop the answer, at the node that runs it."""
        chat_id = next(frame["payload"]["id"] for frame in self.tabs[0].frames if frame["event"] == "initializeChat")
        async with opened(self.tabs[0].program, self.user) as connection:
            await connection.send(json.dumps({"route": "/chats/stop", "payload": {"id": chat_id}}))

    def check_ends(self, made: Cluster, how: str) -> None:
        """That each tab has been told the stored end, and no connection twice."""
        for tab in self.tabs:
            ends = tab.ends(self.message_id)
            assert ends, "no end"
            for end in ends:
                assert as_stored(end["payload"]) == stored_chat(made.database, end["payload"]["id"]), "told and not stored"
                assert end["payload"]["messages"][self.message_id]["final_reasoning_message"] == how
            for frames in tab.connections if isinstance(tab, Resuming) else [tab.frames]:
                assert sum(map(is_end, frames)) <= 1, "two ends"
                assert not any(map(is_end, frames[:-1])) or frames[-1]["event"] == "goingAway", "told after its end"


async def killed_untold(folder: Path, users: int, within: float) -> Figures:
    """A node is killed after it has stored how its runs ended, and before it has told anybody: the other node tells it."""
    with (
        cluster(folder) as made,
        lines_to(made) as lines,
        made.node(**ENDLESS, **lines.settings) as a,
        made.node(**ENDLESS) as b,
    ):
        scenes = [Audience(user, a, b) for user in crowd(folder, users, **made.settings)]
        async with anyio.create_task_group() as tasks:
            for scene in scenes:
                tasks.start_soon(scene.play)
            await until(lambda: all(scene.has_begun for scene in scenes))
            lines.portal.call(lines.redis.hold)
            async with anyio.create_task_group() as stopping:
                for scene in scenes:
                    stopping.start_soon(scene.stop)
            await until(lambda: not rows(made.database, UNFINISHED))
            a.stop(signal.SIGKILL)
            lines.portal.call(lines.redis.cut)
            began = time.monotonic()
            for scene in scenes:
                scene.tabs.pop(0)  # without `since` nobody expects of another node what this one was about to tell
                scene.turn_to(b, gone=a)
            await until(lambda: all(scene.has_ended for scene in scenes), within)
            took = time.monotonic() - began
            await anyio.sleep(0.5)  # for what may come twice
            tasks.cancel_scope.cancel()
        for scene in scenes:
            scene.check_ends(made, "Stopped")
        assert b.stop() == 0
    return {"runs": users, "connections": 3 * users, "told after": f"{took:.1f} s", "ends per run": 1}


async def restarted_untold(folder: Path, users: int, within: float) -> Figures:
    """A node ends its runs while Redis is away, and is restarted in good order: the other node tells its own tabs the ends."""
    with cluster(folder) as made, made.node(**ENDLESS) as a, made.node(**ENDLESS) as b:
        scenes = [Audience(user, a, b) for user in crowd(folder, users, **made.settings)]
        async with anyio.create_task_group() as tasks:
            for scene in scenes:
                tasks.start_soon(scene.play)
            await until(lambda: all(scene.has_begun for scene in scenes))
            await anyio.to_thread.run_sync(made.redis.kill)
            assert await anyio.to_thread.run_sync(a.stop) == 0
            with made.node(**ENDLESS) as again:
                for scene in scenes:
                    scene.turn_to(again, gone=a)
                await anyio.to_thread.run_sync(made.redis.start)
                began = time.monotonic()
                await until(lambda: all(scene.has_ended for scene in scenes), within)
                took = time.monotonic() - began
                await anyio.sleep(0.5)  # for what may come twice
                tasks.cancel_scope.cancel()
        for scene in scenes:
            scene.check_ends(made, "Interrupted")
        assert b.stop() == 0
    return {"runs": users, "connections": 4 * users, "told after": f"{took:.1f} s after its return", "ends per run": 1}
