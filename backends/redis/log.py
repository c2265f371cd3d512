"""A user's log in Redis, as a node writes and reads it. `scripts.py` describes its keys."""

import math
from typing import Any, NamedTuple
from uuid import UUID

from backends.frame import Frame, joined_frames
from backends.redis.link import Command
from backends.redis.outgoing import Order, Outgoing
from backends.redis.scripts import LOSE_SHA, READ_SHA, RENEW_SHA, SPEAK_SHA, TOUCH_SHA
from backends.resume import ResumeLimits, Resumption
from backends.streams import STORED_END
from schemas.frames import WsSendMethod

EPOCH = 16  # characters of an epoch
OFFSET = 16  # digits of an offset, at most
NO_EPOCH = "-"
READ_BACK = 16  # frames read before the place of one that resumes: twice a user's runs at once, by default

METHODS = {method.value.encode(): method for method in WsSendMethod}


class PublishedFrame(NamedTuple):
    """A frame as it came from Redis, with the node that published it and the number that it had there."""

    offset: int
    node: str
    number: int
    user_id: str
    method: WsSendMethod
    sender_id: str | None
    text: bytes

    @classmethod
    def kept(cls, id: bytes, blob: bytes) -> "PublishedFrame":
        """An entry of a log."""
        head, _, text = blob.partition(b"\n")
        node, number, user_id, method, sender_id = head.split(b" ")
        sender = None if sender_id == b"-" else sender_id.decode()
        offset = int(id.partition(b"-")[0])
        return cls(offset, node.decode(), int(number), user_id.decode(), METHODS[method], sender, text)

    @classmethod
    def read(cls, entries: "list[Any]") -> "list[PublishedFrame]":
        """Entries of a log, as Redis answers them."""
        return [cls.kept(id, fields[1]) for id, fields in entries]

    @classmethod
    def published(cls, data: bytes) -> "PublishedFrame":
        """A message of the channel."""
        offset, _, blob = data.partition(b" ")
        return cls.kept(offset, blob)

    def frame(self) -> Frame:
        """The frame with its number."""
        frame = Frame.of_data(self.text, self.offset)
        frame.asked_by = self.sender_id
        if self.sender_id and self.sender_id.startswith(STORED_END):
            frame.about = UUID(self.sender_id.removeprefix(STORED_END))
        return frame


class Place(NamedTuple):
    """The answer to READ: a user's place, and the frames after the asked offset. `whole`: all of them are still there.

    `fence`: the asking node's own frames up to this number were published before. `lost`: frames at this offset, or before it,
    were lost on their way to other nodes.
    """

    epoch: str
    offset: int
    whole: bool
    fence: int
    entries: list[PublishedFrame]
    lost: int

    @classmethod
    def of(cls, answer: list[object]) -> "Place | None":
        """The place in an answer, or None."""
        match answer:
            case [bytes(epoch), bytes(offset), int(whole), bytes(fence), list(entries), bytes(lost)]:
                return cls(epoch.decode(), int(offset), bool(whole), int(fence), PublishedFrame.read(entries), int(lost))
            case _:
                return None

    def resumption(self, since: str, held: list[Frame]) -> Resumption:
        """The answer to `since`. `held`: the frames that came after this place was read."""
        if not since:
            return Resumption(self.epoch, self.offset, True, held)
        if not self.whole:
            return Resumption(self.epoch, self.offset, False, held)
        missed = joined_frames(entry.frame() for entry in self.entries)
        return Resumption(self.epoch, int(since.rpartition(":")[2]), True, [*missed, *held])


class Channels(NamedTuple):
    """The channels that all nodes listen to. Redis' channels are those of all its databases, so a name says which is meant."""

    frames: bytes
    notices: bytes
    losses: bytes  # tells of users whose frames a node has lost; nodes of the version before do not know it

    @classmethod
    def of(cls, database: int) -> "Channels":
        """The channels of the nodes that share this database."""
        return cls(*(b"threadcast:%d:%s" % (database, name) for name in (b"frames", b"notices", b"losses")))


class Logs:
    """The commands of one node. `floor`: the highest offset that it has seen; a new place begins above it.

    `run_id`: that of the Redis that they are for. What another one was told is not read, and expires.
    """

    def __init__(self, node: str, channel: bytes, limits: ResumeLimits) -> None:
        self.floor = 0
        self.run_id = ""
        self._node = node
        self._channel = channel
        self._limits = limits
        self._seconds = math.ceil(limits.seconds)

    def see(self, offset: int) -> None:
        """Note an offset that is in use."""
        self.floor = max(self.floor, offset)

    def publish_command(self, outgoing: Outgoing, until: int | str) -> Command:
        """Number a frame, keep it unless it is for one connection only, and publish it. `until`: by Redis' clock."""
        user_id, method, number = outgoing.user_id, outgoing.method, outgoing.number
        head = f"{self._node} {number} {user_id} {method.value} {outgoing.sender_id or '-'}\n"
        blob = head.encode() + outgoing.frame.data
        kept = () if method is WsSendMethod.SENDER_ONLY else (self._limits.entries, self._limits.size)
        told = (self._node, self.floor, self._seconds, number, blob, self._channel, until)
        return ("EVALSHA", SPEAK_SHA, 3, *self._keys(user_id), *told, *kept)

    def read(self, user_id: str, since: str) -> Command:
        """The command that reads what came after `since`, a client's own word. Its answer is a Place."""
        epoch, _, offset = since.rpartition(":")
        if since and not (len(epoch) == EPOCH and offset.isascii() and offset.isdigit() and len(offset) <= OFFSET):
            epoch, offset = NO_EPOCH, "0"
        return self._read(user_id, epoch, offset or "0")

    def read_back(self, user_id: str, since: str) -> Command | None:
        """The command that reads the last frames up to `since`, the newest first; None for an empty `since`."""
        _, _, offset = since.rpartition(":")
        if not (offset.isascii() and offset.isdigit() and len(offset) <= OFFSET and int(offset)):
            return None
        return ("XREVRANGE", self._keys(user_id)[1], f"{int(offset)}-0", "-", "COUNT", READ_BACK)

    def read_all(self, user_id: str, after: int) -> Command:
        """The command that reads all that is known after this offset, of any epoch. Its answer is a Place, if there is one."""
        return self._read(user_id, "*", str(after))

    def _read(self, user_id: str, epoch: str, offset: str) -> Command:
        return ("EVALSHA", READ_SHA, 3, *self._keys(user_id), self._node, self.floor, self._seconds, epoch, offset)

    def renew(self, user_id: str) -> Command:
        """A new epoch, if there is one."""
        return ("EVALSHA", RENEW_SHA, 1, self._keys(user_id)[0], self._node)

    def lose(self, user_id: str, channel: bytes) -> Command:
        """Frames of the user will not be told: a new epoch, and a word to the other nodes."""
        told = f"{self._node} {user_id}"
        return ("EVALSHA", LOSE_SHA, 1, self._keys(user_id)[0], self._node, self.floor, self._seconds, channel, told)

    def touch(self, user_id: str) -> Order:
        """Keep what there is for a while."""
        place, log, _ = self._keys(user_id)
        return Order(("EVALSHA", TOUCH_SHA, 2, place, log, self._seconds))

    def _keys(self, user_id: str) -> tuple[str, str, str]:
        user, run_id = f"threadcast:{{{user_id}}}", self.run_id
        return f"{user}:place:{run_id}", f"{user}:log:{run_id}", f"threadcast:fence:{self._node}:{run_id}"
