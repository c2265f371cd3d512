"""Agents of one's own: a Python object by its name, `package.module:object`, made into what the server asks for answers."""

import asyncio
import importlib
import inspect
import os
import sys
from collections.abc import AsyncGenerator
from typing import Any, get_args
from uuid import UUID

import msgspec
from msgspec.structs import replace

from backends.agent import Agent, AgentTask, clean
from backends.agent_events import (
    JSON_BYTES,
    MOST_QUESTIONS,
    AgentEvent,
    ApprovalNeeded,
    FileChunk,
    Finished,
    ReasoningChunk,
    Remembered,
    ResponseChunk,
    ToolInput,
)
from backends.agents.frameworks import adapted
from backends.agents.standstill import Standstill
from backends.statements import to_json
from schemas.assets import Asset
from schemas.chats import Usage

WANTED = (
    "an async generator function `async def answer(task)`, an object or a class that has one as `answer`, or an agent of "
    "Pydantic AI, a compiled graph of LangGraph or an Agent of the OpenAI Agents SDK"
)
EVENTS = get_args(AgentEvent)
PIECES = ReasoningChunk | ToolInput | FileChunk  # their `text` is cleaned with what comes before and after it
AFTER_QUESTION = ApprovalNeeded | Remembered | Usage | Finished  # anything else comes too late
PAUSE = 100  # events, after which others get their turn, also where the agent never waits


class NoAgent(Exception):
    """There is no agent by that name; the message says what was found."""


def load_agent(name: str) -> Agent:
    """The agent that `package.module:object` names. Raises NoAgent, and whatever the module raises while it is imported."""
    return agent_of(_named(name), name)


def _named(name: str) -> Any:
    module_name, _, path = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: a module of the user's must not stand before one of ours or of a library
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise NoAgent(f"there is no module {error.name}, here or where Python looks") from None
        raise
    for attribute in path.split("."):
        if not hasattr(found, attribute):
            raise NoAgent(f"{module_name} has no {path}")
        found = getattr(found, attribute)
    return found


def agent_of(found: Any, name: str) -> Agent:
    """The agent that an object of the user's is, which is called by this name. Raises NoAgent."""
    if inspect.isasyncgenfunction(found):
        return OwnAgent(found, name=name)
    made: Any = found() if inspect.isclass(found) and hasattr(found, "answer") else found
    if not inspect.isasyncgenfunction(getattr(made, "answer", None)):
        made = adapted(found)
    if made is None:
        raise NoAgent(f"{name} is {_described(found)}, and must be {WANTED}")
    return OwnAgent(made.answer, getattr(made, "title", None), getattr(made, "aclose", None), name)


def checked(event: object) -> AgentEvent:
    """What an agent has yielded, as an event whose every field is what it is to be. Raises TypeError, or ValueError."""
    if isinstance(event, str):
        return ResponseChunk(event)
    if not isinstance(event, EVENTS):
        raise TypeError(f"an agent has yielded a value of {type(event).__name__}: text or an event is wanted")
    if type(event) is ResponseChunk and type(event.text) is str:
        return event
    try:
        fields = msgspec.structs.asdict(event)
        text = {"text": fields.pop("text")} if isinstance(event, PIECES) else {}
        whole: AgentEvent = msgspec.convert(cleaned(fields) | text, type(event))
        match whole:
            case Remembered(any_json) | ApprovalNeeded(_, _, any_json):
                if (size := len(to_json(any_json))) > JSON_BYTES:
                    raise ValueError(f"it has {size} bytes as JSON, and may have at most {JSON_BYTES}")
    except (TypeError, ValueError) as error:  # a ValidationError, too, is one
        raise TypeError(f"an agent has yielded a {type(event).__name__} that is none: {error}") from None
    return whole


def cleaned(value: Any) -> Any:
    """The value without lone surrogates, wherever in it."""
    match value:
        case str():
            return clean(value)
        case dict():
            return {cleaned(key): cleaned(each) for key, each in value.items()}
        case list() | tuple():
            return [cleaned(each) for each in value]
        case UUID():
            return str(value)
        case Asset():
            return replace(value, name=clean(value.name))
    return value


def _described(found: Any) -> str:
    if inspect.iscoroutinefunction(found):
        return "a coroutine function, which yields nothing"
    if inspect.isfunction(found):
        return "a plain function"
    kind = found.__name__ if inspect.isclass(found) else type(found).__name__
    return f"of {kind}, whose `answer` is none" if hasattr(found, "answer") else f"of {kind}, which has no `answer`"


class OwnAgent:
    """Asks an agent of the user's. What it yields is text or an event; a text is the next piece of the answer."""

    def __init__(self, answer: Any, title: Any = None, close: Any = None, name: str = "own") -> None:
        self._standstill = Standstill(name)
        self._answer = answer
        self._title = title
        self._close = close

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        events, count, asked = self._answer(task), 0, 0
        with self._standstill.watched():
            try:
                async for event in events:
                    whole = checked(event)
                    if asked and not isinstance(whole, AFTER_QUESTION):
                        return
                    asked += isinstance(whole, ApprovalNeeded)
                    if asked > MOST_QUESTIONS:
                        raise ValueError(f"an agent has asked more than {MOST_QUESTIONS} questions at once")
                    yield whole
                    count += 1
                    if not count % PAUSE:
                        await asyncio.sleep(0)
            finally:
                await events.aclose()

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        if self._title is None:
            return  # then it is the prompt's first words
        chunks = self._title(task)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()

    async def aclose(self) -> None:
        if self._close:
            await self._close()
