"""What clients are told of a run adds up to what is kept of it, from its beginning and from any point in its middle."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.agent_events import (
    AgentEvent,
    ApprovalNeeded,
    AssetsFound,
    AssetShown,
    FileChunk,
    FilesEnded,
    ReasoningChunk,
    Remembered,
    ResponseChunk,
    SourcesFound,
    TitleChunk,
    TitleEnd,
    ToolEnded,
    ToolInput,
    ToolStarted,
)
from backends.deltas import delta_key, join
from handlers.growing import Delta
from handlers.transcript import Transcript
from schemas.assets import METRIC, Asset
from schemas.chats import TextResponse, Usage
from schemas.events import WS_EVENTS, Item
from tests.support.client import apply, unsettled
from tests.support.containers import NOW, transcript
from tests.support.world import ACME, ALICE, uuid

ASSET = Asset(uuid(1), METRIC, "Revenue", {}, 1, ACME, ALICE, NOW, NOW)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
WORDS = st.builds(ResponseChunk, TEXT) | st.builds(ReasoningChunk, st.sampled_from(["Thinking", "Searching"]), TEXT)
TALK = st.lists(st.one_of(WORDS, st.just(AssetsFound("Found 1 asset", (ASSET,)))), max_size=20)
CALL = st.sampled_from(["one", "two"])  # tools, or steps of files, of which both may be open at once, or neither
FAILED = st.booleans()
EVENTS = st.lists(
    st.one_of(
        WORDS,
        st.builds(ToolStarted, CALL, TEXT, st.none() | TEXT),
        st.builds(ToolInput, CALL, TEXT),
        st.builds(ToolEnded, CALL, st.just("") | TEXT, FAILED),
        st.builds(FileChunk, CALL, TEXT, CALL | st.just(str(uuid(9))), TEXT, TEXT, st.just(1), TEXT),
        st.builds(FilesEnded, CALL, TEXT, FAILED),
        st.just(AssetsFound("Found 1 asset", (ASSET,))),
        st.builds(SourcesFound, TEXT, st.just((("Docs", "https://example.com"), ("Evil", "javascript:alert(1)")))),
        st.just(AssetShown(ASSET, "Made the metric")),
        st.just(Usage("m", 1, None)),
        st.just(Remembered({"n": 1})),
        st.builds(ApprovalNeeded, CALL, TEXT, st.just({"type": "string"})),
    ),
    max_size=20,
)


def wire(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def containers(entries: Iterable[Delta | Item]) -> Iterator[Item]:
    for entry in entries:
        yield (entry.text.delta_of("".join(entry.chunks)), entry.text.event) if isinstance(entry, Delta) else entry


def told(chat: Any, entries: Iterable[Delta | Item]) -> Any:
    """A client's chat after these entries."""
    for container, event in containers(entries):
        apply(chat, {"event": WS_EVENTS[event].value, "payload": wire(container)})
    return chat


def joined(entries: Iterable[Delta | Item]) -> Iterator[Item]:
    """The entries as an outbox joins them that is behind: adjacent deltas of one key are one."""
    for key, group in groupby(containers(entries), lambda item: delta_key(item[0])):
        items = list(group)
        yield from [(join([container for container, _ in items]), items[0][1])] if key else items


def with_title(events: list[AgentEvent], title: list[str], ends: bool) -> list[AgentEvent]:
    """The events with those of a title strewn in."""
    strewn = list(events)
    for number, chunk in enumerate(title):
        strewn.insert(number * 2, TitleChunk(chunk))
    return [*strewn, TitleEnd("".join(title))] if ends else strewn


@given(EVENTS, st.lists(TEXT, max_size=3), st.booleans())
def test_what_is_told_adds_up_to_what_is_kept(events: list[AgentEvent], title: list[str], ends: bool) -> None:
    kept = transcript()
    chat = wire(kept.snapshot())
    for event in with_title(events, title, ends):
        chat = told(chat, list(kept.apply(event)))
        assert unsettled(chat)["messages"] == unsettled(wire(kept.snapshot()))["messages"]
    assert unsettled(told(chat, list(kept.close()))) == unsettled(wire(kept.snapshot()))


@given(EVENTS, st.data())
def test_a_client_that_joins_at_any_item_ends_with_the_same(events: list[AgentEvent], data: st.DataObject) -> None:
    kept, snapshots, items = transcript(), [], []
    snapshots.append(wire(kept.snapshot()))
    for event in events:
        for item in kept.apply(event):
            items.append(item)
            snapshots.append(wire(kept.snapshot()))
    for item in kept.close():
        items.append(item)
        snapshots.append(wire(kept.snapshot()))
    at = data.draw(st.integers(0, len(items)))
    late = told(json.loads(json.dumps(snapshots[at])), joined(items[at:]))
    assert unsettled(told(snapshots[at], items[at:])) == unsettled(late) == unsettled(snapshots[-1])


@given(EVENTS)
def test_a_checkpoint_is_the_message_as_it_would_end(events: list[AgentEvent]) -> None:
    kept = transcript()
    for event in events:
        list(kept.apply(event))
    ended = kept.ended()
    list(kept.close())
    assert wire(ended) == wire(kept.message)


@given(TALK)
def test_texts_are_whole_and_in_order(events: list[AgentEvent]) -> None:
    kept = transcript()
    for event in events:
        for _ in kept.apply(event):
            pass
    for _ in kept.close():
        pass
    message = kept.snapshot().messages[uuid(2)]
    answer = [wire(message.response_messages[id])["message"] for id in message.response_message_ids]
    assert "".join(answer) == "".join(event.text for event in events if isinstance(event, ResponseChunk))
    thoughts = [wire(message.reasoning_messages[id]) for id in message.reasoning_message_ids]
    assert all(thought["status"] == "completed" for thought in thoughts)
    wanted = "".join(event.text for event in events if isinstance(event, ReasoningChunk))
    assert "".join(thought["message"] for thought in thoughts if thought["type"] == "text") == wanted


def test_a_snapshot_does_not_change_with_what_comes_after_it() -> None:
    kept = transcript()
    list(kept.apply(ResponseChunk("one")))
    snapshot = kept.snapshot()
    before = wire(snapshot)
    list(kept.apply(ResponseChunk("two")))
    list(kept.apply(ReasoningChunk("Thinking", "hm")))
    list(kept.close())
    assert wire(snapshot) == before


def test_without_a_title_the_prompts_first_words_are_told_and_kept() -> None:
    kept = transcript()
    ((container, _),) = list(kept.close())
    assert wire(container)["title"] == kept.chat.title == "What is it all about?"
    assert list(kept.close()) == []


def texts_of(kept: Transcript) -> list[str | None]:
    """The texts of the answer."""
    return [
        part.message for part in kept.snapshot().messages[uuid(2)].response_messages.values() if isinstance(part, TextResponse)
    ]


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        ("Let me look.", "It is 7.", "Let me look.\n\nIt is 7."),
        ("Let me look.\n", "It is 7.", "Let me look.\n\nIt is 7."),
        ("Let me look.\n", "\nIt is 7.", "Let me look.\n\nIt is 7."),
        ("Let me look.\n\n\n", "It is 7.", "Let me look.\n\n\nIt is 7."),
        ("", "It is 7.", "It is 7."),
    ],
)
def test_texts_that_a_tool_parts_are_paragraphs(before: str, after: str, whole: str) -> None:
    kept = transcript()
    events: list[AgentEvent] = [ResponseChunk(before), ToolStarted("1", "Looking"), ToolEnded("1", "7")]
    for event in [*events, ResponseChunk(after), ResponseChunk("!")]:
        list(kept.apply(event))
    assert texts_of(kept) == [f"{whole}!"]


def test_a_tool_is_told_with_what_it_gets_and_what_comes_of_it() -> None:
    kept = transcript()
    first, second = ToolStarted("1", "Searching", "search"), ToolStarted("2", "Counting")
    frames = []
    for event in (
        first,
        ToolInput("1", '{"q": '),
        second,
        ToolInput("1", "1}"),
        ToolEnded("2", "no", True),
        ToolEnded("1", "7"),
    ):
        frames += [wire(container) for container, _ in containers(list(kept.apply(event)))]
    one, two = (step for step in wire(kept.message)["reasoning_messages"].values())
    assert one["message"] == '{"q": 1}\n\n7'
    assert (one["title"], one["status"], one["tool"]) == ("Searching", "completed", {"name": "search", "call_id": "1"})
    assert (two["message"], two["status"], two["tool"]) == ("no", "failed", {"name": None, "call_id": "2"})
    assert re.fullmatch(r"\d+\.\d seconds", one["secondary_title"])
    assert list(one)[-1] == "tool"
    assert [frame["reasoning"]["message_chunk"] for frame in frames] == ["", '{"q": ', "", "1}", "no", None, "\n\n7", None]
    assert {frame["reasoning"]["id"] for frame in frames[:2]} == {one["id"]}


def test_a_tool_that_never_ended_has_failed() -> None:
    kept = transcript()
    list(kept.apply(ToolStarted("1", "Searching")))
    list(kept.apply(ToolInput("1", "half")))
    assert (
        wire(kept.snapshot().messages[uuid(2)].reasoning_messages)[str(kept.message.reasoning_message_ids[0])]["status"]
        == "loading"
    )
    list(kept.close())
    (step,) = wire(kept.message)["reasoning_messages"].values()
    assert (step["message"], step["status"]) == ("half", "failed")


def asking(ended: bool) -> Any:
    """The message of a run that asks twice, and then ends by itself, or not."""
    kept = transcript()
    for event in (ToolStarted("1", "Deleting"), ApprovalNeeded("1", "Delete it?"), ApprovalNeeded("1", "Delete them?")):
        list(kept.apply(event))
    list(kept.close(ended=ended))
    return wire(kept.message)


def test_a_question_that_is_asked_again_is_one_question() -> None:
    message = asking(ended=True)
    assert [question["title"] for question in message["approvals"]] == ["Delete them?"]
    assert [step["status"] for step in message["reasoning_messages"].values()] == ["failed", "loading"]


def test_a_run_that_did_not_come_to_its_end_asks_nothing() -> None:
    message = asking(ended=False)
    assert "approvals" not in message
    assert [step["status"] for step in message["reasoning_messages"].values()] == ["failed", "failed"]


def test_only_what_cannot_run_a_script_is_a_link() -> None:
    kept = transcript()
    list(kept.apply(SourcesFound("Found 2", (("Docs", "https://example.com"), ("Evil", "javascript:alert(1)")))))
    (step,) = wire(kept.message)["reasoning_messages"].values()
    docs, evil = step["pill_containers"][0]["pills"]
    assert (docs["text"], docs["type"], docs["url"]) == ("Docs", "url", "https://example.com")
    assert (evil["text"], "url" in evil) == ("Evil", False)


def test_each_frame_of_a_file_names_all_files_of_its_step() -> None:
    kept = transcript()
    frames = []
    for id, text in (("a", "one"), ("b", "two"), ("a", " more")):
        list_of = list(kept.apply(FileChunk("s", "Wrote", id, "metric", f"{id}.yml", 1, text)))
        frames += [wire(container)["reasoning"] for container, _ in containers(list_of)]
    assert [len(frame["file_ids"]) for frame in frames] == [1, 2, 2]
    assert [len(frame["files"]) for frame in frames] == [1, 1, 1]
    list(kept.apply(FilesEnded("s", "Wrote 2 files")))
    (step,) = wire(kept.message)["reasoning_messages"].values()
    assert (step["title"], step["status"]) == ("Wrote 2 files", "completed")
    assert [step["files"][id]["file"]["text"] for id in step["file_ids"]] == ["one more", "two"]


def test_a_chunk_that_is_larger_than_the_room_is_cut() -> None:
    kept = transcript()
    kept.most = kept.size + 1000
    list(kept.apply(ResponseChunk("é" * 10_000_000)))
    (text,) = texts_of(kept)
    assert 0 < len((text or "").encode()) <= 1000
    assert kept.size >= kept.most


def test_the_tokens_of_several_models_add_up() -> None:
    kept = transcript()
    for usage in (Usage("small", 1, None), Usage("large", 10, 2, 3)):
        list(kept.apply(usage))
    assert kept.message.usage == Usage("large", 11, 2, 3)
