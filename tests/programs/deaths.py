"""Servers that are killed and servers that are told to stop, as scenarios of any size, in the manner of `storms.py`."""

import json
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from tests.programs.crowd import LONGEST_S, UNFINISHED, UNLIMITED, Figures, Frame, crowd, opened, post
from tests.support.client import is_end
from tests.support.database import as_stored, rows, stored_chat
from tests.support.program import Program, serving


async def kills(folder: Path, times: int, seed: int) -> Figures:
    """`kill -9` in the middle of streams, again and again on one database, and what clients find afterwards."""
    luck = random.Random(seed)
    database, people = folder / "threadcast.db", crowd(folder, 5)
    ends = {"completed": 0, "interrupted": 0}
    for _ in range(times):
        ids = {user: str(uuid4()) for user in people}
        seen: dict[UUID, list[Frame]] = {user: [] for user in people}
        with serving(folder, OFFLINE_WORDS="30", OFFLINE_DELAY_MS="10", **UNLIMITED) as program:
            async with anyio.create_task_group() as tasks:
                for user in people:
                    tasks.start_soon(_see, program, user, ids[user], seen[user])
                await anyio.sleep(luck.uniform(0.05, 0.8))
                program.process.send_signal(signal.SIGKILL)
            program.stop(signal.SIGKILL)
        with serving(folder, OFFLINE_WORDS="30", OFFLINE_DELAY_MS="0", **UNLIMITED) as program:
            assert rows(database, UNFINISHED) == [], "a message stayed unfinished"
            for user, frames in seen.items():
                assert sum(map(is_end, frames)) <= 1, "two ends"
                async with opened(program, user) as connection:  # what a client does: it sends its post again
                    await post(connection, prompt="Go", message_id=ids[user])
                    again = [json.loads(await connection.recv())]
                    while not is_end(again[-1]):
                        again.append(json.loads(await connection.recv()))
                chat = again[-1]["payload"]
                assert as_stored(chat) == stored_chat(database, chat["id"])
                how = chat["messages"][ids[user]]["final_reasoning_message"]
                ends["interrupted" if how == "Interrupted" else "completed"] += 1
                if frames and is_end(frames[-1]):
                    assert chat == frames[-1]["payload"], "what was complete has changed"
                elif frames:  # the message was told of, so it was stored
                    assert len(again) == 1, "it was run twice"
            assert program.stop() == 0
    return {"kills": times, "runs": times * len(people), **ends, "unfinished": 0, "ends per run": 1}


async def _see(program: Program, user: UUID, message_id: str, frames: list[Frame]) -> None:
    """Post, and read until the server dies."""
    with suppress(ConnectionClosed):
        async with opened(program, user) as connection:
            await post(connection, prompt="Go", message_id=message_id)
            async for text in connection:
                frames.append(json.loads(text))


async def stopped(folder: Path, runs: int, drain_seconds: int) -> Figures:
    """SIGTERM with many runs: half of them can finish in time."""
    people = crowd(folder, runs)
    short, streams, codes = runs // 2, [list[Frame]() for _ in people], []
    delay_ms = drain_seconds * 1000 // 2 // 40
    settings = {"DRAIN_SECONDS": str(drain_seconds), "OFFLINE_WORDS": "40", "OFFLINE_DELAY_MS": str(delay_ms), **UNLIMITED}
    with serving(folder, **settings) as program:
        begun = anyio.Event()

        async def read(number: int, user: UUID) -> None:
            async with opened(program, user) as connection:
                await post(connection, prompt="Go", message_id=str(uuid4()))
                if number >= short:  # a second one in the same chat waits for the first, and will not be in time
                    streams[number].append(json.loads(await connection.recv()))
                    for _ in range(2):
                        await post(connection, prompt="And then?", chat_id=streams[number][0]["payload"]["id"])
                with suppress(ConnectionClosedError):
                    async for text in connection:
                        streams[number].append(json.loads(text))
                        if all(streams):
                            begun.set()
                codes.append(connection.protocol.close_rcvd.code if connection.protocol.close_rcvd else 1006)

        with anyio.fail_after(LONGEST_S):
            async with anyio.create_task_group() as tasks:
                for number, user in enumerate(people):
                    tasks.start_soon(read, number, user)
                await begun.wait()
                began = time.monotonic()
                code = await anyio.to_thread.run_sync(program.stop)
        took = time.monotonic() - began
        assert code == 0
        assert "Traceback" not in program.log, program.log
    assert codes == [1012] * runs, f"closed with {sorted(set(codes))}"
    frames = [frame for stream in streams for frame in stream]
    assert [sum(frame["event"] == "goingAway" for frame in stream) for stream in streams] == [1] * runs
    ends = {frame["payload"]["message_ids"][-1]: frame["payload"] for frame in frames if frame["event"] == "complete"}
    posts = short + 3 * (runs - short)
    assert len(ends) == sum(map(is_end, frames)) == posts, "a run without its one end"
    for chat in ends.values():
        stored = {row["id"]: row["final_reasoning_message"] for row in rows(folder / "threadcast.db", "SELECT * FROM messages")}
        assert all(stored[id] == message["final_reasoning_message"] for id, message in chat["messages"].items())
    assert rows(folder / "threadcast.db", UNFINISHED) == []
    how = [chat["messages"][id]["final_reasoning_message"] for id, chat in ends.items()]
    return {
        "connections": runs,
        "runs": posts,
        "finished": posts - how.count("Interrupted"),
        "interrupted": how.count("Interrupted"),
        "lost": 0,
        "closed with 1012": codes.count(1012),
        "took": f"{took:.1f} s",
    }
