"""The load client: connections of a compiled WebSocket library, which keep what comes and when, and check it afterwards.

It is never what is measured: it only appends while a server works, and reads what it has when the server is done.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

END = b'"complete"'  # within the first bytes of the last frame, in whatever envelope
HEAD = 64
PATIENCE_S = 60.0  # for any one answer


@dataclass(frozen=True)
class Wire:
    """How a server is talked to: most as Threadcast is, Socket.IO in an envelope of its own."""

    path: str = "/api/v1/ws?authentication="
    socketio: bool = False

    def post(self, payload: dict[str, object]) -> bytes:
        """The frame that posts."""
        frame = msgspec.json.encode({"route": "/chats/post", "payload": payload})
        return b'42["post",' + frame + b"]" if self.socketio else frame

    def frame(self, text: bytes) -> Any:
        """What a frame of the server says."""
        return msgspec.json.decode(text[2:])[1] if self.socketio else msgspec.json.decode(text)


class Connection(WSListener):  # type: ignore[misc]
    """One open connection."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.transport: WSTransport = None
        self.ready = asyncio.Event()
        self.frames: list[bytes] = []
        self.times: list[float] = []  # when each came, by time.perf_counter
        self._ends_left = 0
        self._done = asyncio.Event()
        self._came = asyncio.Event()  # any frame

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        if not self.wire.socketio:
            self.ready.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        text = frame.get_payload_as_bytes()
        if self.wire.socketio and self._is_of_engine(text):
            return
        self.frames.append(text)
        self.times.append(time.perf_counter())
        self._came.set()
        if END in text[:HEAD]:
            self._ends_left -= 1
            if self._ends_left <= 0:
                self._done.set()

    def _is_of_engine(self, text: bytes) -> bool:
        """Answer what Socket.IO wants answered."""
        match text[:1], text[:2]:
            case (b"0", _):
                self.transport.send(WSMsgType.TEXT, b"40")
            case (b"2", _):
                self.transport.send(WSMsgType.TEXT, b"3")
            case (_, b"40"):
                self.ready.set()
            case _:
                return False
        return True

    def expect(self, ends: int = 1) -> None:
        """Forget what came, and wait for so many ends from now on."""
        self.frames, self.times, self._ends_left = [], [], ends
        self._done.clear()

    def send(self, text: bytes) -> None:
        """Send one text frame."""
        self.transport.send(WSMsgType.TEXT, text)

    async def ask(self, route: str, payload: dict[str, object]) -> Any:
        """Send a request that is answered by one frame, and wait for that."""
        self.frames = []
        self._came.clear()
        self.send(msgspec.json.encode({"route": route, "payload": payload}))
        await asyncio.wait_for(self._came.wait(), PATIENCE_S)
        return msgspec.json.decode(self.frames[0])

    async def done(self) -> None:
        """Wait for the ends that are expected."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._done.wait()
        except TimeoutError:
            missing = f"{self._ends_left} ends are missing after {len(self.frames)} frames"
            raise TimeoutError(f"{missing}, the last of them {self.frames[-1][:500] if self.frames else None!r}") from None

    def words(self) -> int:
        """Check one answer, and return of how many words it is. Raises ValueError when its deltas are not its text."""
        chunks: list[str] = []
        whole = None
        for text in self.frames:
            frame = self.wire.frame(text)
            if frame.get("error"):
                raise ValueError(frame["error"])
            part = (frame["payload"] or {}).get("response_message")
            if part and part["message"] is None:
                chunks.append(part["message_chunk"])
            elif part:
                whole = part["message"]
        if whole is None or "".join(chunks) != whole:
            raise ValueError("an answer that is not what its deltas add up to")
        return len(whole.split())


async def connected(port: int, wire: Wire, users: Iterable[str]) -> list[Connection]:
    """A connection for each of the users, or tokens."""

    async def connect(user: str) -> Connection:
        url = f"ws://127.0.0.1:{port}{wire.path}{user}"
        async with at_once:
            _, connection = await ws_connect(lambda: Connection(wire), url, max_frame_size=2**26)
            await connection.ready.wait()
        return connection

    at_once = asyncio.Semaphore(20)
    return list(await asyncio.gather(*map(connect, users)))


def close(connections: Iterable[Connection]) -> None:
    """Drop them."""
    for connection in connections:
        connection.transport.disconnect()
