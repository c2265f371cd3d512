"""Timers of a connection: a heartbeat after a silence, and the close when its token ends."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from backends.frame import Frame
from handlers.connection import TOKEN_EXPIRED, Connection
from handlers.frames import heartbeat_frame
from schemas.users import Sender

LONGEST_SLEEP_S = 86_400.0  # event loops cannot sleep for any length of time, but a token may live so long


class Timers:
    """The timers of one connection. They are no tasks, since most connections end before a timer has anything to do."""

    def __init__(
        self, connection: Connection, sender: Sender, heartbeat_seconds: float, beat: Callable[[], Frame] | None = None
    ) -> None:
        """`beat`: what a heartbeat is, if not a frame of its own."""
        self.expiry: asyncio.TimerHandle | None = None
        self.heartbeat: asyncio.TimerHandle | None = None
        self._connection = connection
        self._beat = beat or partial(heartbeat_frame, sender, heartbeat_seconds)
        self._heartbeat_seconds = heartbeat_seconds
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Begin to look at the time. Only connections that can resume get heartbeats."""
        self.expire()
        if self._connection.numbered:
            self.beat()

    def stop(self) -> None:
        """Look no more: the connection has ended."""
        for timer in (self.expiry, self.heartbeat):
            if timer:
                timer.cancel()

    def expire(self) -> None:
        """Close the connection if its token has ended, else when it does."""
        left = self._connection.user.expires_at - time.time()
        if left <= 0:
            self._connection.close(TOKEN_EXPIRED)
        else:
            self.expiry = self._loop.call_later(min(left, LONGEST_SLEEP_S), self.expire)

    def beat(self) -> None:
        """Send a heartbeat when nothing else was sent for so long, since a script sees no pings. Not while a frame waits."""
        left = self._connection.sent_at + self._heartbeat_seconds - self._loop.time()
        if left <= 0 and self._connection.is_idle:
            self._connection.put(self._beat())
        self.heartbeat = self._loop.call_later(left if left > 0 else self._heartbeat_seconds, self.beat)
