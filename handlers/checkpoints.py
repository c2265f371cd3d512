"""While a run goes on its text so far is stored, so that a process that dies loses at most a second of what it has told."""

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

from backends.messages import checkpoint_message
from handlers.runs import Run
from handlers.services import Services
from handlers.transcript import Transcript

LATEST_AGAIN_S = 2.0  # after one that failed: the database is in trouble
LATEST_S = 0.5  # after the first words that are not stored: with a commit on a busy machine that makes a second
MANY = 8192  # bytes that are not stored: then it is done sooner
SOONEST_S = 0.2  # after the checkpoint before
SHARE = 50  # one of a long answer takes long: of the time at most a fiftieth goes into those that are sooner

logger = logging.getLogger("threadcast")


class Checkpoints:
    """Those of one run. Each stores the whole message so far, if it is still unfinished and this run's."""

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
