"""Joining: however a stream is cut into flushes, a client ends where one ends that got every delta by itself."""

import json
from itertools import groupby, pairwise
from typing import Any, cast
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from backends.deltas import delta_key
from backends.frame import Frame, joined_frames
from schemas.chats import (
    FileContent,
    FilesReasoning,
    PillsReasoning,
    ReasoningFile,
    ReasoningMessage,
    TextReasoning,
    TextResponse,
)
from schemas.events import Container, GeneratingReasoningMessage, GeneratingResponseMessage, GeneratingTitle
from schemas.frames import SentBy, WsResponseMessage, WsSendMethod
from tests.support.containers import CHAT, response
from tests.support.world import ALICE, uuid

MESSAGES = st.sampled_from([uuid(2), uuid(3)])
IDS = st.sampled_from([uuid(4), uuid(5)])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def title(message: UUID, chunk: str) -> Container:
    return GeneratingTitle(CHAT, message, None, chunk, "in_progress")


def thought(message: UUID, step: ReasoningMessage) -> Container:
    return GeneratingReasoningMessage(step, CHAT, message, "in_progress")


def text_step(message: UUID, id: UUID, chunk: str) -> Container:
    return thought(message, TextReasoning(id, "Thinking", None, None, chunk, "loading"))


def file_step(message: UUID, id: UUID, chunks: dict[UUID, str]) -> Container:
    files = {
        file: ReasoningFile(file, "metric", "A file", 1, file, "loading", FileContent(None, chunk, None))
        for file, chunk in chunks.items()
    }
    return thought(message, FilesReasoning(id, "Writing", None, "loading", list(files), files))


DELTAS = st.one_of(
    st.builds(title, MESSAGES, TEXT),
    st.builds(response, MESSAGES, IDS, TEXT),
    st.builds(text_step, MESSAGES, IDS, TEXT),
    st.builds(file_step, MESSAGES, IDS, st.dictionaries(IDS, TEXT, max_size=2)),
)
OTHERS = st.one_of(
    st.builds(lambda message, whole: GeneratingTitle(CHAT, message, whole, None, "completed"), MESSAGES, TEXT),
    st.builds(
        lambda message, id, whole: GeneratingResponseMessage(TextResponse(id, whole, None, True), CHAT, message, "completed"),
        MESSAGES,
        IDS,
        TEXT,
    ),
    st.builds(lambda message, id: thought(message, PillsReasoning(id, "Found", None, [], "completed")), MESSAGES, IDS),
)
STREAMS = st.lists(st.one_of(DELTAS, DELTAS, OTHERS), max_size=30)


def joined(containers: list[Container]) -> list[Container]:
    sent_by = SentBy(ALICE, "Alice")
    frames = [Frame(WsResponseMessage("", "", each, sent_by, None, WsSendMethod.ALL)) for each in containers]
    return [cast(Container, frame.message.payload) for frame in joined_frames(frames)]


def client_after(containers: list[Container]) -> dict[str, Any]:
    """All that a client knows: whole values as they are, chunks appended to what it has under the same id."""
    state: dict[str, Any] = {}
    for container in containers:
        learn(state, json.loads(msgspec.json.encode(container)))
    return state


def learn(state: dict[str, Any], frame: dict[str, Any]) -> None:
    message = state.setdefault(frame["message_id"], {})
    if "title_chunk" in frame:
        message["title"] = frame["title"] if frame["title"] is not None else message.get("title", "") + frame["title_chunk"]
        return
    part = frame.get("response_message") or frame["reasoning"]
    kind = "response" if "response_message" in frame else part["type"]
    before = message.setdefault(kind, {}).setdefault(part["id"], {})
    if part["type"] == "text":
        text = part["message"] if part["message"] is not None else before.get("message", "") + (part["message_chunk"] or "")
        before.update(part, message=text, message_chunk=None)
    elif part["type"] == "files":
        for id, file in part["files"].items():
            written = before.setdefault("written", {})
            written[id] = written.get(id, "") + (file["file"]["text_chunk"] or "")
        before.update({key: value for key, value in part.items() if key not in ("files", "file_ids")})
    else:
        before.update(part)


def flushed(stream: list[Container], cuts: list[int]) -> list[Container]:
    """The stream as it is sent when it is flushed at these places."""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [container for a, b in pairwise(edges) for container in joined(stream[a:b])]


@given(STREAMS, st.lists(st.integers(0, 30), max_size=5))
def test_a_client_of_joined_frames_ends_like_one_of_all_frames(stream: list[Container], cuts: list[int]) -> None:
    sent = flushed(stream, cuts)
    assert client_after(sent) == client_after(stream)
    assert len(sent) <= len(stream)


@given(STREAMS)
def test_what_is_not_a_delta_stays_as_it_was_and_where_it_was(stream: list[Container]) -> None:
    sent = joined(stream)
    assert [one for one in sent if delta_key(one) is None] == [one for one in stream if delta_key(one) is None]
    runs = [(key, len(list(group))) for key, group in groupby(delta_key(one) for one in stream)]
    # Adjacent deltas of one key have become one, and nothing has moved.
    assert [delta_key(one) for one in sent] == [key for key, length in runs for _ in range(1 if key else length)]


@given(st.lists(TEXT, min_size=1, max_size=50))
def test_a_run_of_deltas_of_one_text_is_one_frame(chunks: list[str]) -> None:
    (one,) = joined([response(uuid(2), uuid(4), chunk) for chunk in chunks])
    assert one == response(uuid(2), uuid(4), "".join(chunks))


def test_nothing_is_nothing() -> None:
    assert joined([]) == []
