"""Who is speaking."""

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
