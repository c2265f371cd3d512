"""What becomes of streams in whose middle something befalls the nodes: scenarios of any size, as in `nodes.py`."""

import json
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import anyio
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.programs.cluster import Cluster, cluster
from tests.programs.crowd import LONGEST_S, UNFINISHED, Figures, Frame, crowd, opened, post
from tests.programs.mishaps import Stage, lines_to
from tests.programs.nodes import PACE
from tests.support.client import fold, is_end, unsettled
from tests.support.database import as_stored, rows, stored_chat
from tests.support.program import Program

CAUGHT_UP_S = 5.0  # after a fault has ended
A_SECOND = 1.0  # of what was told may be missing after a kill


class Tab:
    """A client without `since` that stays on one node, and comes back when it is closed."""

    def __init__(self, program: Program, user: UUID) -> None:
        self.program, self.user = program, user
        self.frames: list[Frame] = []
        self.closes = 0
        self.open = anyio.Event()

    async def read(self) -> None:
        """Until it is cancelled."""
        while True:
            with suppress(OSError, ConnectionClosed, InvalidHandshake):
                async with opened(self.program, self.user) as connection:
                    self.open.set()
                    async for text in connection:
                        self.frames.append(json.loads(text))
                        assert "offset" not in self.frames[-1]
            self.closes += 1
            await anyio.sleep(0.05)

    def ends(self, message_id: str) -> list[Frame]:
        """The ends of this message that it has seen."""
        return [frame for frame in self.frames if is_end(frame) and message_id in str(frame["payload"] or frame["error"])]

    def answer(self, message_id: str) -> str:
        """Its text: as the end has it, or else as the frames so far add up to it."""
        for frame in self.ends(message_id):
            parts = frame["payload"]["messages"][message_id]["response_messages"].values()
            return "".join(part["message"] for part in parts)
        parts = [(frame["payload"] or {}).get("response_message") or {} for frame in self.stream(message_id)]
        return "".join(part.get("message_chunk") or "" for part in parts)

    def stream(self, message_id: str) -> list[Frame]:
        """All of this message's."""
        return [frame for frame in self.frames if message_id in json.dumps(frame["payload"])]


class Scene:
    """A user with a tab on each node and a post on the first, in whose middle something happens."""

    def __init__(self, user: UUID, *programs: Program) -> None:
        self.user, self.message_id = user, str(uuid4())
        self.tabs = [Tab(program, user) for program in programs]

    async def play(self) -> None:
        """Post once all tabs are open, and read until cancelled."""
        async with anyio.create_task_group() as tasks:
            for tab in self.tabs:
                tasks.start_soon(tab.read)
            for tab in self.tabs:
                await tab.open.wait()
            async with opened(self.tabs[0].program, self.user) as connection:
                await post(connection, prompt="Go", message_id=self.message_id)
                with suppress(ConnectionClosed):
                    async for _ in connection:  # it reads, or it would be closed
                        pass

    @property
    def has_begun(self) -> bool:
        return all(any(frame["event"] == "generatingResponseMessage" for frame in tab.frames) for tab in self.tabs)

    @property
    def has_ended(self) -> bool:
        return all(tab.ends(self.message_id) for tab in self.tabs)

    def check(self, made: Cluster, *, whole: bool) -> str:
        """That each tab saw one end, the stored one; and when it is to be `whole`, all that leads to it. How it ended."""
        for tab in self.tabs:
            (end,) = tab.ends(self.message_id)
            assert tab.stream(self.message_id)[-1] == end, "told after its end"
            assert end["error"] is None, end["error"]
            assert as_stored(end["payload"]) == stored_chat(made.database, end["payload"]["id"]), "told and not stored"
            if whole:
                stream = tab.stream(self.message_id)
                assert unsettled(fold(stream)) == unsettled(end["payload"]), "a gap, or something twice"
        how = end["payload"]["messages"][self.message_id]["final_reasoning_message"]
        return "interrupted" if how == "Interrupted" else "completed"


async def until(condition: Callable[[], bool], seconds: float = LONGEST_S) -> None:
    """Wait for what other processes do."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def befallen(
    folder: Path,
    users: int,
    fault: Callable[[Stage], Awaitable[None]],
    *,
    whole: bool,
    within: float = CAUGHT_UP_S,
    **pace: str,
) -> Figures:
    """What befalls two nodes in the middle of streams: no end lost or doubled, nothing left running, caught up in time."""
    pace = PACE | pace
    natural = int(pace["OFFLINE_WORDS"]) * int(pace["OFFLINE_DELAY_MS"]) / 1000
    with (
        cluster(folder) as made,
        lines_to(made) as lines,
        made.node(**(pace | lines.settings)) as a,
        made.node(**pace) as b,
    ):
        scenes = [
            Scene(user, *((a, b) if number % 2 else (b, a)))
            for number, user in enumerate(crowd(folder, users, **made.settings))
        ]
        async with anyio.create_task_group() as tasks:
            for scene in scenes:
                tasks.start_soon(scene.play)
            await until(lambda: all(scene.has_begun for scene in scenes))
            await fault(Stage(made, a, lines))
            ended = time.monotonic()
            await until(lambda: all(scene.has_ended for scene in scenes), natural * 2 + within)
            took = time.monotonic() - ended
            await anyio.sleep(0.5)  # for what may come twice
            tasks.cancel_scope.cancel()
        ends = [scene.check(made, whole=whole) for scene in scenes]
        assert rows(made.database, UNFINISHED) == [], "left running"
        assert (a.stop(), b.stop()) == (0, 0)
    return {
        "runs": users,
        "completed": ends.count("completed"),
        "interrupted": ends.count("interrupted"),
        "all told after": f"{took:.1f} s",
    }


async def killed(folder: Path, users: int, within: float) -> Figures:
    """`kill -9` of one node in the middle of streams: the other closes them, once, and tells those who are connected to it.

    All that was told a second before the kill is in the end that they are told.
    """
    with cluster(folder) as made, made.node(**PACE) as a, made.node(**PACE) as b:
        scenes = [Scene(user, a, b) for user in crowd(folder, users, **made.settings)]
        async with anyio.create_task_group() as tasks:
            for scene in scenes:
                tasks.start_soon(scene.play)
            await until(lambda: all(scene.has_begun for scene in scenes))
            told = {scene.message_id: scene.tabs[1].answer(scene.message_id) for scene in scenes}
            await anyio.sleep(A_SECOND)
            a.stop(signal.SIGKILL)
            began = time.monotonic()
            for scene in scenes:
                scene.tabs = scene.tabs[1:]
            await until(lambda: all(scene.has_ended for scene in scenes), within)
            took = time.monotonic() - began
            for scene in scenes:  # what a client does whose node is gone: it posts again elsewhere
                async with opened(b, scene.user) as connection:
                    await post(connection, prompt="Go", message_id=scene.message_id)
                    assert json.loads(await connection.recv())["event"] == "complete", "it was run twice"
            tasks.cancel_scope.cancel()
        ends = [scene.check(made, whole=False) for scene in scenes]
        for scene in scenes:
            assert scene.tabs[0].answer(scene.message_id).startswith(told[scene.message_id]), "what was told is not kept"
        assert rows(made.database, UNFINISHED) == []
        assert ends == ["interrupted"] * users
        assert b.stop() == 0
    return {"runs": users, "interrupted": users, "told after": f"{took:.1f} s", "ends per run": 1}
