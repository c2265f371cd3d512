"""Turns at what there are few of: users who wait are served one after the other, however much each has asked for."""

import asyncio
from collections import deque
from uuid import UUID


class Turns:
    """So many turns at a time. A user waits behind one turn of each other user, not behind all turns of one of them."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}  # the first user has the next turn

    async def take(self, user_id: UUID) -> None:
        """Wait for a turn of this user's. It has to be given back."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had come already
                self.give_back()
            raise

    def give_back(self) -> None:
        """End a turn. The next user in the order gets it; one who waits for more goes to the order's end."""
        while self._waiting:
            user_id = next(iter(self._waiting))
            turns = self._waiting.pop(user_id)
            turn = turns.popleft()
            if turns:
                self._waiting[user_id] = turns
            if not turn.done():  # else the one that waited was cancelled
                turn.set_result(None)
                return
        self._free += 1
