"""A frame on its way to the other nodes, and a command that is none."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backends.frame import Frame
from backends.lease import Lease
from schemas.frames import WsSendMethod

OVERHEAD = 300  # about as many bytes a waiting frame takes besides its text
MARK = Frame.of_data(b"", 0)  # sent to Redis in place of a frame to one connection: Redis gives the number, the text stays here


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """A frame on its way. `number` is its place among all that this node sends."""

    number: int
    user_id: str
    method: WsSendMethod
    sender_id: str | None
    frame: Frame
    lease: Lease | None = None

    @property
    def until(self) -> float:
        """When it may not be told any more, by the monotonic clock."""
        return math.inf if self.lease is None else self.lease.until

    @property
    def is_sure(self) -> bool:
        """Whether the frame may be sent now."""
        return self.lease is None or self.lease.is_sure

    @property
    def is_void(self) -> bool:
        """Whether the frame may never be sent."""
        return self.lease is not None and self.lease.lost

    @property
    def size(self) -> int:
        """About what it takes, in bytes."""
        return self.frame.size + OVERHEAD


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A command that is no frame: it is not sent a second time. `answered` is called with the answer, or with None for none."""

    command: tuple[str | bytes | int, ...]
    answered: Callable[[Any], None] = lambda answer: None
    size: int = OVERHEAD  # about the bytes of command and answer
