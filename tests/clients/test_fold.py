"""What frames add up to: whatever an agent says, and wherever a client joins, what the server stores."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec.structs import replace

from backends.agent_events import (
    AgentEvent,
    ApprovalNeeded,
    FileChunk,
    FilesEnded,
    ReasoningChunk,
    ResponseChunk,
    SourcesFound,
    TitleChunk,
    TitleEnd,
    ToolEnded,
    ToolInput,
    ToolStarted,
    WasThought,
)
from handlers.growing import Delta
from handlers.transcript import Transcript
from schemas.chats import ChatListItem, ChatMessage, ChatUserMessage, ChatWithMessages
from schemas.events import WS_EVENTS, Container, Item, ThreadEvent
from schemas.frames import encode
from tests.programs.structs import COPIED, TO, copy_of
from tests.support.client import unsettled
from threadcast_client.fold import MOST_CHATS, MOST_LISTED, Fold
from threadcast_client.wire import decode, payload_of


def test_the_structs_of_the_client_are_made_of_those_of_the_server() -> None:
    for name in COPIED:
        assert (TO / f"{name}.py").read_text() == copy_of(name), "make structs"


def new_chat(title: str = "", at: int = 0) -> ChatWithMessages:
    when, user = datetime.fromtimestamp(at, UTC), uuid4()
    message = ChatMessage(uuid4(), ChatUserMessage("?", user, "Alice", None), [], {}, [], {}, when, None, False)
    return ChatWithMessages(uuid4(), title, False, [message.id], {message.id: message}, when, when, user, user, "Alice", None)


def take(fold: Fold, event: str, payload: object, *, by_http: bool = False) -> UUID | None:
    """Let the fold have it as it comes over the wire."""
    data = encode({"route": "/chats/post", "event": event, "payload": payload})
    return fold.take(event, payload_of(decode(data)), by_http=by_http)


def held(fold: Fold, id: UUID) -> dict[str, Any]:
    chat: dict[str, Any] = json.loads(encode(fold.whole[id]))
    return chat


NAMES = ("id", "title", "is_favorited", "created_at", "updated_at", "created_by", "created_by_id", "created_by_name")


def _item(chat: ChatWithMessages) -> ChatListItem:
    same = {name: getattr(chat, name) for name in (*NAMES, "created_by_avatar")}
    return ChatListItem(**same, last_edited=chat.updated_at)


TEXTS = st.text("ab \n\u00e9\U0001f600", min_size=1, max_size=5)
FEW = st.sampled_from(["1", "2"])
EVENTS = st.lists(
    st.one_of(
        TEXTS.map(ResponseChunk),
        TEXTS.map(ResponseChunk),
        st.builds(ReasoningChunk, FEW, TEXTS),
        st.just(WasThought("A thought")),
        TEXTS.map(TitleChunk),
        st.builds(ToolStarted, FEW, TEXTS),
        st.builds(ToolInput, FEW, TEXTS),
        st.builds(ToolEnded, FEW, TEXTS, st.booleans()),
        st.builds(FileChunk, FEW, st.just("Files"), FEW, st.just("metric"), st.just("a.yml"), st.just(1), TEXTS),
        st.builds(FilesEnded, FEW, st.just("Written"), st.booleans()),
        st.just(SourcesFound("Found", (("A", "https://a.example/"),))),
        st.just(ApprovalNeeded("1", "Well?")),
    ),
    max_size=30,
)


@given(EVENTS, st.sets(st.integers(0, 40)), st.integers(1, 4))
def test_whatever_an_agent_says_adds_up_to_what_is_stored_also_when_it_is_got_anew(
    events: list[AgentEvent], got_at: set[int], joined: int
) -> None:
    transcript = Transcript(new_chat(), ChatMessage(uuid4(), None, [], {}, [], {}, datetime.now(UTC), None, False))
    transcript.chat.message_ids.append(transcript.message.id)
    transcript.chat.messages[transcript.message.id] = transcript.message
    fold = Fold(lambda _: False)
    take(fold, "initializeChat", transcript.snapshot())
    waiting: list[Delta] = []  # of one text, which the server joins

    def flush() -> None:
        if waiting:
            text = waiting[0].text
            chunk = "".join(chunk for delta in waiting for chunk in delta.chunks)
            waiting.clear()
            assert take(fold, WS_EVENTS[text.event].value, text.delta_of(chunk)) is None

    def told(entry: Delta | Item) -> None:
        if isinstance(entry, Delta):
            if waiting and waiting[0].text is not entry.text:
                flush()
            waiting.append(entry)
            if len(waiting) >= joined:
                flush()
        else:
            flush()
            payload: tuple[Container, ThreadEvent] = entry
            assert take(fold, WS_EVENTS[payload[1]].value, payload[0]) is None

    for at, event in enumerate(events):
        for entry in transcript.apply(event):
            told(entry)
        if at in got_at:
            flush()
            take(fold, "getChat", transcript.snapshot())
    for entry in [*transcript.apply(TitleEnd("The title")), *transcript.close()]:
        told(entry)
    assert unsettled(held(fold, transcript.chat.id)) == unsettled(json.loads(encode(transcript.chat)))


def test_what_was_given_out_does_not_change_and_is_the_same_until_something_does() -> None:
    fold, chat = Fold(lambda _: False), new_chat()
    take(fold, "initializeChat", chat)
    before = fold.snapshot()
    assert fold.snapshot() is before
    part = {"type": "text", "id": str(uuid4()), "message": None, "message_chunk": "x", "is_final_message": False}
    told = {"response_message": part, "chat_id": chat.id, "message_id": chat.message_ids[0], "progress": "in_progress"}
    as_it_was = encode(dict(before.chats))
    take(fold, "generatingResponseMessage", told)
    assert fold.snapshot() is not before
    assert encode(dict(before.chats)) == as_it_was


def test_what_a_newer_server_adds_is_passed_over_and_the_rest_is_taken() -> None:
    fold, chat = Fold(lambda _: False), json.loads(encode(new_chat()))
    (message,) = chat["messages"].values()
    id, other = str(uuid4()), str(uuid4())
    part = {"type": "text", "id": id, "message": "Hi", "message_chunk": None, "is_final_message": True, "mood": "new"}
    message |= {"response_message_ids": [id, other], "response_messages": {id: part, other: {"type": "film", "id": other}}}
    message |= {"finish_reason": "bored", "novelty": {"a": 1}}
    take(fold, "complete", chat | {"colour": "red"})
    (held_message,) = fold.whole[UUID(chat["id"])].messages.values()
    assert held_message.finish_reason == "bored"
    assert held_message.response_message_ids == [UUID(id)]
    step = {"type": "dance", "id": other}
    told = {"reasoning": step, "chat_id": chat["id"], "message_id": message["id"], "progress": "half"}
    assert take(fold, "generatingReasoningMessage", told) is None
    assert take(fold, "weather", {"sun": True}) is None
    assert take(fold, "getChat", {"id": 7}) is None


def test_a_frame_of_what_is_not_held_tells_which_chat_to_get() -> None:
    fold, chat, other = Fold(lambda _: True), new_chat(), uuid4()
    told = {"chat_id": other, "message_id": chat.message_ids[0], "title": "x", "title_chunk": None, "progress": "completed"}
    assert take(fold, "generatingTitle", told) == other
    take(fold, "initializeChat", chat)
    assert take(fold, "generatingTitle", told | {"chat_id": chat.id}) is None
    fold.doubt()
    assert take(fold, "generatingTitle", told | {"chat_id": chat.id}) == chat.id
    take(fold, "getChat", chat, by_http=True)  # beside the stream: which of its frames are in it is not known
    assert take(fold, "generatingTitle", told | {"chat_id": chat.id}) == chat.id


def test_what_is_held_is_bounded_and_what_is_kept_stays() -> None:
    kept = new_chat(at=1)
    fold = Fold(lambda id: id == kept.id)
    take(fold, "initializeChat", kept)
    for at in range(MOST_CHATS + 5):
        take(fold, "complete", new_chat(at=at))
    assert kept.id in fold.whole
    assert len(fold.whole) == MOST_CHATS + 1
    when, user = datetime.now(UTC), uuid4()
    items = [ChatListItem(uuid4(), "", False, when, when, when, user, user, "", None) for _ in range(MOST_LISTED + 5)]
    take(fold, "getChatsList", items)
    assert len(fold.snapshot().list) == MOST_LISTED


@pytest.mark.parametrize("last", [1, 2])
def test_a_part_of_a_chat_joins_what_is_held_and_is_no_chat_by_itself(last: int) -> None:
    fold, chat = Fold(lambda _: False), new_chat("Title")
    ids = [*chat.message_ids, *(new_chat().message_ids[0] for _ in range(last))]
    (message,) = chat.messages.values()
    base = json.loads(encode(chat))
    rest = {"message_ids": ids, "messages": {str(id): json.loads(encode(message)) | {"id": str(id)} for id in ids[1:]}}
    take(fold, "getChat", base | rest)
    assert chat.id not in fold.whole
    take(fold, "complete", chat)
    take(fold, "initializeChat", base | rest)
    assert list(fold.whole[chat.id].messages) == ids


def test_a_list_that_was_read_before_the_stream_went_on_takes_nothing_back() -> None:
    """Over HTTP an answer comes beside the stream, and may be older than what that has told meanwhile."""
    fold, before = Fold(lambda _: True), new_chat("Sales", at=1)
    after = replace(before, updated_at=datetime.fromtimestamp(2, UTC))
    old, new = (_item(chat) for chat in (before, after))
    take(fold, "getChat", before)
    take(fold, "complete", after)
    take(fold, "getChatsList", [old], by_http=True)
    take(fold, "updateChat", old, by_http=True)
    assert [item.last_edited for item in fold.snapshot().list] == [after.updated_at]
    assert fold.whole[before.id].updated_at == after.updated_at
    named = replace(new, title="Renamed", is_favorited=True)
    take(fold, "updateChat", named, by_http=True)
    assert [item.title for item in fold.snapshot().list] == [fold.whole[before.id].title] == ["Renamed"]
    take(fold, "getChatsList", [old])  # in its order, whatever the clocks of two servers say
    assert [item.title for item in fold.snapshot().list] == ["Sales"]
