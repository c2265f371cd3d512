"""Who is let in, on whatever transport: whoever has a token gets a connection, if there is a place for it."""

from functools import partial

from handlers.authenticate import authenticate
from handlers.connection import Connection
from handlers.services import Services


async def let_in(services: Services, token: str, *, numbered: bool, brief: bool) -> Connection:
    """The connection, which `let_out` ends. Raises Unauthorized, ServiceUnavailable or TooManyConnections."""
    user = await authenticate(services, token)
    connection = Connection(
        user,
        token,
        services.frames_per_second,
        services.backends.metrics.traffic,
        services.connections.outboxes.share_of(user.id),
        joins=services.flush_seconds > 0,
        numbered=numbered,
        brief=brief,
    )
    await services.connections.enter(connection, partial(services.cluster.end_silent, user.id))
    services.requests.connected(connection.id)
    return connection


def let_out(services: Services, connection: Connection) -> None:
    """The connection has ended."""
    services.requests.disconnected(connection.id)
    services.connections.leave(connection)
