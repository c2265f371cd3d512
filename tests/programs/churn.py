"""Connections that come and go, by the thousand: what the process holds afterwards is what it held before."""

import asyncio
import base64
import gc
import os
import struct
import threading
from collections import Counter
from contextlib import closing
from pathlib import Path

import anyio
import anyio.lowlevel

from tests.programs.crowd import LONGEST_S, Figures
from tests.support.house import House, open_house, settings_in

AT_ONCE = 20
CLOSE = bytes([0x88, 0x82, 0, 0, 0, 0]) + struct.pack("!H", 1000)  # a close frame, masked with zeros
NOISE = 50  # objects of one type that may be made once in a while, whatever the number of connections


async def churn(folder: Path, connects: int, refusals: int) -> Figures:
    """So many clients connect, authenticate and close, so many are refused. The server is this process."""
    async with open_house(settings_in(folder)) as house:
        await _knock(house, house.token(), 200)  # what is made once is made now
        await _knock(house, "not-a-token", 100)
        before = await _held(house)
        await _knock(house, house.token(), connects)
        await _knock(house, "not-a-token", refusals)
        after = await _held(house)
    grown = {name: after[name] - before[name] for name in after if after[name] > before[name]}
    assert not {name for name in grown if name.startswith(":")}, f"more than before: {grown}"
    assert max(grown.values(), default=0) < NOISE, f"more than before: {grown}"
    return {
        "connects": connects,
        "refusals": refusals,
        "tasks": f"{before[':tasks']} -> {after[':tasks']}",
        "threads": f"{before[':threads']} -> {after[':threads']}",
        "descriptors": f"{before[':descriptors']} -> {after[':descriptors']}",
        "objects": f"{sum(before.values())} -> {sum(after.values())}",
    }


async def _knock(house: House, token: str, times: int) -> None:
    left = iter(range(times))

    async def client() -> None:
        for _ in left:
            await _connect_and_close(house, token)

    with anyio.fail_after(LONGEST_S):
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(client)


async def _connect_and_close(house: House, token: str) -> None:
    host, port = house.url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with closing(writer.transport):
        writer.write(
            f"GET /api/v1/ws?authentication={token} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n".encode()
        )
        status = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        assert status in (b"101", b"401")
        if status == b"101":
            writer.write(CLOSE)
        await reader.read()  # until the server has closed


async def _held(house: House) -> Counter[str]:
    """Objects by type, and, with a colon before their names, tasks, threads and file descriptors."""
    with anyio.fail_after(LONGEST_S):
        while house.server.server_state.connections or house.server.server_state.tasks:  # noqa: ASYNC110 (uvicorn's own)
            await anyio.sleep(0.01)
    await anyio.lowlevel.checkpoint()
    for _ in range(3):
        gc.collect()
    held = Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())
    held[":tasks"] = len(asyncio.all_tasks())
    held[":threads"] = threading.active_count()
    held[":descriptors"] = len(os.listdir("/proc/self/fd"))
    return held
