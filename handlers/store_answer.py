"""An answer in the database: stored again and again while it grows, and at its end, before anybody is told that end.

A process that dies so loses at most a second of what it has told. An end is stored by the one whose end it is, however long the
database is away.
"""

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from msgspec.structs import replace

from backends.lease import LeaseLost
from backends.messages import checkpoint_message, find_message, finish_message
from backends.storage import Conflict, DatabaseAway
from handlers.runs import Run
from handlers.services import Services
from handlers.transcript import Transcript
from schemas.assets import Asset
from schemas.chats import ChatWithMessages
from schemas.errors import ServiceUnavailable

LATEST_AGAIN_S = 2.0  # after one that failed: the database is in trouble
LATEST_S = 0.5  # after the first words that are not stored: with a commit on a busy machine that makes a second
MANY = 8192  # bytes that are not stored: then it is done sooner
SOONEST_S = 0.2  # after the checkpoint before
SHARE = 50  # one of a long answer takes long: of the time at most a fiftieth goes into those that are sooner

PAUSE_S, LONGEST_PAUSE_S = 0.25, 2.0  # between tries: many ends may wait, and each is to be told soon after the outage
TRIES = 3  # of a database that is there and yet does not store this

logger = logging.getLogger("threadcast")


class Checkpoints:
    """The checkpoints of one run. Each stores the message so far, if it is still unfinished and this run's."""

    def __init__(self, services: Services, run: Run, transcript: Transcript) -> None:
        self._services = services
        self._run = run
        self._transcript = transcript
        self._stored = 0  # of the transcript's size
        self._timer: asyncio.TimerHandle | None = None  # set while there is more than that, until it is being stored
        self._has_failed = False  # the last one
        self._has_ended = False
        self._soonest = 0.0  # by the loop's clock
        self._loop = asyncio.get_running_loop()
        self.due: float = 0  # from this size of the transcript on `grew` has something to do

    def grew(self) -> None:
        """The transcript is as large as is `due`."""
        now = self._loop.time()
        if self._timer is None:
            self.due = self._stored + MANY
            self._timer = self._loop.call_at(now + (LATEST_AGAIN_S if self._has_failed else LATEST_S), self._begin)
        else:
            self.due = math.inf
            if (sooner := max(now, self._soonest)) < self._timer.when():
                self._timer.cancel()
                self._timer = self._loop.call_at(sooner, self._begin)

    def end(self) -> None:
        """Begin no more of them: the run's end is about to be stored. One that is on its way changes nothing after that."""
        self._has_ended, self.due = True, math.inf
        if self._timer:
            self._timer.cancel()

    def _begin(self) -> None:
        self._timer, self.due = None, math.inf
        self._services.tasks.start_soon(self._store)

    async def _store(self) -> None:
        began, size = self._loop.time(), self._transcript.size
        try:
            message = self._transcript.ended()
            await checkpoint_message(self._services.backends.storage, self._transcript.chat, message, self._run.owner)
            self._stored, self._has_failed = size, False
        except Exception:  # the next one has all of this, too, and so has the end
            if not self._has_failed:
                logger.warning("message %s could not be stored so far", self._run.message_id, exc_info=True)
            self._has_failed = True
        took = self._loop.time() - began
        self._soonest = math.inf if self._has_failed else began + max(SOONEST_S, took * SHARE)
        if not self._has_ended:
            self.due = self._stored + 1
            if self._transcript.size >= self.due:
                self.grew()


@contextmanager
def checkpointed(services: Services, run: Run, transcript: Transcript) -> Iterator[Checkpoints]:
    """Checkpoints until the block ends."""
    checkpoints = Checkpoints(services, run, transcript)
    try:
        yield checkpoints
    finally:
        checkpoints.end()


class EndNotStored(ServiceUnavailable):
    """The server stops while the database does not take the end of an answer. It stays unfinished, as it was stored last."""

    def __init__(self) -> None:
        what = "the server stopped before the end of this answer could be stored, get the chat for what there is"
        super().__init__(what, retry_after=None)


async def finish_chat(
    services: Services, run: Run, transcript: Transcript, files: tuple[Asset, ...], how: str | None
) -> ChatWithMessages:
    """Store the message as it stands and as finished, however long the database is locked, full or away. `how`: it ended.

    Raises LeaseLost when the message is not this run's to finish any more, EndNotStored when the server stops before that, and
    what the database says when it is there and does not store this.
    """
    chat, message = transcript.chat, transcript.message
    ended, moved = replace(message, final_reasoning_message=how), replace(chat, updated_at=datetime.now(UTC))
    left, pause = TRIES, PAUSE_S
    while True:
        try:
            if not await finish_message(services.backends.storage, moved, ended, files, run.owner):
                stored = await find_message(services.backends.storage, message.id)
                if stored is None or stored.owner != run.owner:
                    raise LeaseLost
                # Or else an earlier try has done it, and only its answer was lost.
            message.final_reasoning_message, message.is_completed = how, True
            chat.updated_at = moved.updated_at
            return transcript.snapshot()
        except (LeaseLost, Conflict):
            raise
        except Exception as error:
            if not isinstance(error, DatabaseAway | OSError):
                left -= 1
            if not left:
                raise
            if pause == PAUSE_S:  # the first one tells enough
                logger.warning("the end of message %s could not be stored, and is tried again", message.id, exc_info=True)
            if await services.runs.are_interrupted_within(pause):
                services.runs.cannot_end = True
                raise EndNotStored from error
            pause = min(2 * pause, LONGEST_PAUSE_S)
