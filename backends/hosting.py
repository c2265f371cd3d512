"""uvicorn, as Threadcast needs it: connections that really end, a start that can say so, and logs without tokens."""

import logging
import signal
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# From our close frame to the end of the connection. A peer that reads has answered long before.
CLOSE_GRACE_S = 3.0
# For open requests at a shutdown, after which they are cancelled. Runs are not requests: the lifespan ends them.
SHUTDOWN_GRACE_S = 5


class Protocol(WebSocketsSansIOProtocol):
    """Closes also a connection whose peer has stopped reading: uvicorn's own would wait for its buffer to drain, for ever."""

    async def send(self, message: Message) -> None:  # type: ignore[override]
        if message["type"] == "websocket.close":
            self.writable.set()  # do not wait behind what will never be read
            self.loop.call_later(CLOSE_GRACE_S, self.transport.abort)
        await super().send(message)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        # uvicorn's own forgets the good frames that came with one that ends the connection.
        self.conn.receive_data(data)
        self.handle_events()
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.loop.call_later(CLOSE_GRACE_S, self.transport.abort)


class Server(uvicorn.Server):
    """Prints `banner` once it can be talked to, and exits with 0 after a clean stop by Ctrl-C or SIGTERM."""

    def __init__(self, app: ASGIApp, host: str, port: int, max_frame_bytes: int, log_level: str, banner: str = "") -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            ws=Protocol,
            ws_max_size=max_frame_bytes,
            ws_per_message_deflate=False,  # costs speed and about 50 KiB a connection
            lifespan="on",
            log_config=log_config(log_level),
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
        )
        super().__init__(config)
        self._banner = banner

    def run(self, sockets: Any = None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _leave)  # uvicorn raises the signal again when it has shut down
        super().run(sockets)

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self._banner:
            print(self._banner, flush=True)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


class WithoutQuery(logging.Filter):
    """Cuts the query string off the paths that uvicorn logs: it can hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("uvicorn") and isinstance(record.args, tuple):
            record.args = tuple(_without_query(argument) for argument in record.args)
        return True


def _without_query(argument: object) -> object:
    # Whatever it looks like: of an upgrade with an absolute URL uvicorn logs a path that begins with "http%3A//".
    return argument.partition("?")[0] if isinstance(argument, str) else argument


def log_config(level: str) -> dict[str, Any]:
    """For `logging.config`: our own lines from `level` on, uvicorn's from INFO on at most, others' warnings; all to stderr.

    Never uvicorn's DEBUG: there it logs handshakes with their headers, tokens included.
    """
    quiet = logging.getLevelName(max(logging.INFO, logging.getLevelNamesMapping()[level]))
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"without_query": {"()": WithoutQuery}},
        "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["without_query"]}},
        # Not on the root logger: it is the embedding program's. What others warn of reaches stderr by Python's last resort.
        "loggers": {
            "threadcast": {"level": level, "handlers": ["stderr"]},
            "uvicorn": {"level": quiet, "handlers": ["stderr"]},
        },
    }
