"""One connection through the hostile proxy: its head, and what goes over HTTP. `hostile_socket.py` has the WebSockets."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.support.hostile_socket import Socket

if TYPE_CHECKING:
    from tests.support.hostile import Fault, Hostile

NO_UPGRADE = "HTTP/1.1 {} Hostile\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{}\r\n{}"
WRONG = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: wrong\r\n\r\n"
CODES = {401: "UNAUTHORIZED", 429: "TOO_MANY_REQUESTS", 503: "SERVICE_UNAVAILABLE"}
AGAIN = (429, 503)
ONE_BY_ONE = 400  # bytes that go by themselves; each is a write


class Line:
    """One connection of a client, and what is done to it."""

    def __init__(self, proxy: "Hostile", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.reader, self.writer = reader, writer
        self.faults: Sequence[Fault] = ()
        self.ended = asyncio.Event()
        self.socket: Socket | None = None
        self._back: asyncio.StreamWriter | None = None

    def abort(self) -> None:
        """Cut both sides."""
        self.writer.transport.abort()
        if self.socket:
            self.socket.desert()
        if self._back:
            self._back.transport.abort()

    def fault(self, kind: str, at: int = 0) -> "Fault | None":
        return next((fault for fault in self.faults if fault.kind == kind and fault.at == at), None)

    async def serve(self) -> None:
        """Read the head, and do what becomes of it."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        request, *rest = head.decode("latin-1").split("\r\n")
        method, target, _ = request.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest if each)}
        is_upgrade = headers.get("upgrade", "").lower() == "websocket"
        if is_upgrade or (method == "GET" and "/api/v1/events" in target):
            self.proxy.ways.append(target)
            self.proxy.tokens.append(headers.get("authorization", "").removeprefix("Bearer ") or _token_in(target))
            self.faults = self.proxy.next_faults()
        else:
            self.proxy.http.append(f"{method} {target}")
            number = len(self.proxy.http) - 1
            self.faults = self.proxy.posts[number] if number < len(self.proxy.posts) else ()
        self.proxy.tell()
        refusal = self.fault("refuse")
        if refusal or (is_upgrade and self.proxy.blocked):
            await self.refuse(refusal.value if refusal else self.proxy.blocked)
        elif self.fault("hang"):
            await self.reader.read()
        elif is_upgrade and self.fault("wrong"):
            self.writer.write(WRONG.encode())
            await self.reader.read()
        elif is_upgrade:
            self.socket = Socket(self)
            await self.socket.serve(target, headers, head)
        else:
            await self._carried(head)

    async def refuse(self, status: int, body: str = "", retry_after: str = "") -> None:
        """Refuse as the server does, so that a client cannot tell the two apart."""
        if not body:
            code, again = CODES.get(status, "INTERNAL_SERVER_ERROR"), {"retry_after": 1} if status in AGAIN else {}
            body, retry_after = json.dumps({"code": code, "message": "hostile", **again}), "1" if again else ""
        after = f"retry-after: {retry_after}\r\n" if retry_after else ""
        self.writer.write(NO_UPGRADE.format(status, len(body.encode()), after, body).encode())
        await self.writer.drain()
        self.writer.close()

    async def write(self, data: bytes, one_by_one: bool) -> None:
        """Write, the first bytes of it one by one if it is to be."""
        single = min(len(data), ONE_BY_ONE) if one_by_one else 0
        for each in range(single):
            if self.writer.is_closing():
                break
            self.writer.write(data[each : each + 1])
            await asyncio.sleep(0)
        if self.writer.is_closing():
            raise ConnectionResetError("the client has gone")
        self.writer.write(data[single:])
        await self.writer.drain()

    async def _carried(self, head: bytes) -> None:
        """A request over HTTP, which has its connection for itself."""
        if self.fault("lose"):
            return
        lines = [line for line in head.split(b"\r\n")[:-2] if not line.lower().startswith(b"connection:")]
        reader, self._back = await asyncio.open_connection("127.0.0.1", self.proxy.to)
        self._back.write(b"\r\n".join([*lines, b"connection: close", b"", b""]))
        sending = asyncio.ensure_future(self._body(self._back))
        try:
            if self.fault("unanswered"):
                await asyncio.sleep(0.2)
                return
            number = 0
            while data := await reader.read(65536):
                if fault := self.fault("cut", number):
                    self.writer.write(data[: len(data) * fault.value // 1000])
                    await asyncio.sleep(0)
                    return
                if fault := self.fault("pause", number):
                    await asyncio.sleep(fault.value / 1000)
                if self.fault("mute", number):
                    return await sending  # until the client has gone
                await self.write(data, bool(self.fault("bytes", number)))
                number += 1
            self.writer.close()
            await self.writer.wait_closed()
        finally:
            sending.cancel()

    async def _body(self, back: asyncio.StreamWriter) -> None:
        """What the client sends after the head; its end is the end of both."""
        with suppress(OSError):
            while data := await self.reader.read(65536):
                back.write(data)
        self.abort()  # the client has gone


def _token_in(target: str) -> str:
    return target.partition("authentication=")[2].partition("&")[0]
