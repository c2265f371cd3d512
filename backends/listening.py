"""The sockets on which the server listens. They are opened first, so that a wrong address gives a clear message."""

import errno
import socket


class CannotListen(Exception):
    """The address cannot be had. The message says what to set."""


def sockets_on(host: str, port: int, count: int) -> list[socket.socket]:
    """So many sockets on one port, which is a free one when `port` is 0. Raises CannotListen."""
    try:
        return _bound(host, port, count)
    except socket.gaierror:
        raise CannotListen(f"THREADCAST_HOST, or --host, is {host}: no machine has that name") from None
    except (OSError, UnicodeError) as error:
        raise CannotListen(_in_words(host, port, error)) from None


def _in_words(host: str, port: int, error: OSError | UnicodeError) -> str:
    match error:
        case OSError(errno=errno.EADDRINUSE):
            return f"port {port} of {host} is taken by another program: set THREADCAST_PORT, or --port, to a free one"
        case OSError(errno=errno.EADDRNOTAVAIL):
            return f"{host} is no address of this machine: set THREADCAST_HOST, or --host, to one, or to 0.0.0.0 for all"
        case OSError(errno=errno.EACCES):
            return f"this user may not listen on port {port}: set THREADCAST_PORT, or --port, to 1024 or more"
    return f"cannot listen on {host}, port {port}, as THREADCAST_HOST and THREADCAST_PORT say: {error}"


def _bound(host: str, port: int, count: int) -> list[socket.socket]:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    alone = socket.socket(family, kind, protocol)  # without SO_REUSEPORT: with it a second server would silently share the port
    try:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        if count == 1:
            alone.listen()
            return [alone]
        address = alone.getsockname()
    except OSError:
        alone.close()
        raise
    alone.close()
    sockets = []
    for _ in range(count):
        sockets.append(socket.socket(family, kind, protocol))
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            sockets[-1].setsockopt(socket.SOL_SOCKET, option, 1)
        sockets[-1].bind(address)
    return sockets


def address_of(listening: socket.socket) -> str:
    """Where a person reaches it, as a URL has it: an address with brackets where it needs them, and the port."""
    host, port = listening.getsockname()[:2]
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (nothing is bound here)
    return f"[{reached}]:{port}" if ":" in reached else f"{reached}:{port}"
