"""WebSocket by uvicorn, as Threadcast needs it: connections that really end, and frames that are sent as they are encoded."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import Message
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets import frames
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from backends.bursts import Burst
from backends.frame import Frame, Parts
from backends.inbox import Inbox
from backends.logs import WIRE
from backends.transports import unsent

# Seconds from our close frame to the end of the connection. A peer that reads answers much sooner.
CLOSE_GRACE_S = 3.0
# Pings, pongs and tiny fragments: each costs the server as much as a whole frame, and the client hardly anything.
TRIFLES_PER_SECOND = 1024
USEFUL_FRAGMENT_BYTES = 64
LINE = "threadcast.line"  # the extension in a WebSocket's scope that holds its `Protocol`, which sends frames

logger = logging.getLogger(WIRE)


class WireConnection(ServerProtocol):
    """Takes a close frame between the fragments of a message as RFC 6455 does (5.4): to websockets' own it is an error."""

    def recv_frame(self, frame: frames.Frame) -> None:
        if frame.opcode is frames.Opcode.CLOSE:
            self.current_size = None  # uvicorn's count of the message being received
        super().recv_frame(frame)


class Protocol(WebSocketsSansIOProtocol):
    """Closes also a connection whose peer has stopped reading: uvicorn's own would wait for its buffer to drain, for ever.

    As the scope's extension LINE it sends frames whose bytes are made already, without the layers of ASGI and without a copy.
    """

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._abort: asyncio.TimerHandle | None = None
        self._lost: Callable[[], None] = lambda: None
        self.on_room: Callable[[], None] = lambda: None
        self._burst = Burst(self.loop, self._write)
        self.queue = Inbox()  # type: ignore[assignment]
        self.heard_at = 0.0  # by the loop's clock, when the peer last sent anything
        self._heard: asyncio.Future[None] | None = None  # done when the peer sends something again
        self._second = 0  # the second in which `_trifles` were counted
        self._trifles = 0
        self._pong = b""  # answers all pings that came while there was no room, RFC 6455 section 5.5.3
        self.logger = logger
        self.conn = WireConnection(max_size=config.ws_max_size, logger=logger)

    @property
    def unsent(self) -> int:
        """Bytes that the peer has not taken yet."""
        return unsent(self.transport)

    def send_frame(self, frame: Frame, numbered: bool) -> bool:
        """Send a frame, with its number or without. Whether there is room for more; `on_room` is called once there is.

        Raises OSError when the peer is gone or the connection is being closed.
        """
        if not self._is_open:
            raise ClientDisconnected
        self._burst.send(frame.wire(numbered), frame.size)
        return self.writable.is_set()

    @property
    def _is_open(self) -> bool:
        return self.conn.state is State.OPEN and not self.transport.is_closing()  # uvloop raises when it is written to then

    def _write(self, parts: Parts) -> None:
        if self._is_open:
            self.transport.writelines(parts)

    def close(self, code: int, reason: str) -> None:
        """Close with this code and reason, behind what has been sent."""
        task = self.loop.create_task(self._close(code, reason))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _close(self, code: int, reason: str) -> None:
        with suppress(ClientDisconnected, RuntimeError):  # the peer, or the application, was quicker
            await self.send({"type": "websocket.close", "code": code, "reason": reason})

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Call this once the connection is lost, with all that is unsent. Takes one callback."""
        if self.disconnected:
            callback()
        else:
            self._lost = callback

    def drop(self) -> None:
        """Nothing to do: the transport drops what waits when the connection is lost."""

    async def answers(self, seconds: float) -> bool:
        """Ping the peer. Whether it has sent or taken anything within `seconds`."""
        if not self._is_open:
            return False
        before = self.unsent
        if self._heard is None:
            self._heard = self.loop.create_future()
            self.conn.send_ping(b"")
            self.transport.write(b"".join(self.conn.data_to_send()))
        heard = self._heard
        await asyncio.wait((heard,), timeout=seconds)
        return heard.done() or (not self.disconnected and self.unsent < before)

    def end(self) -> bool:
        """End the connection, whose peer is gone, without waiting for the peer. Whether it was open."""
        if self.close_sent or self.transport.is_closing():
            return False
        self.keepalive_timeout()
        return True

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # else the upgrade failed, and there is no scope
            self.scope["extensions"][LINE] = {LINE: self}

    async def send(self, message: Message) -> None:  # type: ignore[override]
        if message["type"] == "websocket.close":
            self._burst.flush()
            self.writable.set()  # do not wait for a peer that will never read
            self._end_soon()
        await super().send(message)  # type: ignore[arg-type]
        if message["type"] == "websocket.accept":
            self._forget_handshake()
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # it was refused; otherwise uvicorn logs an error of the application

    def _forget_handshake(self) -> None:
        """Free what is needed no more: of an idle connection's memory it is a fifth."""
        for headers in (self.request.headers, self.response.headers, self.scope["headers"]):
            headers.clear()  # type: ignore[union-attr]  # in place, since the parser and the application hold them, too

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        if self._heard is not None:
            self._heard.set_result(None)
            self._heard = None
        # uvicorn would drop the good frames that came together with one that ends the connection.
        self.conn.receive_data(data)
        self.handle_events()
        if self.conn.handshake_exc is not None and not self.handshake_initiated:  # uvicorn would never answer it
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()
            self._end_soon()
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1011})
        self._end_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn says 1005, which means a close frame without a code. It is not read if a close frame came.
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        super().connection_lost(exc)
        self._lost()
        if self._abort is not None:
            self._abort.cancel()

    def shutdown(self) -> None:
        if not self.transport.is_closing():  # else it is closed already, and uvicorn would raise
            self._burst.flush()
            super().shutdown()
        self._end_soon()

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self._end_soon()

    def handle_ping(self) -> None:
        self._count_trifle()
        if self.writable.is_set():
            super().handle_ping()
        elif pongs := self.conn.data_to_send():  # to keep every pong would take memory that no bound counts
            self._pong = pongs[-1]

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pong and self.conn.state is State.OPEN:
            self.transport.write(self._pong)
        self._pong = b""
        self.on_room()

    def handle_pong(self, event: frames.Frame) -> None:
        self._count_trifle()
        super().handle_pong(event)

    def handle_cont(self, event: frames.Frame) -> None:
        if len(event.data) < USEFUL_FRAGMENT_BYTES and not event.fin:
            self._count_trifle()
        super().handle_cont(event)

    def _count_trifle(self) -> None:
        """Cut off a peer that does nothing but keep us busy: what it sends so fast is no message."""
        second = int(self.loop.time())
        if second != self._second:
            self._second, self._trifles = second, 0
        self._trifles += 1
        if self._trifles > TRIFLES_PER_SECOND:
            self.transport.abort()

    def _end_soon(self) -> None:
        if self._abort is None and not self.disconnected:
            self._abort = self.loop.call_later(CLOSE_GRACE_S, self.transport.abort)
