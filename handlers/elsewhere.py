"""Runs of other nodes, for those who wait for one here: a post for its turn, a retry for the end, a replacement for the stop.

A notice of the end is waited for, and where it gets lost the database is looked at every LOOK_S.
"""

import math
import time

import anyio

from backends.messages import Stored, find_message, find_running
from backends.storage import Conflict
from handlers.gate import RESTARTING
from handlers.notices import tell_ask, tell_stop
from handlers.runs import RETRY_S, Run
from handlers.services import Sender, Services
from schemas.errors import ServiceUnavailable, TooManyRequests

LOOK_S = 0.5
ASK_S = 2.0  # for which another node may take to answer
VAIN = 5  # times that a beginning is tried again with nothing in its way: what was there had just ended

UNREACHABLE = "the server that answers in this chat cannot be reached, retry in a few seconds"


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
        self._vain = 0

    async def after(self, conflict: Conflict, ended: anyio.Event, replaces: bool) -> None:
        """The run could not begin: wait until it may try again. `ended` is of its chat, and from before it tried.

        Raises MessageTaken, ServiceUnavailable when it is stopped, TooManyRequests, or the conflict when nothing explains it.
        """
        if not self._services.nodes.shared:
            raise conflict
        storage = self._services.backends.storage
        stored = await find_message(storage, self._run.message_id)
        if stored and (stored.node or not replaces):
            raise MessageTaken
        if not await find_running(storage, self._run.chat_id):
            self._vain += 1
            if self._vain > VAIN:
                raise conflict
        await self.wait(ended)

    async def stop(self, running: Stored) -> None:
        """Stop another node's run, and wait for its end. Raises ServiceUnavailable, or TooManyRequests."""
        while True:
            ended = self._services.others.end_in(running.chat_id)
            now = await find_message(self._services.backends.storage, running.id)
            if now is None or not is_elsewhere(self._services, now):
                return
            if not tell_stop(self._services, now):
                raise ServiceUnavailable(UNREACHABLE)
            await self.wait(ended)

    async def wait(self, ended: anyio.Event) -> None:
        """Until there may be something to see."""
        if time.monotonic() > self._deadline:
            raise TooManyRequests("turns", f"this chat is being answered for too long, retry in {RETRY_S} seconds")
        await self._run.wait_for(ended, LOOK_S)


async def follow(services: Services, sender: Sender, running: Stored) -> bool:
    """Have the sender told how far another node's run is, and wait for its end. Whether the sender was told.

    Raises ServiceUnavailable when this node is to stop before that.
    """
    asked = -math.inf
    with services.others.asking() as question:
        while True:
            ended = services.others.end_in(running.chat_id)
            now = await find_message(services.backends.storage, running.id)
            if now is None or now.node is None or (question.told and services.runs.interrupted):
                return question.told
            if services.runs.interrupted:
                raise ServiceUnavailable(RESTARTING)
            if sender.connection_id and not question.told and time.monotonic() - asked > ASK_S:
                asked = time.monotonic()
                tell_ask(services, now, question, "initializeChat", sender)
            with anyio.move_on_after(LOOK_S):
                await ended.wait()


async def ask_for_chat(services: Services, sender: Sender, running: Stored) -> bool | None:
    """Have the sender's `getChat` answered by the node that answers in the chat. None when that does not say whether it has."""
    with services.others.asking() as question:
        if tell_ask(services, running, question, "getChat", sender):
            with anyio.move_on_after(ASK_S):
                await question.answered.wait()
        return question.told if question.answered.is_set() else None
