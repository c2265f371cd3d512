"""Answers of the server about itself, over HTTP."""

from typing import Literal

import msgspec


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    status: Literal["alive"]


class Ready(msgspec.Struct, frozen=True):
    """The server wants traffic. Without its broker it still serves its own connections."""

    status: Literal["ready"]
    broker: Literal["connected", "disconnected"]


class NotReady(msgspec.Struct, frozen=True):
    """The server wants no traffic now."""

    status: Literal["draining", "the database does not answer", "the database is gone", "the agent does not stop"]
