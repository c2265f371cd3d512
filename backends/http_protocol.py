"""HTTP by uvicorn, as Threadcast needs it: what a peer sends, or does not read, has a bound and a time limit.

uvicorn's own keeps a head of any size, waits for the rest of a request for ever, and drops the body of a request that offers
to upgrade to anything but a WebSocket, as Java's client does with h2c.
"""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from backends.transports import unsent
from backends.unanswered import UnansweredSockets

UNSENT = "threadcast.unsent"  # an extension of the scope: a function, how many bytes the peer has not taken yet
HEAD_BYTES = 2**15  # the most bytes of a request's line and headers; a browser sends some hundreds
HEAD_S = 10.0  # seconds for the whole head, from the connection or from a further request's first byte
BODY_S = 30.0  # seconds for the whole body
UNREAD_LOOK_S = 5.0  # seconds between looks at a connection whose peer has not taken all of its answer
# After so many looks without progress the connection is cut off: 30 s, which a phone may need to find its network again.
# Counted and not timed, since a pause of this process would look like one of the peer.
UNREAD_LOOKS = 6


class TooLong(Exception):
    """The head of a request has more than HEAD_BYTES."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class HttpProtocol(HttpToolsProtocol):
    """One socket, until it is upgraded. Those that send nothing, too much or too slowly, or do not read, are cut off."""

    def __init__(self, config: Config, *arguments: Any, unheard: UnansweredSockets, **options: Any) -> None:
        super().__init__(config, *arguments, **options)
        self._all = unheard
        self._expects = ""  # "head" or "body": what must have come by the deadline
        self._deadline: asyncio.TimerHandle | None = None
        self._head = 0  # bytes of a head that the parser has handed over
        self._untold = 0  # bytes that the parser has taken since it last handed anything over
        self._looking: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes, at the last look
        self._looks = 0  # looks since the peer last took anything

    # What the peer sends

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect("head")
        self._all.add(self)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if not self._expects and not self._is_answering:
            self._expect("head")
        self._untold += len(data)
        try:
            self.parser.feed_data(data)
            if self._untold > HEAD_BYTES:
                raise TooLong(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._leave()
                self._stop_looking()
                self.handle_websocket_upgrade()
            else:
                self._without_upgrade(data[upgrade.args[0] :])
        except (httptools.HttpParserError, TooLong) as error:
            cause = error if isinstance(error, TooLong) else error.__context__
            self._refuse(cause.status if isinstance(cause, TooLong) else HTTPStatus.BAD_REQUEST)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {UNSENT: {UNSENT: partial(unsent, self.transport)}}
        self._head = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > HEAD_BYTES:
            raise TooLong(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value) + len(b": \r\n")
        if len(self.url) + self._head > HEAD_BYTES:
            raise TooLong(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if self._expects != "body":  # trailers, which follow a body, are not counted
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._untold = self._head = 0
        if self.parser.should_upgrade() and not self._should_upgrade():
            return  # the request is parsed again: see _without_upgrade
        super().on_headers_complete()
        self._expect("body")

    def on_body(self, body: bytes) -> None:
        self._untold = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._untold = 0
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        if self._is_answering:
            self._leave()
        else:  # it has been answered: the next request must come
            self._expect("head")

    def _without_upgrade(self, rest: bytes) -> None:
        """Ignore an offer of another protocol (RFC 9110 section 7.8), for which the parser has left the body unread."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    # Deadlines for what the peer sends

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect(self, what: str) -> None:
        self._stop_deadline()
        self._expects = what
        self._deadline = self.loop.call_later(HEAD_S if what == "head" else BODY_S, self._is_late)

    def _stop_deadline(self) -> None:
        self._expects = ""
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _is_late(self) -> None:
        if self.flow.read_paused:  # we do not read, so it cannot be late
            self._expect(self._expects)
        elif self._expects == "head" and not self._untold:
            self.cut("silent")
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, self._expects)

    def _refuse(self, status: HTTPStatus, reason: str = "invalid") -> None:
        """Say what is wrong where an answer has not begun, and end the connection."""
        if self._expects == "head" or not self.cycle.response_started:
            phrase = status.phrase.encode()
            head = b"HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (status, phrase, len(phrase)) + phrase)
        self.transport.close()
        self._is_cut(reason)

    def cut(self, reason: str) -> None:
        """End the connection without a word."""
        self.transport.abort()
        self._is_cut(reason)

    def _is_cut(self, reason: str) -> None:
        self._leave()
        self._all.has_cut(reason, self.loop.time())

    def _leave(self) -> None:
        self._stop_deadline()
        self._all.discard(self)

    # What the peer does not read

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_soon()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._look_soon()
        if not self._is_answering and not self.transport.is_closing():
            self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._leave()
        self._stop_looking()

    def _stop_looking(self) -> None:
        if self._looking:
            self._looking.cancel()
            self._looking = None

    def _look_soon(self) -> None:
        if self._looking is None:
            self._looks, self._unsent = 0, unsent(self.transport)
            self._looking = self.loop.call_later(UNREAD_LOOK_S, self._look)

    def _look(self) -> None:
        """Cut the peer off that has taken nothing for UNREAD_LOOKS looks; look on while anything waits for it."""
        self._looking = None
        if not self.transport.get_write_buffer_size():
            return
        left = unsent(self.transport)
        self._looks = self._looks + 1 if left >= self._unsent else 0
        self._unsent = left
        if self._looks >= UNREAD_LOOKS:
            self.transport.abort()
        else:
            self._looking = self.loop.call_later(UNREAD_LOOK_S, self._look)
