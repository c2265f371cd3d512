"""Who a connection is for, and what it is told of it."""

import time
from typing import Literal, Protocol

from threadcast_client.wire import Frame

State = Literal["connecting", "waiting", "live", "draining", "refused", "closed"]

_CLOCK = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)


def now() -> float:
    """Seconds, by a clock that goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


class Owner(Protocol):
    """Who the connection is for."""

    def on_state(self, state: State) -> None:
        """It has become so."""

    def on_note(self, text: str) -> None:
        """Something that a person who looks for a fault would like to know."""

    def on_sent(self, text: str) -> None:
        """A request was sent."""

    def on_text(self, text: str) -> None:
        """A frame came."""

    def on_frame(self, frame: Frame) -> None:
        """A frame came, in its order, and not for the second time."""

    def on_resumed(self, missed: bool) -> None:
        """A connection is there. `missed`: frames may be missing."""

    def on_live(self) -> None:
        """All frames that were missed have come."""

    def on_lost(self) -> None:
        """The connection has gone, with what it had not answered."""

    def on_over(self, why: str) -> None:
        """Nothing more is tried."""

    def on_replaced(self) -> None:
        """The token is another user's than before."""

    def on_tick(self) -> None:
        """A moment has passed on a live connection."""
