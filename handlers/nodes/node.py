"""This node, as the others' seam works with it, and what it waits to hear from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4
from weakref import WeakValueDictionary

import anyio

from backends import Backends
from backends.nodes import Membership
from handlers.outboxes import Outboxes
from handlers.runs import Runs
from handlers.services import Timeouts
from handlers.tasks import Tasks


class Question:
    """A question to the node that answers a message: it is to tell one connection how far it is."""

    def __init__(self) -> None:
        self.id = uuid4()
        self.answered = anyio.Event()
        self.told = False  # the connection was told; if not, there is nothing to tell


class Awaited:
    """Who waits here for a notice, and for as long as they do: that a run of some chat has ended, or a question's answer."""

    def __init__(self) -> None:
        self._ends: WeakValueDictionary[UUID, anyio.Event] = WeakValueDictionary()
        self._questions: dict[UUID, Question] = {}

    def end_in(self, chat_id: UUID) -> anyio.Event:
        """Set when it is heard that a run in this chat has ended. Get it before you look, or an end in between is missed."""
        return self._ends.setdefault(chat_id, anyio.Event())

    def ended(self, chat_id: UUID) -> None:
        """Note that a run in this chat has ended."""
        if event := self._ends.pop(chat_id, None):
            event.set()

    @contextmanager
    def asking(self) -> Iterator[Question]:
        """A question that may be answered until the block ends."""
        question = Question()
        self._questions[question.id] = question
        try:
            yield question
        finally:
            del self._questions[question.id]

    def answered(self, question_id: UUID, told: bool) -> None:
        """Note the answer to a question."""
        if question := self._questions.get(question_id):
            question.told = question.told or told
            question.answered.set()


@dataclass(frozen=True)
class Node:
    """The parts of this server that several nodes need."""

    backends: Backends
    tasks: Tasks
    timeouts: Timeouts
    runs: Runs
    outboxes: Outboxes
    membership: Membership
    awaited: Awaited = field(default_factory=Awaited)

    @property
    def id(self) -> UUID:
        """The id by which the others know this node. After its lease was lost it has another one."""
        return self.membership.lease.id
