"""One WebSocket through the hostile proxy, frame by frame."""

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from tests.support.hostile_line import Line

HELD_S = 0.3  # for so long a frame waits for the next one, with which it is swapped
CLOSING_S = 1  # for so long a client may take to answer a close


class Socket:
    """A WebSocket of a client, and the proxy's own to the server."""

    def __init__(self, line: "Line") -> None:
        self.line, self.proxy, self.fault = line, line.proxy, line.fault
        self._protocol = ServerProtocol(max_size=None)
        self._is_muted = self._is_deserted = False
        self._held: str | None = None
        self._number = self._posted = 0
        self._server: ClientConnection | None = None
        self._gone = asyncio.Event()  # the client's side

    def mute(self) -> None:
        """Let nothing more out to the client, which does not see that."""
        self._is_muted = True

    def desert(self) -> None:
        """Cut the server's side."""
        self._is_deserted = True
        if self._server:
            self._server.transport.abort()

    async def serve(self, target: str, headers: dict[str, str], head: bytes) -> None:
        """Carry what both say, until either ends."""
        shut = self.fault("shut")
        if shut or self.fault("deaf"):
            self._is_deserted = True
            self._accept(head)
            listening = asyncio.ensure_future(self._inward())
            if shut:
                await self.close(shut.value)
            return await listening
        passed = [(name, value) for name, value in headers.items() if name in ("authorization", "origin")]
        url = f"ws://127.0.0.1:{self.proxy.to}{target}"
        options: dict[str, Any] = dict.fromkeys(("max_size", "max_queue", "ping_interval", "compression", "proxy"))
        try:
            self._server = await connect(url, additional_headers=passed, **options).__aenter__()
        except InvalidStatus as refused:
            response = refused.response
            return await self.line.refuse(
                response.status_code, (response.body or b"").decode(), response.headers.get("retry-after", "")
            )
        except InvalidHandshake:  # a server that dies
            return self.line.abort()
        self._accept(head)
        both = [asyncio.ensure_future(each) for each in (self._outward(self._server), self._inward())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def close(self, code: int) -> None:
        """Close with this code, and cut both sides once the client has answered."""
        if self._protocol.state is OPEN and not self._is_muted:
            self._protocol.send_close(code, "hostile")
            self._flush()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSING_S):
                    await self._gone.wait()
        self.line.abort()

    def _accept(self, head: bytes) -> None:
        self._protocol.receive_data(head)
        (request,) = self._protocol.events_received()
        assert isinstance(request, Request)
        self._protocol.send_response(self._protocol.accept(request))
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and not self._is_muted:
                self.line.writer.write(data)

    async def _inward(self) -> None:
        """What the client says, until it has closed."""
        try:
            while data := await self.line.reader.read(65536):
                self._protocol.receive_data(data)
                self._flush()
                for event in self._protocol.events_received():
                    if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                        await self._request(bytes(event.data).decode())
                if self._protocol.state is not OPEN:
                    return
        finally:
            self._gone.set()

    async def _request(self, text: str) -> None:
        request = json.loads(text)
        self.proxy.requests.append(request)
        self.proxy.tell()
        number = self._posted if request["route"] == "/chats/post" else -1
        self._posted += number >= 0
        if self.fault("lose", number):
            return self.line.abort()
        if self.fault("unanswered", number):
            self._is_muted = True
        if self._server and not self._is_deserted:
            with suppress(ConnectionClosed):
                await self._server.send(text)
        if self.fault("unanswered", number):
            await asyncio.sleep(0.05)  # in which the server takes it
            self.line.abort()

    async def _outward(self, server: ClientConnection) -> None:
        try:
            while True:
                try:
                    async with asyncio.timeout(HELD_S if self._held else None):
                        text = str(await server.recv())
                except TimeoutError:
                    text, self._held = self._held or "", None
                    await self._send(text)
                    continue
                number, self._number = self._number, self._number + 1
                await self._ill_treated(text, number)
        except ConnectionClosed as closed:
            if self._is_muted or self._is_deserted:
                await asyncio.Event().wait()
            await self.close(closed.rcvd.code if closed.rcvd else 1011)

    async def _ill_treated(self, text: str, number: int) -> None:
        frame = json.loads(text)
        numbered = "offset" in frame
        if (fault := self.fault("pause", number)) and not self._is_muted:
            await asyncio.sleep(fault.value / 1000)
        if self.fault("mute", number):
            self._is_muted = True
        if frame["event"] in self.proxy.loses:
            return self.proxy.loses.remove(frame["event"])
        if fault := self.fault("close", number):
            return await self.close(fault.value)
        if self.proxy.next_cut is not None:
            cut, self.proxy.next_cut = self.proxy.next_cut, None
            await self._send(text, cut=cut)
            return self.line.abort()
        if fault := self.fault("cut", number):
            await self._send(text, cut=fault.value)
            return self.line.abort()
        if self.fault("going", number):
            await self._send(_going(frame))
            await asyncio.sleep(0.1)
            return await self.close(1012)
        if self.fault("drop", number) and frame["route"] == "/chats/post" and not frame["error"]:
            return
        if self.fault("epoch", number) and frame["event"] == "resumed":
            frame["payload"]["epoch"] = "another"
        if self.fault("bare", number):
            frame.pop("offset", None)
        if self.fault("unknown", number):
            await self._send(json.dumps({**_going(frame, parsed=True), "event": "weather", "payload": {"sky": ["blue"]}}))
            frame = _strange(frame)
        text = json.dumps(frame)
        if self.fault("swap", number) and numbered and not self._held:
            self._held = text
            return
        await self._send(text, pieces=bool(self.fault("pieces", number)), one_by_one=bool(self.fault("bytes", number)))
        if self.fault("double", number) and "offset" in frame:
            await self._send(text)
        if self._held and numbered:
            text, self._held = self._held, None
            await self._send(text)
        if self.fault("orphan", number):
            self.desert()

    async def _send(self, text: str, *, pieces: bool = False, one_by_one: bool = False, cut: int | None = None) -> None:
        if self._is_muted or self._is_deserted or self._protocol.state is not OPEN:
            return
        data = text.encode()
        if pieces:
            third = len(data) // 3
            self._protocol.send_text(data[:third], fin=False)
            self._protocol.send_ping(b"between")
            self._protocol.send_continuation(data[third : 2 * third], fin=False)
            self._protocol.send_continuation(data[2 * third :], fin=True)
        else:
            self._protocol.send_text(data)
        written = b"".join(self._protocol.data_to_send())
        if cut is not None:
            written = written[: len(written) * cut // 1000]
        elif not one_by_one:
            self.proxy.frames.append(json.loads(text))
        await self.line.write(written, one_by_one)


def _going(frame: dict[str, Any], parsed: bool = False) -> Any:
    """A `goingAway` of who has sent the frame."""
    going = {"route": "/stream", "event": "goingAway", "payload": {"retry_after": 1}, "sent_by": frame["sent_by"]}
    going |= {"error": None, "send_method": "SenderOnly"}
    return going if parsed else json.dumps(going)


def _strange(frame: dict[str, Any]) -> dict[str, Any]:
    """The frame with keys that nobody knows; a piece of a title becomes another event, and so does not come."""
    if frame["event"] == "generatingTitle" and frame["payload"]["title_chunk"]:
        part = {"type": "hologram", "id": "7", "cube": [1, 2]}
        event, payload = "generatingResponseMessage", {key: frame["payload"][key] for key in ("chat_id", "message_id")}
        return {**frame, "event": event, "payload": {"response_message": part, **payload, "progress": "in_progress"}}
    payload = frame["payload"]
    if isinstance(payload, dict):
        payload = {**payload, "novelty": {"a": [1]}}
    return {**frame, "payload": payload, "novelty": None}
