"""The bytes of a frame of WebSocket: made once for all connections, and as any client reads them."""

import pytest
from websockets.frames import Frame as Read
from websockets.frames import Opcode
from websockets.streams import StreamReader

from backends.frame import SHARED_BYTES, Frame
from schemas.errors import WsError, WsErrorCode
from schemas.frames import SentBy, WsResponseMessage, WsSendMethod
from tests.support.world import ALICE

NUMBER = b',"offset":7}'
PLAIN = pytest.mark.parametrize("size", [2, 125, 126, SHARED_BYTES - 1, SHARED_BYTES, 2**16 - 1, 2**16, 2**17])


def frame(size: int, offset: int = 7) -> Frame:
    """A frame whose text has so many bytes without its number."""
    return Frame.of_data(b"{" + (size - 2) * b"x" + b"}", offset)


def read(data: bytes) -> bytes:
    """The text of the one frame that these bytes are."""
    stream = StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    parsing = Read.parse(stream.read_exact, mask=False, max_size=None)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    found = parsed.value.value
    assert (found.opcode, found.fin, bytes(stream.buffer)) == (Opcode.TEXT, True, b"")
    return bytes(found.data)


@PLAIN
def test_a_frame_of_any_size_is_read_as_it_was_made(size: int) -> None:
    made = frame(size)
    assert read(b"".join(made.wire(numbered=False))) == made.data


@pytest.mark.parametrize("size", [2, 125 - len(NUMBER) + 1, 126 - len(NUMBER) + 1, 2**16 - len(NUMBER), 2**16, 2**17])
def test_for_who_can_resume_it_has_its_number_at_its_end(size: int) -> None:
    made = frame(size)
    assert read(b"".join(made.wire(numbered=True))) == b"{" + (size - 2) * b"x" + NUMBER
    assert read(b"".join(made.wire(numbered=False))) == made.data


def test_a_frame_without_a_number_is_the_same_for_all() -> None:
    made = frame(100, offset=0)
    assert read(b"".join(made.wire(numbered=True))) == made.data


@PLAIN
@pytest.mark.parametrize("numbered", [False, True])
def test_the_bytes_are_made_once_and_of_a_large_text_there_is_no_second_copy(size: int, numbered: bool) -> None:
    made = frame(size)
    parts = made.wire(numbered)
    assert made.wire(numbered) is parts
    if size >= SHARED_BYTES:
        text = memoryview(parts[1])
        assert text.obj is made.data


CHAT = b'{"route":"/chats/post","event":"complete","payload":{"message_ids":["a","b"],"messages":{"a":1,"b":2}},"error":null}'


def test_of_a_chat_a_brief_frame_has_the_newest_message_or_the_one_that_it_is_about_and_the_number_whenever_that_comes() -> (
    None
):
    made = Frame.of_data(CHAT)
    assert made.brief.data == CHAT.replace(b'"a":1,', b"")
    made.offset = 7
    assert read(b"".join(made.brief.wire(numbered=True))) == made.brief.data[:-1] + NUMBER
    about = Frame.of_data(CHAT)
    about.about = ALICE
    assert about.brief.data == made.brief.data
    other = Frame.of_data(CHAT.replace(b'"a"', b'"%s"' % str(ALICE).encode()))
    other.about = ALICE
    assert b'"messages":{"%s":1}' % str(ALICE).encode() in other.brief.data


def test_what_is_no_chat_of_a_stream_is_the_same_when_it_is_brief() -> None:
    for text in (CHAT.replace(b"complete", b"getChat"), CHAT.replace(b"/chats/post", b"/chats/get"), b"{}"):
        made = Frame.of_data(text)
        assert made.brief is made


def test_a_message_that_cannot_be_encoded_is_refused_when_its_frame_is_made() -> None:
    error = WsError(WsErrorCode.BAD_REQUEST, "\ud800")
    message = WsResponseMessage("/", "error", None, SentBy(ALICE, "Alice"), error, WsSendMethod.ALL)
    with pytest.raises(UnicodeEncodeError):
        Frame(message)
