"""The streams that connections of this node have heard begin and not end, so that none of them stays without its one end.

The node that runs an answer stores its end and then tells it. A node that dies in between, or that tells the end while Redis is
away and then goes, leaves streams without an end on the other nodes. Each node therefore remembers the streams that it hears,
by their frames, looks up in the database those that have fallen silent, and tells the stored end of those that have one. Every
connection is told one end, also when the node's own frame comes after all: an end that was told here is not told again.
"""

from collections.abc import Iterator
from uuid import UUID

import msgspec

from backends.brief import END, STREAM, has_chat
from backends.stream import Stream

MOST_PER_USER = 100  # open streams of one user; of more, the oldest is forgotten. By default a user may have 8 runs
MOST_ENDED = 10_000  # ends that are remembered: about 1 MB, and minutes of a busy node. A second end comes within a lease

DELTA, ERROR = STREAM + b"generating", STREAM + b'postThread"'
MESSAGE_ID = b'","message_id":"'  # in a delta, directly after the chat's id
ID = 36  # characters of a UUID

# The `sender_id` of a frame for all connections may be this and a message's id. It is then the stored end of that message,
# for those connections that have heard the stream and no end. A node of the version before tells it to all connections.
STORED_END = "end:"


class _Message(msgspec.Struct):
    is_completed: bool


class _Chat(msgspec.Struct):
    id: str
    message_ids: list[str]
    messages: dict[str, _Message]


class _Whole(msgspec.Struct):
    payload: _Chat


_WHOLE = msgspec.json.Decoder(_Whole)


class Streams:
    """The open streams of all users here. A delta costs about half a microsecond; beginnings and ends are decoded in part."""

    def __init__(self) -> None:
        self._open: dict[str, dict[bytes, Stream]] = {}  # by user and message
        self._ended: dict[bytes, None] = {}
        self._turn = 0

    def __iter__(self) -> Iterator[Stream]:
        return (stream for streams in self._open.values() for stream in streams.values())

    def __contains__(self, stream: object) -> bool:
        """Whether the stream is open."""
        return isinstance(stream, Stream) and _key(stream.message_id) in self._open.get(stream.user_id, ())

    def hear(self, user_id: str, node: str, text: bytes, sender_id: str | None = None) -> bool:
        """Take note of a frame of another node for all connections of a user. False when it tells an end a second time."""
        if text.startswith(DELTA):
            at = text.rfind(MESSAGE_ID)
            id = text[at + len(MESSAGE_ID) : at + len(MESSAGE_ID) + ID]
            if (streams := self._open.get(user_id)) and (stream := streams.get(id)):
                stream.turn = self._turn
            elif at > 0:  # a connection that came in the middle of the stream hears its end, too
                self._begin(Stream(user_id, text[at - ID : at].decode(), id.decode(), self._turn, node))
            return True
        if sender_id and sender_id.startswith(STORED_END):
            return self._end(user_id, _key(sender_id.removeprefix(STORED_END)))
        if text.startswith(ERROR):
            self._hear_error(user_id, node)
            return True
        return not has_chat(text) or self._hear_chat(user_id, node, text)

    def _hear_chat(self, user_id: str, node: str, text: bytes) -> bool:
        try:
            chat = _WHOLE.decode(text).payload
        except msgspec.DecodeError:  # a node of a newer version sent it
            return True
        if text.startswith(END):
            return self._hear_end(user_id, chat)
        for id, message in chat.messages.items():
            if not message.is_completed:
                self._begin(Stream(user_id, chat.id, id, self._turn, node))
        return True

    def _hear_error(self, user_id: str, node: str) -> None:
        """An error names no message. Its node says before which one fails. If that is lost, its only open stream is meant."""
        streams = [each for each in self._open.get(user_id, {}).values() if not each.own and each.node in (node, None)]
        if failing := next((each for each in streams if each.is_failing), None):
            self._end(user_id, _key(failing.message_id))
        elif len(streams) == 1:
            self._close(user_id, _key(streams[0].message_id))
        else:
            for stream in streams:
                stream.is_doubtful = True

    def _hear_end(self, user_id: str, chat: _Chat) -> bool:
        last = _key(chat.message_ids[-1]) if chat.message_ids else b""
        if self._end(user_id, last):
            return True
        done = [_key(id) for id, message in chat.messages.items() if message.is_completed]
        if [id for id in done if self._end(user_id, id)]:  # a message that is not the last was answered again
            return True
        if last in self._ended:
            return False
        self._remember_end(last)
        return True

    def begin(self, user_id: UUID, chat_id: UUID, message_id: UUID) -> None:
        """A run of this node begins to tell. It tells its own end."""
        self._begin(Stream(str(user_id), str(chat_id), str(message_id), self._turn, None, own=True))

    def end(self, user_id: UUID, message_id: UUID) -> None:
        """All connections of the user here are being told an end by this node."""
        key = _key(str(message_id))
        self._close(str(user_id), key)
        self._remember_end(key)

    def is_open(self, user_id: UUID, chat_id: UUID) -> bool:
        """Whether the user's connections here have heard another node's stream in this chat begin, and not end."""
        return any(each.chat_id == str(chat_id) and not each.own for each in self._open.get(str(user_id), {}).values())

    def has_other(self, user_id: UUID, chat_id: UUID, message_id: UUID) -> bool:
        """Whether a node, this one or another, still tells another message of this chat: that end comes first."""
        open = self._open.get(str(user_id), {}).values()
        return any(each.chat_id == str(chat_id) and each.message_id != str(message_id) for each in open)

    def has_ended(self, message_id: UUID) -> bool:
        """Whether this node lately sent the stream's end to its connections, and has not heard the stream begin again since."""
        return _key(str(message_id)) in self._ended

    def runs_again(self, message_id: UUID) -> None:
        """The message is being answered by another node: if it has ended before, that was another run's end."""
        self._ended.pop(_key(str(message_id)), None)

    def remember(self, user_id: UUID | str, chat_id: UUID | str, message_id: UUID | str) -> None:
        """Connections here are in the middle of this stream, and another node tells its end, if it has not been told here."""
        stream = Stream(str(user_id), str(chat_id), str(message_id), self._turn, None)
        known = self._open.get(stream.user_id, {}).get(_key(stream.message_id))
        if known:
            known.own = False
        elif _key(stream.message_id) not in self._ended:
            self._begin(stream)

    def failing(self, user_id: UUID, message_id: UUID) -> None:
        """The node that tells this stream says that the error that it tells next is the stream's end."""
        if stream := self._open.get(str(user_id), {}).get(_key(str(message_id))):
            stream.is_failing = True

    def forget(self, user_id: str) -> None:
        """The user has no connection here any more."""
        for stream in list(self._open.get(user_id, {}).values()):
            if not stream.own:
                self._close(user_id, _key(stream.message_id))

    def reconnect(self, is_same: bool) -> None:
        """Redis is there again, and others may still be about to tell it what has waited for it.

        If it is not the same one, what the last one was told while this node was away is lost.
        """
        for stream in self:
            stream.looks = 0
            stream.has_gap = stream.has_gap or not is_same

    def silent(self) -> list[Stream]:
        """The streams of other nodes of which nothing was heard since the last call but one. To be called at intervals."""
        self._turn += 1
        return [stream for stream in self if not stream.own and stream.turn < self._turn - 1]

    def _begin(self, stream: Stream) -> None:
        key = _key(stream.message_id)
        self._ended.pop(key, None)
        streams = self._open.setdefault(stream.user_id, {})
        streams[key] = stream
        if len(streams) > MOST_PER_USER:
            del streams[next(iter(streams))]

    def _end(self, user_id: str, key: bytes) -> bool:
        """False when it was not open."""
        if not self._close(user_id, key):
            return False
        self._remember_end(key)
        return True

    def _close(self, user_id: str, key: bytes) -> bool:
        streams = self._open.get(user_id)
        if not streams or streams.pop(key, None) is None:
            return False
        if not streams:
            del self._open[user_id]
        return True

    def _remember_end(self, key: bytes) -> None:
        self._ended.pop(key, None)
        self._ended[key] = None
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]


def _key(message_id: str) -> bytes:
    return message_id.encode()
