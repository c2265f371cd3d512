"""The runs of this process: which go on, which wait for their turn, and how to stop or join one.

All of it is this process' memory; what other nodes run stands in the database. A run is entered here before anything of it is
awaited, so that of any number of equal posts at once exactly one becomes a run and the others find it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

import anyio

from backends.lease import Lease
from backends.limits import Quota
from backends.messages import Owner
from handlers.channel import Channel
from handlers.tasks import Restarting
from handlers.transcript import Transcript
from schemas.chats import ChatWithMessages
from schemas.errors import ServiceUnavailable, ThreadcastError, TooManyRequests

AgentsTask = asyncio.Task[BaseException | None]  # its result is the agent's error

STOPPED, INTERRUPTED, FULL, FAILED = "Stopped", "Interrupted", "Full", "Failed"  # why a run ended early, as its message says
WAITING = 4  # posts that may wait in one chat for the one that runs; only a faulty client sends more
TURN_RETRY_S = 10  # seconds, about one answer


@dataclass(eq=False)
class Run:
    """One message on its way to being answered."""

    message_id: UUID
    user_id: UUID
    chat_id: UUID
    lease: Lease  # under which it is answered
    model: str = "none"  # that the post named, or the first one; of the offline agent none
    channel: Channel = field(init=False)  # what is put here is told in its order; there is one from the stream's beginning on
    arrived: float = field(default_factory=time.monotonic)
    id: UUID = field(default_factory=uuid4)  # differs from every other run, also of the same message
    holds: bool = False  # its message is, or will be at once, the chat's unfinished one
    begun: anyio.Event = field(default_factory=anyio.Event)  # set with `transcript`, or when there will never be one
    is_over: bool = False  # its end is put, or about to be: nobody joins it any more
    ended: anyio.Event = field(default_factory=anyio.Event)  # set when its end has been told, or there will be none
    transcript: Transcript | None = None
    first_token: float | None = None  # seconds from the agent's start to the first of what it said
    end: ChatWithMessages | None = None  # of a run that ended well
    error: ThreadcastError | None = None  # of a run that failed, if clients may read it
    stopped_as: str = STOPPED
    is_refused: bool = False  # it was stopped before its turn came
    stopping: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    counted: ExitStack = field(default_factory=ExitStack)  # it is one of its user's runs until this is closed
    _waiting: anyio.CancelScope | None = None
    _began: float = 0.0

    @property
    def seconds(self) -> float:
        """Since the stream began."""
        return time.monotonic() - self._began if self.transcript else 0.0

    @property
    def owner(self) -> Owner:
        """The owner under which its message is stored."""
        return Owner(self.lease.id, self.id)

    def begin(self, transcript: Transcript) -> None:
        """Let others find the run. Call this when the stream's beginning has been told, without awaiting in between."""
        self.transcript, self._began = transcript, time.monotonic()
        self.begun.set()

    def over(self) -> None:
        """Its end is about to be put. A client that has heard it may post again at once."""
        self.is_over = True
        self.counted.close()

    async def tell(self, answer: Callable[[ChatWithMessages], None]) -> bool:
        """Tell one connection of the chat, as the stream has told it so far. False if the stream cannot tell it any more."""
        if self.transcript is None:
            raise RuntimeError("the run has not begun")
        snapshot = self.transcript.snapshot
        return await self.channel.tell(lambda: partial(answer, snapshot()))

    def stop(self, why: str = STOPPED) -> None:
        """Let the agent go. What there is becomes the answer; once the answer is being stored this changes nothing."""
        if not self.stopping.done():
            self.stopped_as = why
            self.stopping.set_result(None)
            if self._waiting:
                self._waiting.cancel()

    async def wait_for(self, elsewhere: anyio.Event, seconds: float) -> None:
        """Wait before the run begins. Raises ServiceUnavailable when it is stopped by then."""
        if not self.stopping.done():
            with anyio.move_on_after(seconds) as self._waiting:
                await elsewhere.wait()
        if self.stopping.done():
            self.is_refused = True
            raise self.refusal()

    def refusal(self) -> ServiceUnavailable:
        """Why it was stopped before its turn came."""
        if self.stopped_as == INTERRUPTED:
            return Restarting()
        return ServiceUnavailable("stopped before its turn came", retry_after=None)


class Runs:
    """The runs of this process, by message, and the turns of each chat.

    Of one user at most `most_per_user`, over all processes that share the quota.
    """

    def __init__(self, most_per_user: int, quota: Quota) -> None:
        self._most_per_user = most_per_user
        self._quota = quota
        self._interrupted = anyio.Event()
        self.cannot_end = False  # the server ends before an end could be stored, so other ends that wait are not stored either
        self.closing: set[UUID] = set()  # chats whose orphans are being closed
        self.left_behind: set[AgentsTask] = set()  # agents' tasks that ignored their cancellation
        self._runs: dict[UUID, Run] = {}
        self._in_chat: dict[UUID, Run] = {}
        self._turns: dict[UUID, anyio.Lock] = {}
        self._ends: WeakValueDictionary[UUID, anyio.Event] = WeakValueDictionary()

    def get(self, message_id: UUID) -> Run | None:
        """The run that answers this message."""
        return self._runs.get(message_id)

    def __contains__(self, message_id: object) -> bool:
        """Whether this message is being answered, by a run that holds it."""
        return isinstance(message_id, UUID) and (run := self._runs.get(message_id)) is not None and run.holds

    def __len__(self) -> int:
        """How many messages are being answered, or are waiting to be."""
        return len(self._runs)

    @property
    def running(self) -> int:
        """How many runs have their chat for themselves; the others wait."""
        return len(self._in_chat)

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called, because this server stops: no run begins any more."""
        return self._interrupted.is_set()

    async def are_interrupted_within(self, seconds: float) -> bool:
        """Wait for so long, or until they are interrupted."""
        with anyio.move_on_after(seconds):
            await self._interrupted.wait()
        return self.interrupted

    def interrupt(self) -> None:
        """Stop all runs, and those to come at their beginning."""
        self._interrupted.set()
        for run in self._runs.values():
            run.stop(INTERRUPTED)

    def give_up(self) -> None:
        """Stop the runs whose lease is lost. Those whose end can still be stored tell it; of the others somebody else does."""
        for run in self._runs.values():
            if run.lease.lost:
                run.stop(INTERRUPTED)

    def in_chat(self, chat_id: UUID) -> Run | None:
        """The run that answers in this chat now."""
        return self._in_chat.get(chat_id)

    def end_in(self, chat_id: UUID) -> anyio.Event:
        """Set when a run here gives up its turn in this chat. Get it before you read the chat, or a whole run is missed."""
        return self._ends.setdefault(chat_id, anyio.Event())

    @contextmanager
    def entered(self, run: Run) -> Iterator[None]:
        """The run is found by its message id until the block ends. To be entered without awaiting after `get` found none."""
        self._runs[run.message_id] = run
        if self.interrupted:
            run.stop(INTERRUPTED)
        try:
            yield
        finally:
            del self._runs[run.message_id]
            run.begun.set()
            run.ended.set()

    @asynccontextmanager
    async def turn(self, run: Run) -> AsyncIterator[None]:
        """The run has its chat for itself until the block ends; others wait, in order. Raises TooManyRequests."""
        async with self._counted(run):
            turns = self._turns.setdefault(run.chat_id, anyio.Lock(fast_acquire=True))
            if turns.statistics().tasks_waiting >= WAITING:
                what = f"{WAITING} posts are waiting in this chat already, retry in {TURN_RETRY_S} seconds"
                raise TooManyRequests("turns", what, TURN_RETRY_S)
            try:
                async with turns:
                    self._in_chat[run.chat_id] = run
                    try:
                        yield
                    finally:
                        del self._in_chat[run.chat_id]
                        self._ends.pop(run.chat_id, anyio.Event()).set()
            finally:
                if not turns.locked():  # nobody waits; else the lock would have passed to the next at once
                    self._turns.pop(run.chat_id, None)

    @asynccontextmanager
    async def _counted(self, run: Run) -> AsyncIterator[None]:
        id = f"{run.lease.id}:{run.message_id}"  # for a moment two nodes may answer one message, and each counts
        if not await self._quota.enter(run.user_id, id, self._most_per_user):
            what = f"{self._most_per_user} of your posts are being answered, retry in {TURN_RETRY_S} seconds"
            raise TooManyRequests("runs", what, TURN_RETRY_S)
        run.counted.callback(self._quota.leave, run.user_id, id)
        with run.counted:
            yield
