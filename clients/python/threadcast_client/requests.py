"""Requests that wait for their answers, through cuts: what may be sent twice is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from threadcast_client.errors import ThreadcastError
from threadcast_client.feed import Feed
from threadcast_client.owner import now
from threadcast_client.wire import Frame

MOST_WAITING = 100  # more is no use to anybody who waits
ANSWER_S = 30.0


@dataclass(eq=False)
class Request:
    """One request. `ended` is called once, with the frame that answers it or with an error."""

    route: str
    payload: dict[str, Any]
    ended: Callable[[Frame | ThreadcastError], None]
    is_urgent: bool  # it does not wait for what was missed
    label: str
    sent_at: float | None = None
    not_before: float = 0.0

    @property
    def may_be_sent_twice(self) -> bool:
        """Whether that does no harm."""
        if self.route == "/chats/post":
            return bool(self.payload.get("once") and self.payload.get("message_id"))
        return self.route != "/chats/duplicate"


class Requests:
    """All that wait."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._all: dict[str, Request] = {}

    def add(
        self, route: str, payload: dict[str, Any], ended: Callable[[Frame | ThreadcastError], None], is_urgent: bool = False
    ) -> Request:
        """Send it as soon as that can be. Raises ThreadcastError when too many wait already."""
        if len(self._all) >= MOST_WAITING:
            raise ThreadcastError("QUEUE_FULL", f"{MOST_WAITING} requests wait already")
        request = Request(route, payload, ended, is_urgent, f"ask-{uuid4().hex[:16]}")
        self._all[request.label] = request
        self.flush()
        return request

    def drop(self, request: Request) -> None:
        """Nobody waits for it any more."""
        self._all.pop(request.label, None)

    def flush(self) -> None:
        """Send what can be sent."""
        for request in list(self._all.values()):
            may = self._feed.is_caught_up or (request.is_urgent and self._feed.line)
            if may and request.sent_at is None and request.not_before <= now():
                request.sent_at = now()
                self._feed.send(request.label, request.route, request.payload)

    def tick(self) -> None:
        """Look which have waited long enough."""
        for request in list(self._all.values()):
            if request.sent_at is not None and now() - request.sent_at > ANSWER_S:
                self._again(request, "TIMEOUT", f"no answer within {ANSWER_S:.0f} s")
        self.flush()

    def lost(self) -> None:
        """The connection went."""
        for request in list(self._all.values()):
            if request.sent_at is not None:
                self._again(request, "CONNECTION_LOST", "the connection went before the answer came")

    def take(self, frame: Frame) -> None:
        """End the request that the frame answers."""
        request = self._all.get(frame.request_id or "")
        if request and frame.error:
            error = frame.error
            if request.route == "/chats/get" and error.code == "TOO_MANY_REQUESTS" and error.retry_after is not None:
                request.sent_at, request.not_before = None, now() + error.retry_after
                return
            self._end(request, ThreadcastError(error.code, error.message, error.retry_after))
        elif request:
            self._end(request, frame)

    def completed(self, chat_id: UUID, frame: Frame) -> None:
        """A stream of the chat has ended, which is what a stop of it waits for."""
        for request in list(self._all.values()):
            if request.route == "/chats/stop" and str(request.payload.get("id")) == str(chat_id):
                self._end(request, frame)

    def fail(self, error: ThreadcastError) -> None:
        """End them all."""
        for request in list(self._all.values()):
            self._end(request, error)

    def _again(self, request: Request, code: str, why: str) -> None:
        request.sent_at = None
        if not request.may_be_sent_twice:
            self._end(request, ThreadcastError(code, why))

    def _end(self, request: Request, how: Frame | ThreadcastError) -> None:
        self.drop(request)
        request.ended(how)
