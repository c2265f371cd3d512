"""uvicorn, as Threadcast needs it: connections that really end, a start that can say so, and a stop that drains first."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from types import FrameType
from typing import Any

import anyio
import uvicorn
from starlette.types import ASGIApp

from backends.http_protocol import HttpProtocol
from backends.logs import log_config
from backends.socket_protocol import Protocol
from backends.unanswered import UnansweredSockets

METRICS = "metrics"  # the key of the application's `Metrics` in the lifespan's state, if it has any
# Seconds for open requests at a shutdown; then they are cancelled. Runs are not requests: they have been drained before.
SHUTDOWN_GRACE_S = 5

logger = logging.getLogger("threadcast")

# Called with the lifespan's state at a stop, before any connection is closed. The event ends all waiting.
Drain = Callable[[Mapping[str, Any], anyio.Event], Awaitable[None]]


class Server(uvicorn.Server):
    """Calls `ready` once it can be talked to, drains at Ctrl-C or SIGTERM, and then exits with 0.

    `max_unheard` bounds the sockets without a request, `max_frame_bytes` what a client may send at once; a client is pinged
    every `ping_seconds` and closed when it has not answered for `pong_seconds`. The log tells only these `paths`, which may be
    asked for below `root_path`.
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
        root_path: str = "",
        ready: Callable[[], None] | None = None,
    ) -> None:
        unheard = UnansweredSockets(max_unheard)
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
            log_config=log_config(log_level, paths, root_path),
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
        # Not uvicorn's own loop: within anyio.run() each Event and checkpoint knows at once that the loop is asyncio's.
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
        if self.should_exit:  # the second signal
            asyncio.get_running_loop().call_soon_threadsafe(self._hurry.set)
        self.should_exit = True
        self._captured_signals.append(sig)


def _leave(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # another signal would kill Python while it ends
    raise SystemExit(0)
