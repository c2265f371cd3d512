"""What the adapters of frameworks have in common. `tests/agents/` has each of them with its framework."""

from typing import Any

import pytest

from backends.agent import AgentTask
from backends.agents.frameworks import Calls, as_text, question, talk
from backends.agents.own import NoAgent
from schemas.chats import ChatMessage, ChatUserMessage, TextResponse
from tests.support.containers import NOW
from tests.support.framed import named
from tests.support.world import ALICE, uuid
from threadcast import ToolEnded, ToolInput, ToolStarted


def message(number: int, asked: str | None, answered: str = "") -> ChatMessage:
    request = ChatUserMessage(asked, ALICE, "Alice", None) if asked else None
    part = TextResponse(uuid(100 + number), answered, None, True)
    return ChatMessage(uuid(number), request, [part.id], {part.id: part}, [], {}, NOW, None, True)


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ([], []),
        ([("a", "b")], [("user", "a"), ("assistant", "b")]),
        ([(None, "Opened"), ("a", "b")], [("user", "Opened\n\na"), ("assistant", "b")]),
        ([("never answered", ""), ("a", "b")], [("user", "never answered\n\na"), ("assistant", "b")]),
        ([("a", "I ask"), (None, "done")], [("user", "a"), ("assistant", "I ask\n\ndone")]),
        ([("a", ""), (None, "")], [("user", "a")]),
    ],
)
def test_user_and_assistant_speak_in_turns_and_the_prompt_is_last(history: list[Any], said: list[tuple[str, str]]) -> None:
    messages = tuple(message(number, *turn) for number, turn in enumerate(history, 1))
    assert [(part["role"], part["content"]) for part in talk(AgentTask("", history=messages))] == said
    last = talk(AgentTask("prompt", history=messages))[-1]
    assert last["role"] == "user"
    assert last["content"].endswith("prompt")


def test_a_call_is_told_once_and_its_arguments_too() -> None:
    calls = Calls()
    events = [
        *calls.piece("unknown", "x"),
        *calls.began("1", "search_the-docs"),
        *calls.piece("1", '{"a":'),
        *calls.called("2", "count", {"b": "ü"}),
        *calls.piece("1", "1}"),
        *calls.called("1", "search_the-docs", '{"a":1}'),
        *calls.called("2", "count", {"b": "ü"}),
        *calls.ended("2", "count", ["found"], failed=True),
        *calls.ended("3", None, None, failed=False),
    ]
    assert events == [
        ToolStarted("1", "Search the docs", "search_the-docs"),
        ToolInput("1", '{"a":'),
        ToolStarted("2", "Count", "count"),
        ToolInput("2", '{"b": "ü"}'),
        ToolInput("1", "1}"),
        ToolEnded("2", '["found"]', True),
        ToolStarted("3", "Tool"),
        ToolEnded("3", ""),
    ]


def test_a_question_names_the_tool_and_is_no_longer_than_a_heading() -> None:
    assert question("go", "{}") == "Run go()?"
    assert question("go", '{"to":"it"}') == 'Run go({"to":"it"})?'
    assert len(question("go", "x" * 1000)) == 300
    assert question("go", "x" * 1000).endswith("x…)?")
    assert as_text({"at": NOW}) == f'{{"at": "{NOW}"}}'


def test_a_package_of_the_users_may_be_called_as_a_framework_is() -> None:
    class Mine:
        handoffs = ()

        async def answer(self, task: AgentTask) -> Any:
            yield "mine"

    class Other:
        pass

    Mine.__module__ = Other.__module__ = "agents.mine"
    named(Mine())
    with pytest.raises(NoAgent, match=r"of Other, which has no `answer`, and must be .* an agent of Pydantic AI"):
        named(Other())
