"""Who hears what a broker publishes, and what is published."""

import json
from typing import Any

import anyio
from websockets.asyncio.client import connect

from backends.broker import MemoryBroker
from backends.frame import Frame
from schemas.chats import TextResponse
from schemas.errors import WsError, WsErrorCode
from schemas.events import GeneratingResponseMessage, WsEvent
from schemas.frames import SentBy, WsResponseMessage, WsSendMethod
from tests.support.client import TIMEOUT_S, fold, is_end, is_heartbeat
from tests.support.house import House
from tests.support.redis import place_in
from tests.support.world import ALICE, uuid


class Ear:
    """A subscriber that remembers."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.heard: list[str] = []
        self.offsets: list[int] = []
        self.is_cut = False

    def put(self, frame: Frame) -> None:
        if self.is_cut:
            return
        assert frame.message.error
        self.heard.append(frame.message.error.message)
        self.offsets.append(frame.offset)

    def cut(self) -> None:
        self.is_cut = True


def said(text: str, method: WsSendMethod = WsSendMethod.ALL, event: WsEvent | str = "error") -> Frame:
    error = WsError(WsErrorCode.BAD_REQUEST, text)
    return Frame(WsResponseMessage("/", event, None, SentBy(ALICE, "Alice"), error, method))


def delta(part: int, text: str) -> Frame:
    payload = GeneratingResponseMessage(TextResponse(uuid(part), None, text, False), uuid(5), uuid(6), "in_progress")
    sent_by = SentBy(ALICE, "Alice")
    return Frame(
        WsResponseMessage("/chats/post", WsEvent.GENERATING_RESPONSE_MESSAGE, payload, sent_by, None, WsSendMethod.ALL)
    )


def told(frames: list[Frame]) -> dict[str, str]:
    """The texts that a client has after these frames."""
    texts: dict[str, str] = {}
    for frame in frames:
        part = json.loads(frame.data)["payload"]["response_message"]
        texts[part["id"]] = texts.get(part["id"], "") + part["message_chunk"]
    return texts


class Tab:
    """A tab that can resume: it keeps every frame it got, and goes on from the last."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.place = ""
        self.frames: list[dict[str, Any]] = []
        self.resumed: list[dict[str, Any]] = []

    async def read(self, count: int | None, post: dict[str, object] | None = None) -> None:
        """Connect, read so many frames or up to an end, and be cut."""
        url = f"{self.house.url}?authentication={self.house.token()}&since={self.place}"
        async with connect(url, max_size=None, max_queue=None) as socket:
            with anyio.fail_after(TIMEOUT_S):
                first = json.loads(await socket.recv())
                assert (first["route"], first["event"]) == ("/stream", "resumed")
                self.resumed.append(first["payload"])
                self.place = self.place or f"{first['payload']['epoch']}:{first['payload']['offset']}"
                if post:
                    await socket.send(json.dumps({"route": "/chats/post", "payload": post}))
                while count is None or (count > 0 and (post or not self.is_up_to_date())):
                    if is_heartbeat(frame := json.loads(await socket.recv())):
                        continue
                    assert list(frame)[-1] == "offset"
                    self.frames.append(frame)
                    self.place = f"{first['payload']['epoch']}:{frame['offset']}"
                    count = None if count is None else count - 1
                    if is_end(frame):
                        break
            socket.transport.abort()

    def is_up_to_date(self) -> bool:
        broker = self.house.backends.broker
        if not isinstance(broker, MemoryBroker):
            return self.place == place_in(self.house.settings.broker_url, ALICE)
        log = broker._users[ALICE].log
        return log is not None and self.place == f"{log.epoch}:{log.offset}"

    def chat(self) -> dict[str, Any]:
        offsets = [frame["offset"] for frame in self.frames]
        assert offsets == sorted(set(offsets))
        assert all(resumed["recovered"] for resumed in self.resumed)
        return fold(self.frames)
