"""An agent at work: its answer and its title side by side, within their times, into the transcript and the channel."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager, nullcontext, suppress

import anyio
import anyio.lowlevel

from backends.agent import Agent, AgentTask, AssetsFound, TitleChunk, TitleEnd
from handlers.runs import Channel
from handlers.services import Timeouts
from handlers.transcript import Item, Transcript

TITLE_CHARACTERS = 200  # of a model that does not heed how long a title is

logger = logging.getLogger("threadcast")


async def run_agent(agent: Agent, task: AgentTask, transcript: Transcript, tx: Channel, timeouts: Timeouts) -> None:
    """Let the agent answer. Raises what the agent raises, or TimeoutError; a title that fails is done without."""
    await anyio.lowlevel.checkpoint_if_cancelled()  # stopped while it waited: an agent's first word may need no waiting
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        if transcript.wants_title:
            tasks.start_soon(_make_title, agent, task, transcript, tx, timeouts)
        try:
            async with aclosing(agent.answer(task)) as events:
                with in_time(timeouts) as clock:
                    async for event in events:
                        if not isinstance(event, AssetsFound):  # what an agent looked up is no token yet
                            clock.came()
                        await send_all(tx, transcript, transcript.apply(event), clock.stopped)
        except Exception as error:  # raised below: the group would wrap it
            failure = error
            tasks.cancel_scope.cancel()
    if failure:
        raise failure


async def _make_title(agent: Agent, task: AgentTask, transcript: Transcript, tx: Channel, timeouts: Timeouts) -> None:
    title = ""
    with suppress(anyio.BrokenResourceError):  # the stream has failed, and the answer will find out
        try:
            async with aclosing(agent.title(task)) as chunks:
                with in_time(timeouts) as clock:
                    async for chunk in chunks:
                        clock.came()
                        title += chunk
                        await send_all(tx, transcript, transcript.apply(TitleChunk(chunk)), clock.stopped)
        except Exception:
            logger.warning("message %s gets its first words for a title", transcript.message.id, exc_info=True)
            title = ""
        await send_all(tx, transcript, transcript.apply(TitleEnd(" ".join(title.split())[:TITLE_CHARACTERS])))


class Clock:
    """Runs out in an agent's silence. What the agent waits for, because nobody takes what it says, is none."""

    def __init__(self, scope: anyio.CancelScope, seconds: float) -> None:
        self._scope = scope
        self._seconds = seconds
        self._renewed = -math.inf

    def came(self) -> None:
        """A token came. Cheap: the time starts anew only when a twentieth of it has gone by, and may be that much longer."""
        now = time.monotonic()
        if now - self._renewed > self._seconds / 20:
            self._renewed = now
            self._scope.deadline = anyio.current_time() + self._seconds * 21 / 20

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The block's time does not count; after it the next token's time begins."""
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._renewed = -math.inf
            self.came()


@contextmanager
def in_time(timeouts: Timeouts) -> Iterator[Clock]:
    """Raises TimeoutError when the block takes too long, or when the clock is not told of a token in time."""
    with anyio.fail_after(timeouts.run), anyio.fail_after(timeouts.first_token) as scope:
        yield Clock(scope, timeouts.between_tokens)


async def send_all(
    tx: Channel,
    transcript: Transcript,
    items: Iterable[Item],
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Put a transcript's items into the channel, as they are made.

    Waits only when it is full, or for a snapshot: `send` gives up the processor each time, `send_nowait` not.
    """
    if not transcript.is_free.is_set():
        with waiting():
            await transcript.is_free.wait()
    for item in items:
        try:
            tx.send_nowait(item)
        except anyio.WouldBlock:
            with waiting():
                with transcript.ahead():
                    await tx.send(item)
                await transcript.is_free.wait()
