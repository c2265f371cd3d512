"""What the lifespan hands to every handler."""

from dataclasses import dataclass, field
from uuid import UUID

from anyio.abc import TaskGroup

from backends import Backends
from schemas.users import AuthenticatedUser


@dataclass(frozen=True)
class Services:
    """The server, as handlers see it. Tasks that outlive a connection, such as runs, are started in `tasks`."""

    backends: Backends
    tasks: TaskGroup
    running: set[UUID] = field(default_factory=set)  # ids of the messages that are being answered


@dataclass(frozen=True)
class Sender:
    """Who asked, from which connection (None: not over a socket), and the label that the client gave the request."""

    user: AuthenticatedUser
    connection_id: str | None
    request_id: str | None = None
