"""A good stream means the same however it is cut into pieces, and whatever noise stands between its events."""

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.agent import Cleaner, clean
from backends.agent_events import AgentEvent, Finished, ReasoningChunk, ResponseChunk, WasThought
from backends.agents.answer import Answer
from backends.agents.completions import events_of
from backends.agents.thoughts import Thoughts
from backends.agents.titles import plain_title

NOISE = [b": ping\n", b": ping\n\n", b"\n", b"data:\n\n", b"data: null\n\n", b"id: 7\n", b"retry: 100\n\n", b"event: x\n\n"]
ANSWER, THOUGHT = "Größe: 5 × 3 → 15 😀\nfertig <b", "Hm, let me see <th"


class Pieces(httpx2.AsyncByteStream):
    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def told(events: list[AgentEvent]) -> tuple[str, str]:
    """The answer and the thought that a client ends with."""
    answer = thought = ""
    for event in events:
        match event:
            case ResponseChunk(text):
                answer += text
            case ReasoningChunk(_, text):
                thought += text
            case WasThought():
                answer, thought = "", thought + answer
    return answer, thought


async def read(pieces: list[bytes]) -> list[AgentEvent]:
    response = httpx2.Response(200, stream=Pieces(pieces), request=httpx2.Request("POST", "http://model.example"))
    answer, events = Answer("m"), []
    async for event in events_of(response):
        if event is None:
            events += answer.so_far()
        elif answer.take(event):
            break
    return [*events, *answer.end()]


def stream(deltas: list[dict[str, str]]) -> list[bytes]:
    chunks: list[Any] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


def split(text: str, ends: list[int]) -> list[str]:
    marks = [0, *sorted(end % (len(text) + 1) for end in ends), len(text)]
    return [text[begin:end] for begin, end in pairwise(marks)]


@settings(deadline=None, max_examples=200)
@given(st.data())
async def test_any_pieces_and_any_noise_give_the_same_answer(data: st.DataObject) -> None:
    ends = st.lists(st.integers(0, 1000), max_size=6)
    inline = data.draw(st.booleans())
    thoughts = [f"<think>{THOUGHT}</think>\n"] if inline else []
    words = split("".join(thoughts) + ANSWER, data.draw(ends))
    deltas = [] if inline else [{"reasoning_content": part} for part in split(THOUGHT, data.draw(ends))]
    events = stream([*deltas, *({"content": word} for word in words)])
    wire = b"".join(data.draw(st.sampled_from([b"", *NOISE])) + event for event in events)
    if data.draw(st.booleans()):
        wire = wire.replace(b"\n", b"\r\n")
    marks = [0, *sorted(end % len(wire) for end in data.draw(st.lists(st.integers(0, 10_000), max_size=12))), len(wire)]
    pieces = [wire[begin:end] for begin, end in pairwise(marks)]
    found = await read([piece for piece in pieces if piece])
    assert told(found) == (ANSWER, THOUGHT)
    assert found[-1] == Finished("stop", None)


@given(st.lists(st.text("ab<>/think \n`", max_size=6), max_size=12))
def test_thoughts_in_pieces_are_those_of_the_whole_and_nothing_is_lost(pieces: list[str]) -> None:
    def read(parts: list[str]) -> tuple[str, str]:
        thoughts = Thoughts()
        return told([event for part in parts for event in thoughts.feed(part)] + list(thoughts.end()))

    assert read(pieces) == read(["".join(pieces)])
    text = "".join(pieces)
    if "<" not in text and text.strip():
        assert read(pieces) == (text, "")


@given(st.lists(st.text(st.characters(), max_size=3), max_size=8))
def test_a_text_in_pieces_is_cleaned_as_the_whole(pieces: list[str]) -> None:
    cleaner, text = Cleaner(), "".join(pieces)
    told = "".join(map(cleaner.clean, pieces))
    whole = clean(text)
    assert whole in (told, f"{told}\ufffd")  # half of a character at the very end is never told
    told.encode()


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Revenue by month", "Revenue by month"),
        ('"Revenue by month."', "Revenue by month"),
        ("**Title: Revenue** by month", "Revenue by month"),
        ("# Revenue by month\n\nThis chat is about", "Revenue by month"),
        ("\n\n  Chat title: „Umsatz nach Monat“\n", "Umsatz nach Monat"),
        ("1. Revenue", "Revenue"),
        ("`revenue` of 2 * 3", "revenue of 2 * 3"),
        ("snake_case_name", "snake_case_name"),
        ("   \n\n", ""),
        ("x" * 500, "x" * 200),
    ],
)
def test_a_title_is_one_plain_line(said: str, title: str) -> None:
    assert plain_title(said) == title
