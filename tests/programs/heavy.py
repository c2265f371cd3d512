"""One user's large answers beside another user's stream on two nodes, as a scenario of any size, as in `nodes.py`."""

import json
import time
from pathlib import Path
from uuid import UUID

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.programs.befallen import Scene, until
from tests.programs.cluster import Cluster, cluster
from tests.programs.crowd import LONGEST_S, Figures, crowd, opened, post, sample
from tests.programs.readers import grow, megabytes


async def heavy(folder: Path, gets: int, posts: int, words: int, others: int) -> Figures:
    """With `since` a user asks again and again for a large chat, and posts in it. The others' streams lose no word by it."""
    with cluster(folder) as made:
        user, *people = crowd(folder, 1 + others, **made.settings)
        chat_id, size = await large_chat(made, user, words)
        with made.node(OFFLINE_WORDS="300", OFFLINE_DELAY_MS="10") as a, made.node(OFFLINE_WORDS="300") as b:
            scenes = [Scene(person, *((a, b) if number % 2 else (b, a))) for number, person in enumerate(people)]
            frames, answers = 0, 0
            with anyio.fail_after(LONGEST_S):
                async with anyio.create_task_group() as tasks:
                    for scene in scenes:
                        tasks.start_soon(scene.play)
                    await until(lambda: all(scene.has_begun for scene in scenes))
                    began = time.monotonic()
                    async with opened(a, user, "") as here, opened(b, user, "") as there:
                        tasks.start_soon(read, there)
                        for _ in range(posts):
                            await post(here, prompt="Go", chat_id=chat_id)
                        for _ in range(gets):
                            await here.send(json.dumps({"route": "/chats/get", "payload": {"id": chat_id}}))
                        answers, frames = await answered(here, gets)
                    took = time.monotonic() - began
                    await until(lambda: all(scene.has_ended for scene in scenes))
                    tasks.cancel_scope.cancel()
            for scene in scenes:
                assert scene.check(made, whole=True) == "completed"
                assert [tab.closes for tab in scene.tabs] == [0, 0], "somebody was closed for what another user did"
            assert await sample(a, "broker_connected") == await sample(b, "broker_connected") == 1
            assert "redis is away" not in a.log + b.log, a.log + b.log
            assert (a.stop(), b.stop()) == (0, 0)
    return {
        "answers": f"{answers} of {megabytes(size)} in {took:.1f} s",
        "frames beside them": frames,
        "others": others,
        "words of others lost": 0,
    }


async def large_chat(made: Cluster, user: UUID, words: int) -> tuple[str, int]:
    """A chat with two long answers, and its size."""
    with made.node(OFFLINE_WORDS=str(words), OFFLINE_DELAY_MS="0") as program:
        async with opened(program, user) as connection:
            chat = await grow(connection, 2, 100)
        assert program.stop() == 0
    return str(chat["id"]), len(json.dumps(chat))


async def read(connection: ClientConnection) -> None:
    try:
        async for _ in connection:
            pass
    except ConnectionClosed:  # the user's own loss
        pass


async def answered(connection: ClientConnection, gets: int) -> tuple[int, int]:
    """Read until so many answers have come, in whatever order; and how many other frames have."""
    answers = others = last = 0
    while answers < gets:
        frame = json.loads(await connection.recv())
        assert frame["error"] is None, frame["error"]
        if "offset" in frame:
            assert frame["offset"] > last, "out of order, or twice"
            last = frame["offset"]
        answers += frame["event"] == "getChat"
        others += frame["event"] != "getChat"
    return answers, others
