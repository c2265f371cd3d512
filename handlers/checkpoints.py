"""While a run goes on its text so far is stored, so that a process that dies loses at most a second of what it has told."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from backends.messages import checkpoint_message
from handlers.runs import Run
from handlers.services import Services
from handlers.transcript import Transcript

LATEST_S = 0.5  # after the first words that are not stored: with a commit on a busy machine that makes a second
MANY_BYTES = 8192  # of words that are not stored: then it is done sooner
SOONEST_S = 0.2  # after the checkpoint before
SHARE = 20  # a checkpoint of a long answer takes long: at most this fraction of the time goes into them

logger = logging.getLogger("threadcast")


class Checkpoints:
    """Those of one run. Each stores the whole message so far, if it is still unfinished and this run's."""

    def __init__(self, services: Services, run: Run, transcript: Transcript) -> None:
        self._services = services
        self._run = run
        self._transcript = transcript
        self._stored = 0  # of the transcript's size
        self._timer: asyncio.TimerHandle | None = None  # set while there is more than that, until it is being stored
        self._hurries = False  # the timer is for many bytes
        self._is_storing = False
        self._has_ended = False
        self._soonest = 0.0  # by the monotonic clock

    def grew(self) -> None:
        """The agent has said something. This is called with each word, so it does next to nothing."""
        if self._timer is None:
            if not (self._is_storing or self._has_ended):
                self._store_in(LATEST_S)
        elif not self._hurries and self._transcript.size - self._stored >= MANY_BYTES:
            self._timer.cancel()
            self._hurries = True
            self._store_in(max(0.0, self._soonest - time.monotonic()))

    def end(self) -> None:
        """Begin no more of them: the run's end is about to be stored. One that is on its way changes nothing after that."""
        self._has_ended = True
        if self._timer:
            self._timer.cancel()

    def _store_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)

    def _begin(self) -> None:
        self._timer, self._hurries, self._is_storing = None, False, True
        self._services.tasks.start_soon(self._store)

    async def _store(self) -> None:
        began, size = time.monotonic(), self._transcript.size
        chat, message, owner = self._transcript.chat, self._transcript.ended(), self._run.owner
        try:
            await checkpoint_message(self._services.backends.storage, chat, message, owner)
            self._stored = size
        except Exception:  # the next one has all of this, too, and so has the end
            logger.warning("message %s could not be stored so far", message.id, exc_info=True)
        took = time.monotonic() - began
        self._soonest = began + max(SOONEST_S, took * SHARE)
        self._is_storing = False
        if self._transcript.size > self._stored:
            self.grew()


@contextmanager
def checkpointed(services: Services, run: Run, transcript: Transcript) -> Iterator[Checkpoints]:
    """Checkpoints until the block ends."""
    checkpoints = Checkpoints(services, run, transcript)
    try:
        yield checkpoints
    finally:
        checkpoints.end()
