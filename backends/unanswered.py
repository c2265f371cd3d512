"""A bound for sockets of unknown peers, which have not sent a whole request yet."""

import logging
import math
from collections import Counter
from typing import Protocol

from backends.metrics import Metrics

LOG_S = 60.0  # seconds between log lines about sockets that were cut off

logger = logging.getLogger("threadcast")


class Unanswered(Protocol):
    """A socket that has no request which is being answered."""

    def cut(self, reason: str) -> None:
        """End the connection without a word."""


class UnansweredSockets:
    """The sockets without a request that is being answered, of which nobody knows who they are: at most `most`.

    When there are more, the one that has waited longest is cut off: a real client sends its request at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sockets: dict[Unanswered, None] = {}  # the one that has waited longest is the first
        self._cut = Counter[str]()  # by reason, since the last log line
        self._told_at = -math.inf
        self._metrics: Metrics | None = None

    def measured_by(self, metrics: Metrics) -> None:
        """Count in these metrics."""
        self._metrics = metrics
        metrics.sockets_unheard.set_function(lambda: len(self._sockets))

    def add(self, socket: Unanswered) -> None:
        self._sockets[socket] = None
        if len(self._sockets) > self._most:
            next(iter(self._sockets)).cut("room")

    def discard(self, socket: Unanswered) -> None:
        self._sockets.pop(socket, None)

    def has_cut(self, reason: str, now: float) -> None:
        """Count it, and say in the log how many were cut off for which reason since it was last said: at most once in LOG_S."""
        self._cut[reason] += 1
        if self._metrics:
            self._metrics.sockets_cut.labels(reason).inc()
        if now - self._told_at >= LOG_S:
            logger.warning("cut off sockets before they had sent a whole request", extra=dict(self._cut))
            self._cut.clear()
            self._told_at = now
