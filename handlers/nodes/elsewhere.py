"""Runs of other nodes, for those who wait for one here: a post for its turn, a retry for the end, a replacement for the stop.

They wait for a notice of the end, and look in the database every ELSEWHERE_LOOK_S, since a notice may get lost. The event of
the end is always taken before that look, so that an end between the two is not missed.
"""

import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

import anyio

from backends.storage import Conflict
from backends.stored import Stored, find_message, find_running
from handlers.cluster import ChatBusy, MessageTaken, Overtaken
from handlers.nodes.node import Node
from handlers.nodes.notices import tell_ask, tell_stop
from handlers.runs import TURN_RETRY_S, Run
from handlers.tasks import Restarting
from schemas.errors import ServiceUnavailable, TooManyRequests
from schemas.requests import GetChat
from schemas.users import Sender

T = TypeVar("T")

ELSEWHERE_LOOK_S = 0.5
ASK_S = 2.0  # seconds that another node may take to answer
LOSSES = 100  # races for the next turn that a post may lose to other nodes

UNREACHABLE = "the server that answers in this chat cannot be reached, retry in a few seconds"
UNREACHABLE_S = 5  # seconds; a dead node's runs are closed after about twice as long


def is_elsewhere(node: Node, stored: Stored) -> bool:
    """Whether another node answers this message."""
    return stored.node not in (None, node.id)


async def turn(node: Node, run: Run, attempt: Callable[[], Awaitable[T]]) -> T:
    """Make the attempt until no other node answers in the chat or is faster, for as long as a run may take."""
    losses = 0
    while True:
        ended = node.awaited.end_in(run.chat_id)
        try:
            return await attempt()
        except ChatBusy:
            stored = await find_message(node.backends.storage, run.message_id)
            if stored and is_elsewhere(node, stored):
                raise MessageTaken from None
            await _wait(node, run, ended)
        except Overtaken:
            losses += 1
            if losses > LOSSES:
                raise _too_busy() from None
        except Conflict:
            if await find_message(node.backends.storage, run.message_id):
                raise MessageTaken from None
            raise


async def _wait(node: Node, run: Run, ended: anyio.Event) -> None:
    """Wait for a while until a run may have `ended`. Raises ServiceUnavailable when `run` is stopped, or TooManyRequests."""
    if time.monotonic() > run.arrived + node.timeouts.run:
        raise _too_busy()
    await run.wait_for(ended, ELSEWHERE_LOOK_S)
    if not ended.is_set() and await find_running(node.backends.storage, run.chat_id) is None:
        await run.wait_for(ended, ELSEWHERE_LOOK_S)  # its end is stored, and about to be told


async def heard(node: Node, user_id: UUID, chat_id: UUID) -> None:
    """Wait, for a while at most, until the end of another node's stream in this chat has come here, if one is open here."""
    ended = node.awaited.end_in(chat_id)
    if node.backends.broker.streams.is_open(user_id, chat_id):
        with anyio.move_on_after(ELSEWHERE_LOOK_S):
            await ended.wait()


def _too_busy() -> TooManyRequests:
    return TooManyRequests("turns", f"others are being answered in this chat, retry in {TURN_RETRY_S} seconds", TURN_RETRY_S)


class ElsewhereRun:
    """A run of another node."""

    def __init__(self, node: Node, stored: Stored) -> None:
        self.stored = stored
        self._node = node

    async def stop(self, run: Run | None = None) -> None:
        deadline = time.monotonic() + ASK_S
        while True:  # again and again, since a notice may get lost
            ended = self._node.awaited.end_in(self.stored.chat_id)
            now = await find_message(self._node.backends.storage, self.stored.id)
            if now is None or not is_elsewhere(self._node, now):
                return
            if run is None and now.owner != self.stored.owner:  # another run has taken its place
                return
            if not tell_stop(self._node, now):
                raise ServiceUnavailable(UNREACHABLE, UNREACHABLE_S)
            if run:
                await _wait(self._node, run, ended)
            elif time.monotonic() > deadline:
                raise ServiceUnavailable(UNREACHABLE, UNREACHABLE_S)
            else:
                with anyio.move_on_after(ELSEWHERE_LOOK_S):
                    await ended.wait()

    async def follow(self, sender: Sender) -> bool:
        asked = -math.inf
        with self._node.awaited.asking() as question:
            while True:
                ended = self._node.awaited.end_in(self.stored.chat_id)
                now = await find_message(self._node.backends.storage, self.stored.id)
                if question.told:
                    self._remember()
                if now is None or now.node is None or (question.told and self._node.runs.interrupted):
                    return question.told
                if self._node.runs.interrupted:
                    raise Restarting
                if sender.connection_id and not question.told and time.monotonic() - asked > ASK_S:
                    asked = time.monotonic()
                    self._node.backends.broker.streams.runs_again(now.id)
                    tell_ask(self._node, now, question, "initializeChat", sender)
                with anyio.move_on_after(ELSEWHERE_LOOK_S):
                    await ended.wait()

    async def ask(self, sender: Sender, request: GetChat) -> bool | None:
        ended = self._node.awaited.end_in(self.stored.chat_id)
        now = await find_message(self._node.backends.storage, self.stored.id)
        if now is None or not is_elsewhere(self._node, now):
            return False
        with self._node.awaited.asking() as question:
            self._node.backends.broker.streams.runs_again(now.id)
            if tell_ask(self._node, now, question, "getChat", sender, request):
                with anyio.move_on_after(ASK_S):
                    await question.answered.wait()
        if question.told:
            self._remember()
        elif question.answered.is_set():  # its node has nothing more to tell: the end is about to be stored
            with anyio.move_on_after(ELSEWHERE_LOOK_S):
                await ended.wait()
        return question.told if question.answered.is_set() else None

    def _remember(self) -> None:
        """The sender has been told the middle of this stream, and is to be told its end."""
        stored = self.stored
        self._node.backends.broker.streams.remember(stored.user_id, stored.chat_id, stored.id)
