"""An answer in the database: stored again and again while it grows, and at its end, before anybody is told that end.

A process that dies so loses at most a second of what it has told. An end is stored by the one whose end it is, however long the
database is away.
"""

import asyncio
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from msgspec.structs import replace

from backends.family import find_heading
from backends.lease import LeaseLost
from backends.messages import checkpoint_message, finish_message
from backends.storage import Conflict, DatabaseAway
from backends.stored import find_message
from handlers.runs import Run
from handlers.services import Services
from handlers.transcript import Transcript
from schemas.assets import Asset
from schemas.chats import ChatWithMessages, FinishReason
from schemas.errors import ServiceUnavailable

LATEST_AGAIN_S = 2.0  # seconds after a checkpoint that failed: the database is in trouble
LATEST_S = 0.5  # seconds after the first words that are not stored; with the commit on a busy machine, about a second
MANY = 8192  # bytes that are not stored; with so many a checkpoint is made sooner
SOONEST_S = 0.2  # seconds, at least, from the beginning of one checkpoint to the next
CHECKPOINT_SHARE = 50  # sooner checkpoints take at most a fiftieth of the time: one of a long answer takes long

PAUSE_S, LONGEST_PAUSE_S = 0.25, 2.0  # seconds between tries: many ends may wait, and each must be told soon after the outage
TRIES = 3  # if the database works, and yet refuses this

logger = logging.getLogger("threadcast")


class Checkpoints:
    """The checkpoints of one run. Each stores the message so far, if it is still unfinished and this run's."""

    def __init__(self, services: Services, run: Run, transcript: Transcript) -> None:
        self._services = services
        self._run = run
        self._transcript = transcript
        self._stored = 0  # the transcript's size when it was last stored
        self._timer: asyncio.TimerHandle | None = None  # set while the transcript has more, until that is being stored
        self._has_failed = False  # the last checkpoint
        self._has_ended = False
        self._soonest = 0.0  # the earliest time of the next one, by the loop's clock
        self._loop = asyncio.get_running_loop()
        self.due: float = 0  # the size of the transcript from which `grew` has something to do

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
            storage, state = self._services.backends.storage, self._transcript.state
            await checkpoint_message(storage, self._transcript.chat, message, self._run.owner, state)
            self._stored, self._has_failed = size, False
        except Exception:  # the next checkpoint, or the end, stores all of this, too
            if not self._has_failed:
                logger.warning("the text so far of message %s could not be stored", self._run.message_id, exc_info=True)
            self._has_failed = True
        took = self._loop.time() - began
        self._soonest = math.inf if self._has_failed else began + max(SOONEST_S, took * CHECKPOINT_SHARE)
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
    services: Services, run: Run, transcript: Transcript, files: tuple[Asset, ...], why: FinishReason, how: str
) -> ChatWithMessages:
    """Store the message as it stands and as finished, however long the database is locked, full or away.

    `why` and `how` it ended: the first for programs, the second for people.

    Raises LeaseLost when the message is not this run's to finish any more, EndNotStored when the server stops before that, and
    what the database says when it is there and does not store this.
    """
    chat, message = transcript.chat, transcript.message
    ended = replace(message, final_reasoning_message=how, finish_reason=why)
    moved = replace(chat, updated_at=datetime.now(UTC))
    files = (*files, *transcript.shown.values())
    left, pause = TRIES, PAUSE_S
    while True:
        try:
            is_stored = await finish_message(services.backends.storage, moved, ended, files, run.owner, transcript.state)
            if not is_stored and not await _is_ours(services, run):
                raise LeaseLost
            # It is stored, now or by an earlier try of which only the database's answer was lost.
            message.final_reasoning_message, message.finish_reason, message.is_completed = how, why, True
            chat.updated_at = moved.updated_at
            if services.backends.shared:  # its user may have named it on another node
                with suppress(Exception):  # it is stored: this only says more exactly what is
                    chat.title, chat.is_favorited = await find_heading(services.backends.storage, run.user_id, chat.id)
            return transcript.snapshot()
        except (LeaseLost, Conflict):
            raise
        except Exception as error:
            if not isinstance(error, DatabaseAway | OSError):
                left -= 1
            if not left:
                raise
            if pause == PAUSE_S:  # one line for each outage
                logger.warning("the end of message %s could not be stored, and is tried again", message.id, exc_info=True)
            if await services.runs.are_interrupted_within(pause):
                if run.lease.lost and not await _is_known_to_be_ours(services, run):
                    raise LeaseLost from error
                services.runs.cannot_end = True
                raise EndNotStored from error
            pause = min(2 * pause, LONGEST_PAUSE_S)


async def _is_ours(services: Services, run: Run) -> bool:
    """Whether no other node has closed the run's message."""
    stored = await find_message(services.backends.storage, run.message_id)
    return stored is not None and stored.owner == run.owner


async def _is_known_to_be_ours(services: Services, run: Run) -> bool:
    try:
        return await _is_ours(services, run)
    except Exception:  # while the database does not say, another node may have closed it: then that node tells the end
        return False
