"""What those who run the server are told of it, over HTTP."""

from typing import Literal

import msgspec


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["alive"]


class Ready(msgspec.Struct, frozen=True):
    """It wants traffic. Without its broker it serves its own connections on."""

    status: Literal["ready"]
    broker: Literal["connected", "disconnected"]


class NotReady(msgspec.Struct, frozen=True):
    """It wants no traffic now."""

    status: Literal["draining", "the database does not answer", "the database is gone", "the agent does not stop"]
