"""What clients are told of a run adds up to what is kept of it, from its beginning and from any point in its middle."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from backends.agent import AgentEvent, AssetsFound, ReasoningChunk, ResponseChunk, TitleChunk, TitleEnd
from handlers.growing import Delta
from schemas.assets import METRIC, Asset
from schemas.events import WS_EVENTS, Item
from tests.support.client import apply
from tests.support.containers import NOW, transcript
from tests.support.world import ACME, ALICE, uuid

ASSET = Asset(uuid(1), METRIC, "Revenue", {}, 1, ACME, ALICE, NOW, NOW)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
EVENTS = st.lists(
    st.one_of(
        st.builds(ResponseChunk, TEXT),
        st.builds(ReasoningChunk, st.sampled_from(["Thinking", "Searching"]), TEXT),
        st.just(AssetsFound("Found 1 asset", (ASSET,))),
    ),
    max_size=20,
)


def wire(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def told(chat: Any, entries: Iterable[Delta | Item]) -> Any:
    """A client's chat after these entries."""
    for entry in entries:
        container, event = (entry.text.delta_of("".join(entry.chunks)), entry.text.event) if isinstance(entry, Delta) else entry
        apply(chat, {"event": WS_EVENTS[event].value, "payload": wire(container)})
    return chat


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
    assert told(chat, list(kept.close())) == wire(kept.snapshot())


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
    assert told(snapshots[at], items[at:]) == snapshots[-1]


@given(EVENTS)
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
