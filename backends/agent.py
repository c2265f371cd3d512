"""Agents answer prompts: their interface, what is made of what they say, and the offline agent, the embedded implementation."""

import asyncio
import itertools
import json
import re
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Protocol
from uuid import UUID

import msgspec
from msgspec.structs import replace

from backends.agent_events import (
    AgentEvent,
    AssetsFound,
    FileChunk,
    FilesEnded,
    ReasoningChunk,
    ResponseChunk,
    ToolEnded,
    ToolInput,
)
from schemas.assets import Asset
from schemas.chats import Approval, ChatMessage


class AgentUser(msgspec.Struct, frozen=True):
    """Who asks. `name` is the e-mail address of those who have no name."""

    id: UUID
    name: str
    email: str


class AgentTask(msgspec.Struct, frozen=True):
    """A prompt and all that belongs to it. `assets` begins with the chat's own subject; the user may see all of them.

    `history` has the chat's earlier messages, the oldest first, `model` is the one that the post named, if it did, and `state`
    what an earlier run of the chat has `Remembered`, if one did. `approvals` are the questions of the last run with the user's
    answers, when this run is what comes of those.
    """

    prompt: str
    assets: tuple[Asset, ...] = ()
    history: tuple[ChatMessage, ...] = ()
    user: AgentUser | None = None
    chat_id: UUID | None = None
    message_id: UUID | None = None
    model: str | None = None
    state: Any = None
    approvals: tuple[Approval, ...] = ()


class Agent(Protocol):
    """Answers one task at a time, many at once."""

    def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        """The answer as it comes. Closing the iterator gives up whatever it holds. May raise anything."""

    def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        """A title for the chat that the task begins, in chunks. Runs beside the answer; may raise anything."""

    async def aclose(self) -> None:
        """Give up what is held between runs."""


HIGH = "\ud800", "\udbff"  # the first half of a character beyond U+FFFF, in UTF-16


def clean(text: str) -> str:
    """Without lone halves. Two halves that belong together become their character."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Cleaner:
    """Cleans one text that comes in pieces: the halves of a character may come in two of them."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""  # a first half, until the second comes

    def clean(self, piece: str) -> str:
        """What can be told of the piece. A first half that nothing follows is never told."""
        if piece.isascii() and not self._half:
            return piece
        piece, self._half = self._half + piece, ""
        if piece and HIGH[0] <= piece[-1] <= HIGH[1]:
            piece, self._half = piece[:-1], piece[-1]
        return clean(piece)


class CleanEvents:
    """Cleans the texts of one agent that come in pieces."""

    def __init__(self) -> None:
        self._answer, self._thought = Cleaner(), Cleaner()
        self._others: dict[tuple[object, ...], Cleaner] = {}  # by what tool, or what file of a step

    def clean(self, event: AgentEvent) -> AgentEvent | None:
        """The event; None when nothing of it can be told yet."""
        if isinstance(event, ResponseChunk):
            text = self._answer.clean(event.text)
            return event if text is event.text else ResponseChunk(text) if text else None
        if isinstance(event, ReasoningChunk):
            text = self._thought.clean(event.text)
            return event if text is event.text else ReasoningChunk(event.title, text) if text else None
        match event:
            case ToolInput(id):
                return replace(event, text=self._others.setdefault((id,), Cleaner()).clean(event.text))
            case FileChunk(step, _, id):
                return replace(event, text=self._others.setdefault((step, id), Cleaner()).clean(event.text))
            case ToolEnded(id):
                self._others.pop((id,), None)
            case FilesEnded(step):
                self._others = {key: cleaner for key, cleaner in self._others.items() if len(key) == 1 or key[0] != step}
        return event


NO_MODEL = (
    "No model is configured, so this answer was put together from what the server has, by its offline agent "
    "(`THREADCAST_AGENT=offline`). To get real answers, set `THREADCAST_AGENT=openai` and `THREADCAST_MODEL`; "
    "the section “Connect a model” of the README says how."
)
SHOWN_CHARACTERS = 200  # of one field of a definition: enough to recognise it


class OfflineAgent:
    """Needs no network and no model, and says the same to the same task: for a first look, for tests and for load.

    `words` fixes the length of the answer (None: as long as it comes out), `delay_ms` is the pause before each chunk.
    """

    def __init__(self, words: int | None, delay_ms: int) -> None:
        self._words = words
        self._delay = delay_ms / 1000

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        for event in self._script(task):
            await asyncio.sleep(self._delay)  # even a delay of 0 lets other tasks run
            yield event

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        for word in _words(_title(task)):
            await asyncio.sleep(self._delay)
            yield word

    async def aclose(self) -> None:
        pass

    def _script(self, task: AgentTask) -> Iterator[AgentEvent]:
        if task.assets:
            yield AssetsFound("Found 1 asset", task.assets[:1])
        yield from (ReasoningChunk("Offline", word) for word in _words(_thought(task)))
        answer = _answer(task)
        if self._words is None:
            yield from map(ResponseChunk, _words(answer))
        else:  # again and again; a space after the last word keeps it apart from the first
            yield from map(ResponseChunk, itertools.islice(itertools.cycle(_words(f"{answer}\n\n")), self._words))


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _title(task: AgentTask) -> str:
    return _short(" ".join(task.prompt.split()[:8]), 80)


def _thought(task: AgentTask) -> str:
    about = f"The {task.assets[0].asset_type} is at hand" if task.assets else "No asset came with the prompt"
    return f"{about}, {len(task.history)} earlier messages are in this chat, and there is no model to ask."


def _answer(task: AgentTask) -> str:
    paragraphs = [f"You asked: “{_short(' '.join(task.prompt.split()), SHOWN_CHARACTERS)}”"]
    for asset in task.assets:
        fields = "\n".join(f"- {key}: {_field(value)}" for key, value in asset.content.items())
        heading = f"The {asset.asset_type} “{asset.name}” (version {asset.version_number}) is defined by:"
        paragraphs.append(f"{heading}\n\n{fields}")
    return "\n\n".join([*paragraphs, NO_MODEL])


def _field(value: Any) -> str:
    return _short(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), SHOWN_CHARACTERS)
