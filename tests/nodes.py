"""Two nodes on one Redis and one PostgreSQL, and what can befall them: scenarios of any size, as in `storms.py`."""

import json
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.client import fold, is_end, unsettled
from tests.cluster import Cluster, cluster
from tests.crowd import LONGEST_S, UNFINISHED, Figures, Frame, crowd, opened, post
from tests.database import as_stored, rows, stored_chat
from tests.program import Program
from tests.storms import Follower

Fault = Callable[..., Awaitable[None]]  # of the cluster, the node that is meant, and for how many `seconds`

CAUGHT_UP_S = 5.0  # after a fault has ended
PACE = {"OFFLINE_WORDS": "100", "OFFLINE_DELAY_MS": "20"}


async def moving(folder: Path, users: int, cuts: int, seed: int) -> Figures:
    """Each user posts, is cut, and goes on at whichever node, again and again, in the middle of the stream."""
    luck, words = random.Random(seed), cuts * 20
    pace = {"OFFLINE_WORDS": str(words), "OFFLINE_DELAY_MS": "10"}
    with cluster(folder) as made, made.node(**pace) as a, made.node(**pace) as b:
        followers = [Follower(user, a, b) for user in crowd(folder, users, **made.settings)]
        with anyio.fail_after(LONGEST_S):
            async with anyio.create_task_group() as tasks:
                for follower in followers:
                    longest = 2 * words * 0.010 / (cuts + 1) * 0.7
                    tasks.start_soon(follower.follow, random.Random(luck.random()), cuts, longest, True)
        for follower in followers:
            follower.check()
        assert (a.stop(), b.stop()) == (0, 0)
        assert "Traceback" not in a.log + b.log, a.log + b.log
    made_cuts = sum(follower.recoveries - 1 for follower in followers)
    return {"users": users, "cuts": made_cuts, "gaps": 0, "doubles": 0}


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
    fault: Callable[[Cluster, Program], Awaitable[None]],
    *,
    whole: bool,
    within: float = CAUGHT_UP_S,
    **pace: str,
) -> Figures:
    """What befalls two nodes in the middle of streams: no end lost or doubled, nothing left running, caught up in time."""
    with cluster(folder) as made, made.node(**(PACE | pace)) as a, made.node(**(PACE | pace)) as b:
        scenes = [
            Scene(user, *((a, b) if number % 2 else (b, a)))
            for number, user in enumerate(crowd(folder, users, **made.settings))
        ]
        async with anyio.create_task_group() as tasks:
            for scene in scenes:
                tasks.start_soon(scene.play)
            await until(lambda: all(scene.has_begun for scene in scenes))
            await fault(made, a)
            ended = time.monotonic()
            natural = int((PACE | pace)["OFFLINE_WORDS"]) * int((PACE | pace)["OFFLINE_DELAY_MS"]) / 1000
            await until(lambda: all(scene.has_ended for scene in scenes), natural * 2 + within)
            took = time.monotonic() - ended
            await anyio.sleep(0.5)  # for what may come twice
            tasks.cancel_scope.cancel()
        ends = [scene.check(made, whole=whole) for scene in scenes]
        assert rows(made.database, UNFINISHED) == [], "left running"
        assert [program.stop() for program in (a, b) if program.process.poll() is None].count(0) in (1, 2)
    return {
        "runs": users,
        "completed": ends.count("completed"),
        "interrupted": ends.count("interrupted"),
        "all told after": f"{took:.1f} s",
    }


async def redis_killed(made: Cluster, program: Program, seconds: float) -> None:
    await anyio.to_thread.run_sync(made.redis.kill)
    await anyio.sleep(seconds)
    await anyio.to_thread.run_sync(made.redis.start)


async def redis_paused(made: Cluster, program: Program, seconds: float) -> None:
    with made.redis.stopped():
        await anyio.sleep(seconds)


async def postgres_killed(made: Cluster, program: Program, seconds: float) -> None:
    await anyio.to_thread.run_sync(made.postgres.kill)
    await anyio.sleep(seconds)
    await anyio.to_thread.run_sync(made.postgres.start)


async def postgres_paused(made: Cluster, program: Program, seconds: float) -> None:
    made.postgres.pause()
    await anyio.sleep(seconds)
    made.postgres.go_on()


async def node_killed(made: Cluster, program: Program, seconds: float) -> None:
    program.stop(signal.SIGKILL)


async def node_paused(made: Cluster, program: Program, seconds: float) -> None:
    program.process.send_signal(signal.SIGSTOP)
    await anyio.sleep(seconds)
    program.process.send_signal(signal.SIGCONT)


async def killed(folder: Path, users: int, within: float) -> Figures:
    """`kill -9` of one node in the middle of streams: the other closes them, once, and tells those who are connected to it."""
    with cluster(folder) as made, made.node(**PACE) as a, made.node(**PACE) as b:
        scenes = [Scene(user, a, b) for user in crowd(folder, users, **made.settings)]
        async with anyio.create_task_group() as tasks:
            for scene in scenes:
                tasks.start_soon(scene.play)
            await until(lambda: all(scene.has_begun for scene in scenes))
            await node_killed(made, a, 0)
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
        assert rows(made.database, UNFINISHED) == []
        assert ends == ["interrupted"] * users
        assert b.stop() == 0
    return {"runs": users, "interrupted": users, "told after": f"{took:.1f} s", "ends per run": 1}


async def stopped_elsewhere(folder: Path, users: int) -> Figures:
    """Each stops on one node what runs on the other. And each posts the same on both at once, and has one run of it."""
    with cluster(folder) as made, made.node(**PACE) as a, made.node(**PACE) as b:
        people = crowd(folder, users, **made.settings)
        took: list[float] = []

        async def stop(user: UUID) -> None:
            async with opened(a, user) as here, opened(b, user) as there:
                await post(here, prompt="Go", message_id=(id := str(uuid4())))
                frames = [json.loads(await there.recv())]
                while frames[-1]["event"] != "generatingResponseMessage":
                    frames.append(json.loads(await there.recv()))
                began = time.monotonic()
                await there.send(json.dumps({"route": "/chats/stop", "payload": {"id": frames[0]["payload"]["id"]}}))
                while not is_end(frames[-1]):
                    frames.append(json.loads(await there.recv()))
                took.append(time.monotonic() - began)
                assert frames[-1]["payload"]["messages"][id]["final_reasoning_message"] == "Stopped"
                assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])

        async def twice(user: UUID) -> None:
            async with opened(a, user) as here, opened(b, user) as there:
                id = str(uuid4())
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(partial(post, here, prompt="Go", message_id=id))
                    tasks.start_soon(partial(post, there, prompt="Go", message_id=id))
                for connection in (here, there):
                    frames = [json.loads(await connection.recv())]
                    while not is_end(frames[-1]):
                        frames.append(json.loads(await connection.recv()))
                    assert frames[-1]["error"] is None
                    assert frames[-1]["payload"]["message_ids"] == [id]
                    assert {frame["payload"].get("chat_id", frames[-1]["payload"]["id"]) for frame in frames} == {
                        frames[-1]["payload"]["id"]
                    }
                assert len(rows(made.database, "SELECT id FROM messages WHERE id = ?", id)) == 1

        with anyio.fail_after(LONGEST_S):
            for scene in (stop, twice):
                async with anyio.create_task_group() as tasks:
                    for user in people:
                        tasks.start_soon(scene, user)
        assert rows(made.database, UNFINISHED) == []
        assert len(rows(made.database, "SELECT id FROM chats")) == 2 * users, "a post was run twice"
        assert (a.stop(), b.stop()) == (0, 0)
        assert "Traceback" not in a.log + b.log, a.log + b.log
    return {
        "stops": users,
        "stopped after": f"{max(took) * 1000:.0f} ms at most",
        "the same post on both": users,
        "runs of it": 1,
    }


async def limited(folder: Path, posts: int) -> Figures:
    """A rate limit holds over both nodes."""
    with cluster(folder) as made:
        few = {"RATE_LIMIT": f"{posts}/minute", "OFFLINE_WORDS": "1", "OFFLINE_DELAY_MS": "0"}
        with made.node(**few) as a, made.node(**few) as b:
            (user,) = crowd(folder, 1, **made.settings)
            async with opened(a, user) as here, opened(b, user) as there:
                outcomes = []
                with anyio.fail_after(LONGEST_S):
                    for number in range(posts + 4):
                        connection = (here, there)[number % 2]
                        await post(connection, prompt="Hi", message_id=(id := str(uuid4())))
                        frame = json.loads(await connection.recv())
                        while not (is_end(frame) and (frame["error"] or id in frame["payload"]["messages"])):
                            frame = json.loads(await connection.recv())
                        outcomes.append(frame["error"]["code"] if frame["error"] else "answered")
    assert outcomes == ["answered"] * posts + ["TOO_MANY_REQUESTS"] * 4
    return {"posts": posts + 4, "answered": posts, "refused": 4}


async def rolled(folder: Path, users: int, posts: int) -> Figures:
    """Both nodes are restarted, one after the other, while all users go on posting: each post has its one whole end."""
    with cluster(folder) as made:
        people = crowd(folder, users, **made.settings)
        pace = {"OFFLINE_WORDS": "40", "OFFLINE_DELAY_MS": "20", "DRAIN_SECONDS": "20"}
        nodes = [made.start(**pace), made.start(**pace)]
        ids: dict[str, dict[str, object]] = {}
        moves = 0

        async def live(user: UUID, number: int) -> None:
            nonlocal moves
            place, left = "", [str(uuid4()) for _ in range(posts)]
            while left:
                id, node = left[0], nodes[number % 2]
                with suppress(OSError, ConnectionClosed, InvalidHandshake):
                    async with opened(node, user, place) as connection:
                        resumed = json.loads(await connection.recv())["payload"]
                        assert resumed["recovered"], "a place was lost"
                        epoch = resumed["epoch"]
                        if not any(id == known for known in ids):
                            await post(connection, prompt="Go", message_id=id)
                        while left:
                            frame = json.loads(await connection.recv())
                            if "offset" in frame:
                                place = f"{epoch}:{frame['offset']}"
                            if frame["event"] == "complete" and left[0] in frame["payload"]["messages"]:
                                ids[left.pop(0)] = frame["payload"]
                                if left:
                                    await post(connection, prompt="Go", message_id=left[0])
                            elif frame["error"] or frame["event"] == "goingAway":
                                assert not frame["error"] or frame["error"]["code"] == "SERVICE_UNAVAILABLE", frame
                                break
                moves += 1
                number += 1
                await anyio.sleep(0.05)

        with anyio.fail_after(LONGEST_S):
            async with anyio.create_task_group() as tasks:
                for number, user in enumerate(people):
                    tasks.start_soon(live, user, number)
                for number in (0, 1):
                    await anyio.sleep(1.5)
                    old = nodes[number]
                    fresh = await anyio.to_thread.run_sync(partial(made.start, **pace))
                    nodes[number] = fresh
                    assert await anyio.to_thread.run_sync(old.stop) == 0
        assert len(ids) == users * posts
        for id, chat in ids.items():
            assert as_stored(chat) == stored_chat(made.database, str(chat["id"]))
            assert "Reasoned" in str(chat["messages"][id]["final_reasoning_message"]), "cut short"  # type: ignore[index]
        assert rows(made.database, UNFINISHED) == []
        assert [node.stop() for node in nodes] == [0, 0]
    return {"users": users, "posts": users * posts, "restarts": 2, "moves": moves, "cut short": 0, "lost": 0}
