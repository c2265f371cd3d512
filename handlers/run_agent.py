"""An agent at work: its answer and its title side by side, within their times, into the transcript and the channel."""

import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from typing import TypeVar

import anyio
import anyio.lowlevel

from backends.agent import Agent, AgentTask, AssetsFound, TitleChunk, TitleEnd
from handlers.runs import Channel
from handlers.services import Timeouts
from handlers.transcript import Item, Transcript

T = TypeVar("T")
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
            with anyio.fail_after(timeouts.run):
                async with aclosing(_in_time(agent.answer(task), timeouts)) as events:
                    async for event in events:
                        await send_all(tx, transcript.apply(event))
        except Exception as error:  # raised below: the group would wrap it
            failure = error
            tasks.cancel_scope.cancel()
    if failure:
        raise failure


async def _make_title(agent: Agent, task: AgentTask, transcript: Transcript, tx: Channel, timeouts: Timeouts) -> None:
    title = ""
    with suppress(anyio.BrokenResourceError):  # the stream has failed, and the answer will find out
        try:
            with anyio.fail_after(timeouts.run):
                async with aclosing(_in_time(agent.title(task), timeouts)) as chunks:
                    async for chunk in chunks:
                        title += chunk
                        await send_all(tx, transcript.apply(TitleChunk(chunk)))
        except Exception:
            logger.warning("message %s gets its first words for a title", transcript.message.id, exc_info=True)
            title = ""
        await send_all(tx, transcript.apply(TitleEnd(" ".join(title.split())[:TITLE_CHARACTERS])))


async def _in_time(events: AsyncGenerator[T, None], timeouts: Timeouts) -> AsyncGenerator[T, None]:
    """The events, each within its time. What an agent looked up is no token yet."""
    limit = timeouts.first_token
    async with aclosing(events):
        while True:
            try:
                with anyio.fail_after(limit):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            yield event
            if not isinstance(event, AssetsFound):
                limit = timeouts.between_tokens


async def send_all(tx: Channel, items: Iterable[Item]) -> None:
    """Put items into the channel, waiting only when it is full: `send` gives up the processor each time, `send_nowait` not."""
    for item in items:
        try:
            tx.send_nowait(item)
        except anyio.WouldBlock:
            await tx.send(item)
