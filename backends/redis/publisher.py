"""The broker as the wire sees it, which carries the broker's frames."""

from typing import Protocol

from backends.redis.link import Command, Link
from backends.redis.outgoing import Order, Outgoing


class Publisher(Protocol):
    """A broker that publishes frames."""

    def command(self, outgoing: Outgoing, until: int | str) -> Command:
        """The command that publishes a frame, if Redis' clock is before `until`."""

    async def catch_up(self, link: Link, run_id: str, is_same: bool) -> None:
        """Read what was missed. Redis has its data still, if its run_id `is_same` as before."""

    def passed_over(self, outgoing: Outgoing) -> None:
        """A frame is not sent for now, or for ever: its lease, or that of one before it to the same user, is not sure."""

    def anew(self, outgoing: Outgoing) -> Outgoing:
        """The frame with the next number, since later frames have been sent before it."""

    def found(self) -> list[Order]:
        """Redis is there. Returns the orders that must go before everything else."""

    def lost(self) -> None:
        """Redis is away."""

    def dropped(self, user_ids: set[str]) -> None:
        """Too much waits, or has waited: the other nodes will never be told all frames of these users."""

    def left_out(self, user_ids: set[str]) -> None:
        """Frames of these users are not sent again, since nobody is sure to have their lease."""

    async def echoed(self, number: int) -> None:
        """Wait, for a while at most, until this frame has come back."""

    def hear(self, channel: bytes, data: bytes) -> None:
        """Something was published."""
