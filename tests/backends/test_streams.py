"""Streams that are remembered by their frames: which frame begins, goes on with or ends which, and how many are kept."""

from uuid import UUID, uuid4

import pytest

from backends import streams as module
from backends.brief import STREAM
from backends.streams import Streams
from schemas.chats import ChatMessage, ChatWithMessages, TextReasoning, TextResponse
from schemas.errors import WsError, WsErrorCode
from schemas.events import TOLD, Container, GeneratingReasoningMessage, GeneratingResponseMessage, GeneratingTitle, WsEvent
from schemas.frames import SentBy, WsResponseMessage, WsRoutes, WsSendMethod, encode
from tests.support.containers import NOW
from tests.support.world import ALICE, BOB, uuid

CHAT, FIRST, SECOND = uuid(100), uuid(101), uuid(102)
EVIL = '","message_id":"00000000-0000-4000-8000-000000000666"'
USER = str(ALICE)


def whole(event: WsEvent, *unfinished: UUID, finished: tuple[UUID, ...] = ()) -> bytes:
    """A frame that has the chat with these messages, in this order: those that are finished, then the others."""
    ids = [*finished, *unfinished]
    messages = {id: ChatMessage(id, None, [], {}, [], {}, NOW, None, id in finished) for id in ids}
    return framed(event, ChatWithMessages(CHAT, EVIL, False, ids, messages, NOW, NOW, ALICE, ALICE, EVIL, None))


def delta(message_id: UUID) -> bytes:
    return framed(WsEvent.GENERATING_TITLE, GeneratingTitle(CHAT, message_id, None, EVIL, "in_progress"))


def framed(event: WsEvent, payload: Container | None, error: WsError | None = None) -> bytes:
    message = WsResponseMessage(WsRoutes.CHATS_POST, event, payload, SentBy(ALICE, EVIL), error, WsSendMethod.ALL, EVIL)
    return encode(message)


def failure() -> bytes:
    return framed(WsEvent.POST_THREAD, None, WsError(WsErrorCode.INTERNAL_SERVER_ERROR, EVIL))


def opened(streams: Streams) -> list[str]:
    return [stream.message_id for stream in streams]


@pytest.mark.parametrize(
    "payload",
    [
        GeneratingTitle(CHAT, FIRST, None, EVIL, "in_progress"),
        GeneratingTitle(CHAT, FIRST, EVIL, None, "completed"),
        GeneratingResponseMessage(TextResponse(SECOND, None, EVIL, False), CHAT, FIRST, "in_progress"),
        GeneratingReasoningMessage(TextReasoning(SECOND, EVIL, None, EVIL, None, "loading"), CHAT, FIRST, "in_progress"),
    ],
)
def test_a_delta_of_each_kind_tells_whose_it_is_whatever_its_texts_are(payload: Container) -> None:
    (event,) = [event for event, told in TOLD.items() if told.payload is type(payload)]
    streams = Streams()
    assert streams.hear(USER, "a", framed(event, payload))
    assert [(stream.chat_id, stream.message_id, stream.node) for stream in streams] == [(str(CHAT), str(FIRST), "a")]


def test_a_stream_is_open_from_its_beginning_to_its_end() -> None:
    streams = Streams()
    assert streams.hear(USER, "a", whole(WsEvent.INITIALIZE_CHAT, SECOND, finished=(FIRST,)))
    assert opened(streams) == [str(SECOND)]
    assert streams.hear(USER, "a", whole(WsEvent.COMPLETE, finished=(FIRST, SECOND)))
    assert opened(streams) == []


def test_an_end_is_told_once_and_again_only_after_another_beginning() -> None:
    streams, end = Streams(), whole(WsEvent.COMPLETE, finished=(FIRST,))
    assert streams.hear(USER, "a", end)
    assert not streams.hear(USER, "a", end)
    streams.hear(USER, "a", whole(WsEvent.INITIALIZE_CHAT, FIRST))
    assert streams.hear(USER, "a", end)
    assert not streams.hear(USER, "a", end)
    streams.hear(USER, "a", delta(FIRST))
    assert streams.hear(USER, "a", end)


def test_a_stored_end_is_told_to_those_alone_who_have_heard_the_stream() -> None:
    streams, end = Streams(), whole(WsEvent.COMPLETE, finished=(FIRST,))
    assert not streams.hear(USER, "b", end, f"end:{FIRST}")
    streams.hear(USER, "a", delta(FIRST))
    assert streams.hear(USER, "b", end, f"end:{FIRST}")
    assert not streams.hear(USER, "a", end)


def test_the_end_of_a_message_that_was_answered_again_ends_it_and_no_other_users_stream() -> None:
    streams, bob = Streams(), str(BOB)
    streams.hear(USER, "a", delta(FIRST))
    streams.hear(bob, "a", delta(SECOND))
    assert streams.hear(USER, "a", whole(WsEvent.COMPLETE, finished=(FIRST, SECOND)))
    assert opened(streams) == [str(SECOND)]


def test_an_end_that_comes_after_the_beginning_of_the_next_stream_ends_the_first() -> None:
    streams = Streams()
    streams.hear(USER, "a", delta(FIRST))
    streams.hear(USER, "b", whole(WsEvent.INITIALIZE_CHAT, SECOND, finished=(FIRST,)))
    assert streams.hear(USER, "a", whole(WsEvent.COMPLETE, finished=(FIRST,)))
    assert opened(streams) == [str(SECOND)]


def test_an_error_ends_the_stream_of_which_its_node_has_said_so() -> None:
    streams = Streams()
    for id in (FIRST, SECOND):
        streams.hear(USER, "a", delta(id))
    streams.failing(ALICE, SECOND)
    streams.failing(ALICE, uuid(103))
    assert streams.hear(USER, "a", failure())
    assert opened(streams) == [str(FIRST)]
    assert not streams.hear(USER, "b", whole(WsEvent.COMPLETE, finished=(SECOND,)))


def test_an_error_of_which_nothing_was_said_ends_the_only_stream_of_its_node_or_makes_all_doubtful() -> None:
    streams = Streams()
    streams.hear(USER, "a", delta(FIRST))
    streams.hear(USER, "b", delta(SECOND))
    streams.begin(ALICE, CHAT, uuid(103))  # this node's own is not meant
    streams.hear(USER, "a", failure())
    assert opened(streams) == [str(SECOND), str(uuid(103))]
    streams.hear(USER, "b", delta(FIRST))
    streams.hear(USER, "b", failure())
    assert [stream.is_doubtful for stream in streams] == [True, False, True]


def test_what_is_heard_of_this_nodes_own_runs_is_its_own_to_tell_until_they_are_lost() -> None:
    streams = Streams()
    streams.begin(ALICE, CHAT, FIRST)
    streams.forget(USER)  # the run goes on without its user
    for _ in range(3):
        assert streams.silent() == []
    streams.remember(ALICE, CHAT, FIRST)
    assert [stream.message_id for stream in streams.silent()] == [str(FIRST)]
    streams.end(ALICE, FIRST)
    streams.remember(ALICE, CHAT, FIRST)
    assert opened(streams) == []


def test_a_stream_is_silent_when_nothing_was_heard_of_it_for_a_whole_turn() -> None:
    streams = Streams()
    streams.hear(USER, "a", delta(FIRST))
    assert streams.silent() == []
    assert len(streams.silent()) == 1
    streams.hear(USER, "a", delta(FIRST))
    assert streams.silent() == []


@pytest.mark.parametrize("is_same", [True, False])
def test_when_redis_is_there_again_all_are_given_time_to_tell_it(is_same: bool) -> None:
    streams = Streams()
    streams.hear(USER, "a", delta(FIRST))
    (stream,) = streams
    stream.looks = 5
    streams.reconnect(is_same)
    streams.reconnect(is_same=True)
    assert (stream.looks, stream.has_gap) == (0, not is_same)


def test_what_is_no_frame_of_a_stream_is_let_through() -> None:
    streams = Streams()
    for text in (
        b"{}",
        b'{"route":"/chats/update","event":"complete"}',
        framed(WsEvent.COMPLETE, None),
        b"",
        STREAM + b"x",
    ):
        assert streams.hear(USER, "a", text)
    assert opened(streams) == []


def test_of_one_user_and_of_all_ends_no_more_than_a_bound_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENDED", 3)
    streams = Streams()
    ids = [uuid4() for _ in range(module.MOST_PER_USER + 5)]
    for id in ids:
        streams.hear(USER, "a", delta(id))
    assert opened(streams) == [str(id) for id in ids[5:]]
    for id in ids:
        streams.end(ALICE, id)
    assert len(streams._ended) == 3
    assert streams._open == {}


def test_a_message_that_runs_again_ends_again() -> None:
    streams, user, chat, message = Streams(), *(str(uuid(number)) for number in (1, 2, 3))
    streams.remember(user, chat, message)
    streams.end(UUID(user), UUID(message))
    streams.remember(user, chat, message)  # told late, of the run that has ended
    assert list(streams) == []
    streams.runs_again(UUID(message))
    streams.remember(user, chat, message)
    assert [stream.message_id for stream in streams] == [message]
