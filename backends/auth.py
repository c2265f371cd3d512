"""Tokens: one function makes them and one turns them into a user, for WebSocket and HTTP alike. Protocol section 1."""

import time
from collections.abc import Mapping
from uuid import UUID, uuid4

import jwt
from starlette.datastructures import Secret

from backends.accounts import find_key_owner, find_user
from backends.storage import Storage
from schemas.users import AuthenticatedUser

ALGORITHM = "HS256"
PERSON, API = "authenticated", "api"
# Seconds by which the issuer's clock may be ahead of ours, for `iat` and `nbf`. Clocks that are set by NTP are within a second
# of each other. `exp` has no such allowance: a token ends when it says so.
LEEWAY_S = 10


def issue_token(secret: Secret, user_id: UUID, ttl: int, audience: str) -> str:
    """A token for the user, valid for `ttl` seconds from now."""
    now = int(time.time())
    # Without `jti`, two keys made in one second would be equal.
    claims = {"sub": str(user_id), "aud": audience, "iat": now, "exp": now + ttl, "jti": uuid4().hex}
    return jwt.encode(claims, str(secret), ALGORITHM)


class Authenticator:
    """Knows whom a token stands for. `short` has what may be sent in place of a token."""

    def __init__(self, secret: Secret, storage: Storage, short: Mapping[str, str] | None = None) -> None:
        self._secret = secret
        self._storage = storage
        self._short = short or {}

    async def authenticate(self, token: str) -> AuthenticatedUser | None:
        """The user, or None whatever the reason: a client learns only that the token is not valid."""
        token = self._short.get(token, token)
        try:
            claims = jwt.decode(
                token,
                str(self._secret),
                algorithms=[ALGORITHM],
                audience=[PERSON, API],
                leeway=LEEWAY_S,
                options={"require": ["sub", "exp", "aud"]},
            )
            subject, expires_at = UUID(claims["sub"]), float(claims["exp"])
        except (jwt.PyJWTError, ValueError, OverflowError):
            return None
        if expires_at <= time.time():  # PyJWT would apply its leeway to `exp`, too
            return None
        if claims["aud"] == PERSON:
            row = await find_user(self._storage, subject)
        elif claims["aud"] == API:
            row = await find_key_owner(self._storage, token)
        else:  # PyJWT allows a list of audiences, the protocol does not
            return None
        if row is None:
            return None
        return AuthenticatedUser(
            id=row["id"],
            email=row["email"],
            name=row["name"] or row["email"],
            avatar_url=row["avatar_url"],
            expires_at=expires_at,
        )
