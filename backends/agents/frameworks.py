"""What the adapters of frameworks have in common: which one an object is of, what its model is told, and its calls of tools."""

import importlib
import json
from collections.abc import Iterator
from typing import Any

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ToolEnded, ToolInput, ToolStarted
from backends.agents.history import Part, data_text, turns_of
from backends.agents.titles import tool_title

# Where the classes of each come from, what an agent of it has, and the adapter. A package of the user's may be called `agents`.
FRAMEWORKS = (
    ("pydantic_ai.", "run_stream_events", "backends.agents.pydantic_ai"),
    ("langgraph.", "astream", "backends.agents.langgraph"),
    ("agents.", "handoffs", "backends.agents.openai_agents"),
)
TITLE_CHARACTERS = 300  # of a question, which has the arguments of a tool


def adapted(found: Any) -> Any:
    """An agent made of the object of a framework; None when it is none. Only then is the framework's adapter imported."""
    origins = [kind.__module__ for kind in type(found).__mro__]
    for origin, attribute, adapter in FRAMEWORKS:
        if hasattr(found, attribute) and any(module.startswith(origin) for module in origins):
            return importlib.import_module(adapter).Adapter(found)
    return None


def talk(task: AgentTask) -> list[Part]:
    """The chat's earlier messages and the prompt: user and assistant in turns, the user first."""
    parts: list[Part] = []

    def say(role: str, text: str) -> None:
        if not parts or parts[-1]["role"] != role:
            parts.append({"role": role, "content": text})
        else:
            parts[-1]["content"] += f"\n\n{text}"

    for turn in turns_of(task):
        if turn.asked:
            say("user", turn.asked)
        if turn.answered:  # what opened the chat belongs to its first question
            say("assistant" if parts else "user", turn.answered)
    if task.prompt:
        say("user", task.prompt)
    return parts


def about(task: AgentTask) -> str | None:
    """What the chat is about, for the model's instructions."""
    return data_text(task.assets) if task.assets else None


def remembered(task: AgentTask) -> dict[str, Any]:
    """What the run left behind whose questions are answered now."""
    if not isinstance(task.state, dict):
        raise RuntimeError("the run whose questions are answered has left nothing to go on with")
    return task.state


def question(name: str, arguments: str) -> str:
    """What the user is asked before a tool is called."""
    text = f"Run {name}({'' if arguments in ('{}', 'null') else arguments})?"
    return text if len(text) <= TITLE_CHARACTERS else f"{text[: TITLE_CHARACTERS - 3]}…)?"


def as_text(value: Any) -> str:
    """Text as it is, anything else as JSON, or as Python shows it."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)


class Calls:
    """The calls of tools in one run: each begins once and is given its arguments once, however often the framework says so."""

    def __init__(self) -> None:
        self._given: dict[str, bool] = {}  # by the call's id: whether it has been given anything

    def began(self, id: str, name: str | None) -> Iterator[AgentEvent]:
        if id not in self._given:
            self._given[id] = False
            yield ToolStarted(id, tool_title(name or ""), name or None)

    def piece(self, id: str, text: str) -> Iterator[AgentEvent]:
        """The next characters of the arguments."""
        if text and id in self._given:
            self._given[id] = True
            yield ToolInput(id, text)

    def called(self, id: str, name: str | None, arguments: Any) -> Iterator[AgentEvent]:
        """The call as a whole, which may have been told piece by piece."""
        yield from self.began(id, name)
        if not self._given[id]:
            yield from self.piece(id, as_text(arguments))

    def ended(self, id: str, name: str | None, result: Any, *, failed: bool) -> Iterator[AgentEvent]:
        yield from self.began(id, name)
        yield ToolEnded(id, as_text(result), failed)
