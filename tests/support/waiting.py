"""Waiting for what happens on the server's side of a socket."""

from collections.abc import Callable

import anyio
import anyio.lowlevel

from backends.broker import MemoryBroker
from tests.support.client import TIMEOUT_S, Client, Frame
from tests.support.house import House


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that happens on the server's side of a socket, and of which no client can be told."""
    with anyio.fail_after(TIMEOUT_S):
        while not condition():
            await anyio.lowlevel.checkpoint()


def connections(house: House) -> int:
    """How many connections the broker holds, of all users."""
    broker = house.backends.broker
    assert isinstance(broker, MemoryBroker)
    return sum(len(user.subscribers) for user in broker._users.values())


def server_tasks(house: House) -> int:
    """How many tasks uvicorn runs for open connections."""
    return len(house.server.server_state.tasks)


async def vanish(client: Client) -> None:
    client.socket.transport.abort()


async def begun(client: Client, prompt: str, **rest: object) -> list[Frame]:
    """Post, and return the frames up to the answer's first words."""
    await client.send({"prompt": prompt, **rest})
    return await client.until("generatingResponseMessage")


def refused(house: House) -> float:
    return house.backends.metrics.registry.get_sample_value("threadcast_refusals_total", {"limit": "outboxes"}) or 0
