"""Runs of other nodes, for those who wait for one here: a post for its turn, a retry for the end, a replacement for the stop.

A notice of the end is waited for, and where it gets lost the database is looked at every LOOK_S.
"""

import math
import time
from collections.abc import Awaitable, Callable

import anyio

from backends.messages import Stored, find_message
from backends.storage import Conflict
from handlers.gate import Restarting
from handlers.nodes.notices import tell_ask, tell_stop
from handlers.runs import RETRY_S, Run
from handlers.services import Sender, Services
from schemas.errors import ServiceUnavailable, TooManyRequests

LOOK_S = 0.5
ASK_S = 2.0  # for which another node may take to answer
LOSSES = 100  # races with other nodes for the next turn

UNREACHABLE = "the server that answers in this chat cannot be reached, retry in a few seconds"
UNREACHABLE_S = 5  # about half of the time after which a dead node's runs are closed


class MessageTaken(Exception):
    """While a post waited another node has got a message with its id."""


def is_elsewhere(services: Services, stored: Stored) -> bool:
    """Whether another node answers this message."""
    return stored.node not in (None, services.nodes.lease.id)


class Patience:
    """A post's way to its turn in a chat where other nodes answer, too: it waits for as long as a run may take."""

    def __init__(self, services: Services, run: Run) -> None:
        self._services = services
        self._run = run
        self._deadline = time.monotonic() + services.timeouts.run
        self._lost = 0

    async def wait_for_turn(self, ended: anyio.Event) -> None:
        """Wait until a run in this chat may have `ended`, an event from before one looked.

        Raises MessageTaken when it answers this very message, ServiceUnavailable when the wait is stopped, or TooManyRequests.
        """
        stored = await find_message(self._services.backends.storage, self._run.message_id)
        if stored and is_elsewhere(self._services, stored):
            raise MessageTaken
        await self._wait(ended)

    async def explain(self, conflict: Conflict) -> None:
        """Why the message could not be stored. Raises MessageTaken, or, when nothing explains it, the conflict."""
        if self._services.nodes.shared and await find_message(self._services.backends.storage, self._run.message_id):
            raise MessageTaken
        raise conflict

    def lose(self) -> None:
        """Another node has been faster. Raises TooManyRequests when one always is."""
        self._lost += 1
        if self._lost > LOSSES:
            raise _too_busy()

    async def stop(self, running: Stored) -> None:
        """Stop another node's run, and wait for its end. Raises ServiceUnavailable, or TooManyRequests."""
        await _stop(self._services, running, self._wait)

    async def _wait(self, ended: anyio.Event) -> None:
        if time.monotonic() > self._deadline:
            raise _too_busy()
        await self._run.wait_for(ended, LOOK_S)


def _too_busy() -> TooManyRequests:
    return TooManyRequests("turns", f"others are being answered in this chat, retry in {RETRY_S} seconds", RETRY_S)


async def stop_elsewhere(services: Services, running: Stored) -> None:
    """Stop another node's run, and wait for its end. Raises ServiceUnavailable when it has none soon."""
    deadline = time.monotonic() + ASK_S

    async def wait(ended: anyio.Event) -> None:
        if time.monotonic() > deadline:
            raise ServiceUnavailable(UNREACHABLE, UNREACHABLE_S)
        with anyio.move_on_after(LOOK_S):
            await ended.wait()

    await _stop(services, running, wait)


async def _stop(services: Services, running: Stored, wait: Callable[[anyio.Event], Awaitable[None]]) -> None:
    while True:  # a notice may get lost
        ended = services.others.end_in(running.chat_id)
        now = await find_message(services.backends.storage, running.id)
        if now is None or not is_elsewhere(services, now):
            return
        if not tell_stop(services, now):
            raise ServiceUnavailable(UNREACHABLE, UNREACHABLE_S)
        await wait(ended)


async def follow(services: Services, sender: Sender, running: Stored) -> bool:
    """Have the sender told how far another node's run is, and wait for its end. Whether the sender was told.

    Raises ServiceUnavailable when this node is to stop before that.
    """
    asked = -math.inf
    with services.others.asking() as question:
        while True:
            ended = services.others.end_in(running.chat_id)
            now = await find_message(services.backends.storage, running.id)
            if question.told:
                _remember(services, running)
            if now is None or now.node is None or (question.told and services.runs.interrupted):
                return question.told
            if services.runs.interrupted:
                raise Restarting
            if sender.connection_id and not question.told and time.monotonic() - asked > ASK_S:
                asked = time.monotonic()
                services.backends.broker.streams.runs_again(now.id)
                tell_ask(services, now, question, "initializeChat", sender)
            with anyio.move_on_after(LOOK_S):
                await ended.wait()


async def ask_for_chat(services: Services, sender: Sender, running: Stored) -> bool | None:
    """Have the sender's `getChat` answered by the node that answers in the chat. None when that does not say whether it has."""
    with services.others.asking() as question:
        services.backends.broker.streams.runs_again(running.id)
        if tell_ask(services, running, question, "getChat", sender):
            with anyio.move_on_after(ASK_S):
                await question.answered.wait()
        if question.told:
            _remember(services, running)
        return question.told if question.answered.is_set() else None


def _remember(services: Services, running: Stored) -> None:
    """The sender has been told the middle of this stream, and is to be told its end."""
    services.backends.broker.streams.remember(running.user_id, running.chat_id, running.id)
