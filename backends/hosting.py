"""uvicorn, as Threadcast needs it: connections that really end, a start that can say so, and a stop that drains first."""

import asyncio
import logging
import signal
import struct
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from types import FrameType
from typing import Any

import anyio
import uvicorn
from starlette.types import ASGIApp, Message
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from backends.http_protocol import HttpProtocol, Unheard, unsent
from backends.logs import WIRE, log_config

# From our close frame to the end of the connection. A peer that reads has answered long before.
CLOSE_GRACE_S = 3.0
# Pings, pongs and fragments too short to be of use: each costs us as much as a frame, and the client next to nothing.
TRIFLES_PER_SECOND = 1024
USEFUL_FRAGMENT_BYTES = 64
# From this size on a text frame is handed to the transport in parts, uncopied, so that connections share its bytes.
SHARED_BYTES = 2**14
METRICS = "metrics"  # the key of the lifespan's state that has the application's `Metrics`, where it has any
LINE = "threadcast.line"  # the extension of a WebSocket's scope that has its `Protocol`, to send frames by
# For open requests at a shutdown, after which they are cancelled. Runs are not requests: they have been drained before.
SHUTDOWN_GRACE_S = 5

logger = logging.getLogger("threadcast")
wire_logger = logging.getLogger(WIRE)

# Called with the lifespan's state when the server is to stop, before any connection is closed. The event: no more patience.
Drain = Callable[[Mapping[str, Any], anyio.Event], Awaitable[None]]


class Connection(ServerProtocol):
    """Takes a close frame between the fragments of a message as RFC 6455 does (5.4): to websockets' own it is an error."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None  # no message is being received any more
        super().recv_frame(frame)


class Protocol(WebSocketsSansIOProtocol):
    """Closes also a connection whose peer has stopped reading: uvicorn's own would wait for its buffer to drain, for ever.

    As the scope's extension LINE it sends text frames that are encoded already, without the layers of ASGI and without a copy.
    """

    def __init__(self, config: uvicorn.Config, *arguments: Any, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._abort: asyncio.TimerHandle | None = None
        self._lost: Callable[[], None] = lambda: None
        self.heard_at = 0.0  # by the loop's clock, when the peer last sent anything
        self._heard: asyncio.Future[None] | None = None  # is done when it does so again
        self._second = 0  # the one in which `_trifles` were counted
        self._trifles = 0
        self._pong = b""  # for the newest ping that came while there was no room: it answers all, RFC 6455 section 5.5.3
        self.logger = wire_logger
        self.conn = Connection(max_size=config.ws_max_size, logger=wire_logger)

    @property
    def unsent(self) -> int:
        """Bytes that the peer has not taken yet."""
        return unsent(self.transport)

    def send_text(self, data: bytes, end: bytes = b"") -> bool:
        """Send a text frame: `data`, with `end`, if there is one, in place of its last byte. Whether there is room for more.

        Raises OSError when the peer is gone or the connection is being closed.
        """
        if self.conn.state is not State.OPEN or self.disconnected:
            raise ClientDisconnected
        size = len(data) + len(end) - 1 if end else len(data)
        if size < SHARED_BYTES:
            self.transport.write(_head(size) + (data[:-1] + end if end else data))
        else:
            self.transport.writelines((_head(size), memoryview(data)[:-1], end) if end else (_head(size), data))
        return self.writable.is_set()

    async def drained(self) -> None:
        """Wait until there is room for more, or the peer is gone."""
        await self.writable.wait()

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Call this once the connection is lost, with all that is unsent. Takes one callback."""
        if self.disconnected:
            callback()
        else:
            self._lost = callback

    async def answers(self, seconds: float) -> bool:
        """Ping the peer. Whether it has sent or taken anything within `seconds`."""
        if self.conn.state is not State.OPEN or self.disconnected:
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
        if not self.close_sent:  # else it was no upgrade, and has no scope
            self.scope["extensions"][LINE] = {LINE: self}

    async def send(self, message: Message) -> None:  # type: ignore[override]
        if message["type"] == "websocket.close":
            self.writable.set()  # do not wait behind what will never be read
            self._end_soon()
        await super().send(message)  # type: ignore[arg-type]
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # by a refusal: uvicorn would log it as an error of the application

    def data_received(self, data: bytes) -> None:
        self.heard_at = self.loop.time()
        if self._heard is not None:
            self._heard.set_result(None)
            self._heard = None
        # uvicorn's own forgets the good frames that came with one that ends the connection.
        self.conn.receive_data(data)
        self.handle_events()
        if self.conn.handshake_exc is not None and not self.handshake_initiated:  # uvicorn's own would never answer
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
        # uvicorn's own says 1005, which is a close frame without a code. Unread if there was any close frame.
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
        super().connection_lost(exc)
        self._lost()
        if self._abort is not None:
            self._abort.cancel()

    def shutdown(self) -> None:
        if not self.transport.is_closing():  # else all has been said, and uvicorn's own would fail
            super().shutdown()
        self._end_soon()

    def on_task_complete(self, task: "asyncio.Task[None]") -> None:
        super().on_task_complete(task)
        self._end_soon()

    def handle_ping(self) -> None:
        self._count_trifle()
        if self.writable.is_set():
            super().handle_ping()
        elif pongs := self.conn.data_to_send():  # all that wait would be memory that no bound knows of
            self._pong = pongs[-1]

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._pong and self.conn.state is State.OPEN:
            self.transport.write(self._pong)
        self._pong = b""

    def handle_pong(self, event: Frame) -> None:
        self._count_trifle()
        super().handle_pong(event)

    def handle_cont(self, event: Frame) -> None:
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


class Server(uvicorn.Server):
    """Calls `ready` once it can be talked to, drains at Ctrl-C or SIGTERM, and then exits with 0.

    `max_unheard` bounds the sockets without a request, `max_frame_bytes` what a client may send at once; a client is pinged
    every `ping_seconds` and closed when it has not answered for `pong_seconds`. The log tells only these `paths`.
    """

    def __init__(
        self,
        app: ASGIApp,
        drain: Drain,
        *,
        host: str,
        port: int,
        max_unheard: int,
        max_frame_bytes: int,
        ping_seconds: float,
        pong_seconds: float,
        log_level: str,
        paths: Collection[str] = (),
        ready: Callable[[], None] | None = None,
    ) -> None:
        unheard = Unheard(max_unheard)
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=partial(HttpProtocol, unheard=unheard),  # type: ignore[arg-type]
            ws=Protocol,
            ws_max_size=max_frame_bytes,
            ws_ping_interval=ping_seconds,
            ws_ping_timeout=pong_seconds,
            ws_per_message_deflate=False,  # costs speed and about 50 KiB a connection
            lifespan="on",
            log_config=log_config(log_level, paths),
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        )
        super().__init__(config)
        self._drain = drain
        self._unheard = unheard
        self._hurry = anyio.Event()
        self._ready = ready
        self.failed = False  # the application has ended by itself

    def run(self, sockets: Any = None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _leave)  # uvicorn raises the signal again when it has shut down
        # Not uvicorn's own: in anyio's the loop is known to be asyncio's, which each Event and checkpoint else finds out anew.
        anyio.run(self.serve, sockets, backend_options={"use_uvloop": True})
        if self.failed:
            raise SystemExit(1)

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if METRICS in self.lifespan.state:
            self._unheard.measured_by(self.lifespan.state[METRICS])
        if self._ready:
            self._ready()

    async def on_tick(self, counter: int) -> bool:
        if self.lifespan.shutdown_event.is_set() and not self.failed:
            logger.critical("the application has ended by itself, so the server ends, too")
            self.failed = True
        return await super().on_tick(counter) or self.failed

    async def shutdown(self, sockets: Any = None) -> None:
        await self._drain(self.lifespan.state, self._hurry)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:  # the second one
            asyncio.get_running_loop().call_soon_threadsafe(self._hurry.set)
        self.should_exit = True
        self._captured_signals.append(sig)


def _head(size: int) -> bytes:
    """Of an unmasked text frame, RFC 6455 section 5.2."""
    if size < 126:
        return bytes((0x81, size))
    return struct.pack("!BBH", 0x81, 126, size) if size < 2**16 else struct.pack("!BBQ", 0x81, 127, size)


def _leave(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # Python's last steps would take another one as a cause of death
    raise SystemExit(0)
