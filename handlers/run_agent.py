"""An agent at work: its answer and its title side by side, within their times, into the transcript and the channel.

An agent is foreign code, so each of its generators is read in a task of its own. Whatever the agent raises, be it SystemExit or
a CancelledError that is nobody's cancellation, becomes the failure of that one run. An agent that does not heed its
cancellation is left behind: the run goes on without it, and nothing that it says later is taken.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import Any

import anyio

from backends.agent import AgentTask, Cleaner, CleanEvents
from backends.agent_events import Alive, AssetsFound, TitleChunk, TitleEnd
from backends.logs import named
from handlers.open_steps import awaits_tool
from handlers.runs import FULL, AgentsTask, Run
from handlers.services import Services, Timeouts
from handlers.store_answer import Checkpoints
from handlers.transcript import Transcript

TITLE_S = 3.0  # seconds after the answer's end, in which its title may still come
TITLE_CHARACTERS = 200  # more of a title is cut off: a model may ignore how long it should be
ENOUGH_TITLE = 2000  # characters, with spaces, after which a title is read no further: it may never end
LET_GO_S = 2.0  # seconds after an agent's cancellation, until the run goes on without it
MOST_LEFT_BEHIND = 100  # each keeps its agent's memory; with so many, the agent itself is broken
CANCEL_AGAIN_S = 1.0  # seconds; asyncio.wait_for of Python 3.11 can swallow a cancellation, so it is repeated

logger = logging.getLogger("threadcast")


class AgentFailed(Exception):
    """The agent raised something that is not an `Exception`. The cause is what it raised."""


def is_stuck(services: Services) -> bool:
    """Whether the agent has not let go of so many runs that it gets no more posts."""
    return len(services.runs.left_behind) >= MOST_LEFT_BEHIND


async def run_agent(services: Services, run: Run, task: AgentTask, transcript: Transcript, checkpoints: Checkpoints) -> bool:
    """Let the agent answer until it ends or the run is stopped. True when the agent came to its own end.

    The agent is stopped when its answer fills the chat. Raises what the agent raises, AgentFailed, or TimeoutError. If the
    title fails, the run goes on without it. It has TITLE_S after the answer's end.
    """
    cleaner = CleanEvents()

    async def answer(clock: AgentClock) -> None:
        async with aclosing(services.backends.agent.answer(task)) as events:
            async for dirty in events:
                if clock.is_over:
                    return
                event = cleaner.clean(dirty)
                if event is None or isinstance(event, AssetsFound | Alive):  # assets that were looked up are no token yet
                    clock.lives()
                    if not isinstance(event, AssetsFound):
                        continue
                else:
                    clock.came()
                    if run.first_token is None:
                        run.first_token = clock.taken()
                await run.channel.send(transcript.apply(event), clock.stopped)
                if transcript.open and awaits_tool(transcript.open):
                    clock.rest()
                if transcript.size >= checkpoints.due:  # compared here, since a call for each word would slow the stream
                    checkpoints.grew()
                if transcript.size >= transcript.most:
                    run.stop(FULL)
                    return

    failure: Exception | None = None
    has_ended = False
    async with anyio.create_task_group() as tasks:
        if transcript.wants_title:
            tasks.start_soon(_make_title, services, run, task, transcript, checkpoints)
        try:
            has_ended = await supervised(services, answer, run.stopping) and run.stopped_as != FULL
        except Exception as error:  # raised below, since the group would wrap it
            failure = error
        tasks.cancel_scope.deadline = anyio.current_time() + TITLE_S if has_ended else -math.inf
    if failure:
        raise failure
    return has_ended


async def _make_title(services: Services, run: Run, task: AgentTask, transcript: Transcript, checkpoints: Checkpoints) -> None:
    title, cleaner = "", Cleaner()

    async def make(clock: AgentClock) -> None:
        nonlocal title
        async with aclosing(services.backends.agent.title(task)) as chunks:
            async for chunk in chunks:
                if clock.is_over:
                    return
                clock.came()
                if chunk := cleaner.clean(chunk):
                    title += chunk
                    await run.channel.send(transcript.apply(TitleChunk(chunk)), clock.stopped)
                if len(title) >= ENOUGH_TITLE:
                    return

    with suppress(anyio.BrokenResourceError):  # the stream has failed, as the answer will see
        try:
            if not await supervised(services, make, run.stopping):
                return  # the stopped answer's end sets a title
        except Exception as error:  # DEBUG or type only: the answer's own failure, if any, has the traceback
            logger.warning("a title failed, so it is the prompt's first words", extra={"error": named(error)})
            title = ""
        await run.channel.send(transcript.apply(TitleEnd(" ".join(title.split())[:TITLE_CHARACTERS])))
        if transcript.size >= checkpoints.due:
            checkpoints.grew()


class AgentClock:
    """The time that an agent has: for all that it says, and for each silence. What it waits for because nobody takes what it
    says does not count as silence.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        now = time.monotonic()
        self.is_over = False  # nothing more is taken
        self._first = timeouts.first_token
        self._between = timeouts.between_tokens
        self._began = now
        self._has_spoken = False
        self._silence_ends = now + timeouts.first_token
        self._run_ends = now + timeouts.run

    def came(self) -> None:
        """A token came."""
        self._has_spoken = True
        self._silence_ends = time.monotonic() + self._between

    def lives(self) -> None:
        """A sign of life came: the time until the first token begins anew, and no other."""
        if not self._has_spoken:
            self._silence_ends = time.monotonic() + self._first

    def rest(self) -> None:
        """A tool is at work: until the next token comes no silence counts."""
        self._silence_ends = math.inf

    def taken(self) -> float:
        """Seconds since the agent's start."""
        return time.monotonic() - self._began

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The block's time is no silence; after it the next token's time begins."""
        self._silence_ends = math.inf
        try:
            yield
        finally:
            self.came()

    def left(self) -> float:
        """Seconds until a time limit can run out, whatever the agent does. Raises TimeoutError when one has."""
        now = time.monotonic()
        if min(self._run_ends, self._silence_ends) <= now:
            raise TimeoutError("the agent has taken too long")
        # A token may come at any moment, after which `between` counts.
        return min(self._between, self._silence_ends - now, self._run_ends - now)


async def supervised(
    services: Services, read_agent: Callable[[AgentClock], Awaitable[None]], stopping: "asyncio.Future[None]"
) -> bool:
    """Run `read_agent`, which runs foreign code, in a task of its own until it ends or is to stop. True when it has ended.

    Raises what it raises, AgentFailed where that is no Exception, or TimeoutError when its clock has run out.
    """
    if stopping.done():
        return False
    clock = AgentClock(services.timeouts)
    task: AgentsTask = asyncio.create_task(_contained(read_agent, clock))
    waited_for: list[asyncio.Future[Any]] = [task, stopping]
    try:
        while not (task.done() or stopping.done()):
            await asyncio.wait(waited_for, timeout=clock.left(), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
    finally:
        clock.is_over = True
        await _let_go(task, services.runs.left_behind)
    outcome = task.result()
    if outcome is None:
        return True
    if isinstance(outcome, Exception):
        raise outcome
    raise AgentFailed(f"the agent raised {type(outcome).__name__}") from outcome


async def _contained(read: Callable[[AgentClock], Awaitable[None]], clock: AgentClock) -> BaseException | None:
    """Return whatever the agent raises: a SystemExit that a task raises ends the whole loop of asyncio."""
    try:
        await read(clock)
    except BaseException as error:
        return error
    return None


async def _let_go(task: AgentsTask, left_behind: set[AgentsTask]) -> None:
    """Cancel the task natively: an anyio scope would cancel one that does not heed it again at every turn of the loop."""
    give_up = time.monotonic() + LET_GO_S
    with anyio.CancelScope(shield=True):
        while not task.done() and (left := give_up - time.monotonic()) > 0:
            task.cancel()
            await asyncio.wait({task}, timeout=min(left, CANCEL_AGAIN_S))
    if not task.done():
        logger.error("an agent ignores its cancellation, and is left behind")
        left_behind.add(task)  # asyncio itself holds no strong reference to a task
        task.add_done_callback(left_behind.discard)
