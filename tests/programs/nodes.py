"""Two nodes on one Redis and one PostgreSQL, all well: scenarios of any size, as in `storms.py`."""

import json
import random
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.programs.cluster import cluster
from tests.programs.crowd import LONGEST_S, UNFINISHED, Figures, crowd, opened, post
from tests.programs.storms import Follower
from tests.support.client import fold, is_end, unsettled
from tests.support.database import as_stored, rows, stored_chat

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
                    tasks.start_soon(follower.follow, random.Random(luck.random()), cuts, longest, True, True)
        for follower in followers:
            follower.check()
        assert (a.stop(), b.stop()) == (0, 0)
        assert "Traceback" not in a.log + b.log, a.log + b.log
    made_cuts = sum(follower.recoveries - 1 for follower in followers)
    return {"users": users, "cuts": made_cuts, "gaps": 0, "doubles": 0}


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
