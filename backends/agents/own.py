"""Agents of one's own: a Python object by its name, `package.module:object`, made into what the server asks for answers."""

import importlib
import inspect
import os
import sys
from collections.abc import AsyncGenerator
from typing import Any, get_args

from backends.agent import Agent, AgentEvent, AgentTask, ResponseChunk

WANTED = "an async generator function `async def answer(task)`, or an object or a class that has one as `answer`"
EVENTS = get_args(AgentEvent)


class NoAgent(Exception):
    """There is no agent by that name; the message says what was found."""


def load_agent(name: str) -> Agent:
    """The agent that `package.module:object` names. Raises NoAgent, and whatever the module raises while it is imported."""
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
    if inspect.isasyncgenfunction(found):
        return OwnAgent(found)
    made: Any = found() if inspect.isclass(found) and hasattr(found, "answer") else found
    if not inspect.isasyncgenfunction(getattr(made, "answer", None)):
        raise NoAgent(f"{name} is {_described(found)}, and must be {WANTED}")
    return OwnAgent(made.answer, getattr(made, "title", None), getattr(made, "aclose", None))


def _described(found: Any) -> str:
    if inspect.iscoroutinefunction(found):
        return "a coroutine function, which yields nothing"
    if inspect.isfunction(found):
        return "a plain function"
    kind = found.__name__ if inspect.isclass(found) else type(found).__name__
    return f"of {kind}, whose `answer` is none" if hasattr(found, "answer") else f"of {kind}, which has no `answer`"


class OwnAgent:
    """Asks an agent of the user's. What it yields is text or an event; a text is the next piece of the answer."""

    def __init__(self, answer: Any, title: Any = None, close: Any = None) -> None:
        self._answer = answer
        self._title = title
        self._close = close

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        events = self._answer(task)
        try:
            async for event in events:
                if isinstance(event, str):
                    yield ResponseChunk(event)
                elif isinstance(event, EVENTS):
                    yield event
                else:
                    raise TypeError(f"an agent has yielded a value of {type(event).__name__}: text or an event is wanted")
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
