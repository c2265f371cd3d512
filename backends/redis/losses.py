"""Users of whom a node has not told the others everything, and how these learn of it.

Whoever resumes at a place from before must not be told that nothing is missing: the user's log begins a new epoch. And where
frames of a user never arrive, the other nodes close that user's connections with 1011, so that these come back and ask.
"""

import logging
from typing import Any

from backends.redis.log import Logs
from backends.redis.outgoing import Order
from backends.redis.wire import Wire

logger = logging.getLogger("threadcast")


class Losses:
    """The losses of one node."""

    def __init__(self, channel: bytes, logs: Logs, wire: Wire) -> None:
        self._channel = channel
        self._logs = logs
        self._wire = wire
        self._to_renew: set[str] = set()
        self._to_cut: set[str] = set()
        self._telling: set[str] = set()  # users of whom the other nodes are being told

    def renew(self, user_ids: set[str]) -> None:
        """Frames of these users have no offset: from before them nobody can resume."""
        self._to_renew |= user_ids

    def cut(self, user_ids: set[str]) -> None:
        """Frames of these users never reach the other nodes."""
        if news := user_ids - self._to_cut - self._telling:
            logger.warning("frames were dropped, since redis does not keep up", extra={"users": len(news)})
        self._to_renew |= user_ids
        self._to_cut |= user_ids
        if self._wire.connected:
            self._tell()

    def begin_anew(self, user_id: str) -> None:
        """A frame of this user is about to be published. First the nodes must learn of what was lost before it."""
        if user_id in self._to_renew:
            self._wire.order(self._renewal(user_id))

    def found(self) -> list[Order]:
        """Redis is there. Returns the orders that must go before everything else.

        The orders to cut users come after the frames that wait. So these users first get what is left, such as an end.
        """
        self._tell()
        return [self._renewal(user_id) for user_id in list(self._to_renew)]

    def _tell(self) -> None:
        for user_id in self._to_cut - self._telling:  # for users in `_telling` it is told after the answer
            self._to_cut.discard(user_id)
            self._to_renew.discard(user_id)
            self._telling.add(user_id)
            self._wire.order(self._loss(user_id))

    def _renewal(self, user_id: str) -> Order:
        def answered(answer: Any) -> None:
            if answer is None:
                self._to_renew.add(user_id)

        self._to_renew.discard(user_id)
        return Order(self._logs.renew(user_id), answered)

    def _loss(self, user_id: str) -> Order:
        def answered(answer: Any) -> None:
            self._telling.discard(user_id)
            if answer is None:
                self._to_cut.add(user_id)
            elif self._wire.connected:
                self._tell()

        return Order(self._logs.lose(user_id, self._channel), answered)
