"""Open connections whose token stands no more: an API key that was deleted, a user who was removed."""

import logging
from weakref import ref

import anyio

from handlers.connection import TOKEN_REVOKED, Connection
from handlers.services import Services

# Seconds for a round over all connections. A connection waits for the rest of one round and its place in the next: under 60 s.
ROUND_S = 25.0

logger = logging.getLogger("threadcast")


async def keep_checking(services: Services) -> None:
    """Look at each open connection's token again and again, for ever. The round is spread, so that no burst holds up others."""
    while True:
        connections = [ref(connection) for connection in services.connections]  # one that closes meanwhile is not kept
        try:
            for connection in connections:
                await _check(services, connection)
                await anyio.sleep(ROUND_S / len(connections))
        except Exception as error:  # an outage revokes nothing: all stay, and are checked again
            logger.warning("tokens could not be checked again", extra={"error": type(error).__name__})
            connections = []
        if not connections:
            await anyio.sleep(ROUND_S)


async def _check(services: Services, reference: "ref[Connection]") -> None:
    """Close the connection if its token does not stand any more. Raises what the database does."""
    if (connection := reference()) is None or connection not in services.connections:
        return
    if await services.backends.auth.authenticate(connection.token) is None:
        connection.close(TOKEN_REVOKED)
