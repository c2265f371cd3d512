"""Users and senders."""

from dataclasses import dataclass
from uuid import UUID

import msgspec


class AuthenticatedUser(msgspec.Struct, frozen=True):
    """A user whose token stood when the connection was made.

    `name` is the display name, or the e-mail address when there is none; `expires_at` is the token's end in Unix seconds.
    """

    id: UUID
    email: str
    name: str
    avatar_url: str | None
    expires_at: float


@dataclass(frozen=True)
class Sender:
    """Who asked, from which connection (None: not over a socket), and the label that the client gave the request."""

    user: AuthenticatedUser
    connection_id: str | None
    request_id: str | None = None
