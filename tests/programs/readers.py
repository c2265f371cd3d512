"""Large chats and those who read them, or do not, as scenarios of any size, as in `storms.py`."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from websockets.asyncio.client import ClientConnection

from tests.programs.crowd import LONGEST_S, UNLIMITED, Figures, Frame, crowd, narrow, opened, post, sample
from tests.support.client import fold, is_end, unsettled
from tests.support.program import Program, serving

AT_ONCE = {"OFFLINE_DELAY_MS": "0", **UNLIMITED}


async def large_chat(folder: Path, posts: int, prompt_bytes: int, words: int, **settings: str) -> Figures:
    """A chat grows far past what may wait for a connection, and its one reader, who reads, loses nothing and is not closed."""
    (user,) = crowd(folder, 1)
    with serving(folder, OFFLINE_WORDS=str(words), **AT_ONCE, **settings) as program:
        async with opened(program, user) as connection:
            with anyio.fail_after(LONGEST_S):
                chat = await grow(connection, posts, prompt_bytes, check=True)
        assert await sample(program, "closes_total", code="4008") == 0
        assert program.stop() == 0
    return {"posts": posts, "largest frame": megabytes(len(json.dumps(chat))), "closed as too slow": 0}


async def unread(folder: Path, connections: int, gets: int, posts: int, words: int, **settings: str) -> Figures:
    """Many connections ask for a large chat again and again and do not read: that takes little memory, and all are closed."""
    reader, other = crowd(folder, 2)
    with serving(folder, OFFLINE_WORDS=str(words), **AT_ONCE, **settings) as program:
        async with AsyncExitStack() as stack:
            with anyio.fail_after(LONGEST_S):
                async with opened(program, reader) as connection:
                    chat = await grow(connection, posts, 100)
                    await read_at_once(connection, chat)
                    most_resident(program)
                size, before = len(json.dumps(chat)), most_resident(program)
                for _ in range(connections):
                    stuck = await stack.enter_async_context(opened(program, reader, sock=narrow(program)))
                    stack.callback(stuck.transport.abort)
                    stuck.transport.pause_reading()
                    for _ in range(gets):
                        await stuck.send(json.dumps({"route": "/chats/get", "payload": {"id": chat["id"]}}))
                async with opened(program, other) as connection:
                    await grow(connection, 1, 100)
                waits = 0.0
                while await sample(program, "connections"):
                    waits = max(waits, await sample(program, "outbox_bytes"))
                    await anyio.sleep(0.05)
                grown = most_resident(program) - before
                too_slow, refused = await sample(program, "closes_total", code="4008"), await refusals(program)
        # Behind what they have asked for, a quarter of the bound, two more are read, each in memory several times over.
        assert waits <= bound(settings) / 4 + 2 * size, f"{megabytes(waits)} waited"
        assert grown <= bound(settings) / 4 + 12 * size, f"{megabytes(grown)} of memory for {megabytes(waits)} that waited"
        assert program.stop() == 0
    return {
        "connections": connections,
        "asked for": megabytes(size * connections * gets),
        "waited at most": megabytes(waits),
        "memory": f"+ {megabytes(grown)} at most",
        "refused": int(refused),
        "closed as too slow": int(too_slow),
    }


async def grow(connection: ClientConnection, posts: int, prompt_bytes: int, *, check: bool = False) -> Frame:
    """Post again and again in one chat. The chat in the end."""
    chat: Frame = {}
    for _ in range(posts):
        await post(connection, prompt="x" * prompt_bytes, **({"chat_id": chat["id"]} if chat else {}))
        frames: list[Frame] = []
        while not (frames and is_end(frames[-1])):
            frames.append(json.loads(await connection.recv()))
        assert frames[-1]["error"] is None, frames[-1]["error"]
        assert not check or unsettled(fold(frames)) == unsettled(frames[-1]["payload"]), "a gap"
        chat = frames[-1]["payload"]
    return chat


async def refusals(program: Program) -> float:
    return await sample(program, "refusals_total", limit="outboxes")


def bound(settings: dict[str, str]) -> int:
    return int(settings.get("OUTBOX_BYTES_PER_USER", 2**26))


async def read_at_once(connection: ClientConnection, chat: Frame, times: int = 4) -> None:
    """Have each of the server's readers read a large chat: from then on it keeps the memory that this takes."""
    for _ in range(times):
        await connection.send(json.dumps({"route": "/chats/get", "payload": {"id": chat["id"]}}))
    for _ in range(times):
        while json.loads(await connection.recv())["event"] != "getChat":
            pass


def most_resident(program: Program) -> int:
    """The most memory that the process has had since this was last asked, in bytes."""
    folder = Path(f"/proc/{program.process.pid}")
    lines = (folder / "status").read_text().splitlines()
    (folder / "clear_refs").write_text("5")  # proc(5): the peak begins anew
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def megabytes(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"
