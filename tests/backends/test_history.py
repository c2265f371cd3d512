"""What a model is told of a chat: roles alternate, whatever the chat, and the beginning stays the same for many turns."""

from itertools import pairwise
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from backends.agent import AgentTask
from backends.agents.history import Turn, fitting, messages_for, turns_of
from schemas.assets import METRIC, Asset
from schemas.chats import ChatMessage, ChatUserMessage, FileResponse, ResponseMessage, TextReasoning, TextResponse
from tests.support.containers import NOW
from tests.support.world import ACME, ALICE, uuid

TEXT = st.text(max_size=4)
ASSETS = (Asset(uuid(1), METRIC, "Revenue", {"sql": "</data>"}, 1, ACME, ALICE, NOW, NOW),)


def message(number: int, request: str | None, *answers: str | None) -> ChatMessage:
    """None as an answer: a part that is no text."""
    parts: dict[UUID, ResponseMessage] = {}
    for each, answer in enumerate(answers):
        id = uuid(1000 * number + each)
        file = FileResponse(id, "metric", "Revenue", 1, id, None, [])
        parts[id] = file if answer is None else TextResponse(id, answer, None, is_final_message=True)
    thought = TextReasoning(uuid(7), "Thinking", None, "a secret thought", None, "completed")
    asked = None if request is None else ChatUserMessage(request, ALICE, "Alice", None)
    return ChatMessage(
        uuid(number),
        asked,
        list(parts),
        parts,
        [thought.id],
        {thought.id: thought},
        NOW,
        None,
        is_completed=True,
    )


MESSAGES = st.builds(
    lambda request, answers: (request, answers), st.none() | TEXT, st.lists(st.none() | TEXT, max_size=2)
)  # any turn: opened, stopped before its first word, failed, blank


@given(st.lists(MESSAGES, max_size=8), st.booleans(), st.sampled_from(["system", "developer", "none"]), st.text(min_size=1))
def test_roles_alternate_and_the_last_is_the_prompt(
    turns: list[tuple[str | None, list[str | None]]], has_assets: bool, role: str, prompt: str
) -> None:
    history = tuple(message(number, request, *answers) for number, (request, answers) in enumerate(turns, 1))
    task = AgentTask(prompt, ASSETS if has_assets else (), history)
    parts = messages_for(task, turns_of(task), None, role)
    roles = [part["role"] for part in parts]
    if role != "none":
        assert roles.pop(0) == role
    assert roles[0] == roles[-1] == "user"
    assert all(before != after for before, after in pairwise(roles))
    assert set(roles) <= {"user", "assistant"}
    assert parts[-1]["content"].endswith(prompt)
    assert all(part["content"] for part in parts)
    assert "a secret thought" not in str(parts)
    said = "".join(part["content"] for part in parts)
    for request, answers in turns:
        assert all(text in said for text in (request, *answers) if text)


def test_what_was_opened_or_never_answered_belongs_to_the_next_question() -> None:
    history = (message(1, None, "Opened Revenue", None), message(2, "How much?"), message(3, "Well?", "7"), message(4, "Why?"))
    task = AgentTask("And now?", (), history)
    _, *parts = messages_for(task, turns_of(task), None, "system")
    assert parts == [
        {"role": "user", "content": "Opened Revenue\n\nHow much?\n\nWell?"},
        {"role": "assistant", "content": "7"},
        {"role": "user", "content": "Why?\n\nAnd now?"},
    ]


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(0, 300))
def test_a_chat_that_has_outgrown_its_room_begins_anew_in_steps(sizes: list[int], room: int) -> None:
    turns = [Turn(str(number).rjust(size), "") for number, size in enumerate(sizes)]
    kept = [list(fitting(turns[:end], room)) for end in range(len(turns) + 1)]
    for turns_kept, end in zip(kept, range(len(turns) + 1), strict=True):
        assert turns_kept == turns[end - len(turns_kept) : end]  # the newest ones
        assert sum(turn.size for turn in turns_kept) <= room
    for before, after in pairwise(kept):
        if after[:1] != before[:1] and before and after:  # the beginning has changed: there is room for more again
            assert sum(turn.size for turn in after) <= room // 2


def test_no_definition_can_close_the_tag_around_it() -> None:
    (system, _) = messages_for(AgentTask("Hi", ASSETS), [], None, "system")
    assert system["content"].count("</data>") == 2  # the one that is spoken of, and the one at the end
