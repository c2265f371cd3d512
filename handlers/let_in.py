"""Who is let in, on whatever transport: whoever has a token gets a connection, if there is a place for it."""

import logging
from functools import partial
from typing import TypeVar

from backends.resume import Resumption
from handlers.authenticate import authenticate
from handlers.connection import Connection
from handlers.errors import describe
from handlers.frames import resumed_frames
from handlers.services import Services
from schemas.errors import WsError
from schemas.users import Sender

Kind = TypeVar("Kind", bound=Connection)

logger = logging.getLogger("threadcast")


async def let_in(services: Services, token: str, kind: type[Kind], *, numbered: bool, brief: bool) -> Kind:
    """The connection, which `let_out` ends. Raises Unauthorized, ServiceUnavailable or TooManyConnections."""
    user = await authenticate(services, token)
    connection = kind(
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


def go_on(services: Services, connection: Connection, since: str, resumption: Resumption | None) -> None:
    """Send first where the connection stands, if it can resume, and what it has missed since then."""
    if resumption:
        outcome = "lost" if not resumption.recovered else "recovered" if since else "started"
        services.backends.metrics.resumes.labels(outcome).inc()
        connection.go_on(resumed_frames(Sender(connection.user, connection.id), resumption))


def keep_out(services: Services, error: Exception) -> WsError:
    """The refusal of a connection, which is counted and logged."""
    services.backends.metrics.refused(error)
    told = describe(error)
    logger.info("refused a connection", extra={"code": told.code.value})
    return told


def let_out(services: Services, connection: Connection) -> None:
    """The connection has ended."""
    services.requests.disconnected(connection.id)
    services.connections.leave(connection)
