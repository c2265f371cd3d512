"""Room for a user's new connection where an older one is dead and nobody knows it yet.

After a change of network all connections of a device are dead, and until they miss a ping they would keep its new ones out. So
if there is one too many, all connections of the user are pinged. Of those that do not answer, the longest silent one ends.
"""

import anyio

from handlers.connection import Connection
from handlers.outboxes import Share

PONG_S = 2.0  # seconds for a living peer to answer; a slow mobile network takes half of it


async def end_silent(share: Share) -> bool:
    """End one of the user's connections here that does not answer. Returns whether there was one, at once when all answer."""
    asked = [each for each in share.members if isinstance(each, Connection)]
    dead: list[Connection] = []

    async def ask(connection: Connection) -> None:
        if not await connection.answers(PONG_S):
            dead.append(connection)

    async with anyio.create_task_group() as tasks:
        for connection in asked:
            tasks.start_soon(ask, connection)
    longest_first = sorted(dead, key=lambda each: each.heard_at)
    return any(each.end() for each in longest_first)  # one that had ended before has made room for another newcomer
