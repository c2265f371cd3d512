"""The two ways to connect to a server."""

from collections.abc import Callable
from importlib.util import find_spec
from urllib.parse import urlsplit

from threadcast_client.line import Line, SocketLine

Make = Callable[[], Line]
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


def lines_to(url: str, is_events_needed: bool) -> tuple[Make, Make | None]:
    """What makes a WebSocket, and what makes a line of Server-Sent Events, where the extra `sse` is installed.

    Raises ValueError for what is no address of a server, and ImportError when events are needed and cannot be had.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.username is not None:
        raise ValueError("url must be http(s)://host[:port][/prefix], or the same with ws(s), without a user")
    base = f"{SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}"
    if find_spec("httpx2") is None:
        if is_events_needed:
            raise ImportError("without a WebSocket the client needs its extra: pip install 'threadcast-client[sse]'")
        return lambda: SocketLine(base), None

    from threadcast_client.events import EventLine

    return lambda: SocketLine(base), lambda: EventLine(f"http{base.removeprefix('ws')}")
