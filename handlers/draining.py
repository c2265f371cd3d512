"""Leaving well: nothing new, those who run may finish, everybody is told before and nobody is cut in the middle of a frame."""

import logging

import anyio

from handlers.connection import RESTARTING
from handlers.frames import going_away_frame
from handlers.services import Services
from schemas.users import Sender

INTERRUPT_S = 10.0  # seconds to store what the runs that did not finish have said
FLUSH_S = 3.0  # seconds to send what waits; a client that reads has it by then

logger = logging.getLogger("threadcast")


async def drain(services: Services, seconds: float, hurry: anyio.Event) -> None:
    """Take no more posts, wait for the runs for `seconds` or until `hurry`, end what is left, and close all connections."""
    services.posts.shut()
    services.connections.gate.shut()
    for connection in services.connections:
        connection.put(going_away_frame(Sender(connection.user, connection.id), seconds))
    if services.posts:
        logger.info("draining", extra={"posts": len(services.posts), "seconds": seconds})
        await _wait(services, seconds, hurry)
    services.runs.interrupt()
    services.cluster.lease.give_up()
    with anyio.move_on_after(INTERRUPT_S):
        await services.posts.emptied()
    services.requests.shut()
    with anyio.move_on_after(FLUSH_S):
        await services.requests.emptied()
    await services.backends.broker.flush()
    for connection in services.connections:
        connection.close_when_sent(RESTARTING)
    with anyio.move_on_after(FLUSH_S):
        await services.connections.gate.emptied()


async def _wait(services: Services, seconds: float, hurry: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:

        async def until_hurried() -> None:
            await hurry.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(until_hurried)
        with anyio.move_on_after(seconds):
            await services.posts.emptied()
        tasks.cancel_scope.cancel()
