"""Everything that can be refused, each with its code on the wire.

ThreadcastError
├── BadRequest           BAD_REQUEST
├── Unauthorized         UNAUTHORIZED
├── NotFound             NOT_FOUND
├── TooManyRequests      TOO_MANY_REQUESTS
└── ServiceUnavailable   SERVICE_UNAVAILABLE

Any other exception is a defect or an outage and becomes INTERNAL_SERVER_ERROR, in `handlers/errors.py`.
"""

import enum
from typing import Annotated, ClassVar

import msgspec


class WsErrorCode(enum.Enum):
    """The codes of an error frame."""

    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    NOT_FOUND = "NOT_FOUND"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


MEANINGS = {
    WsErrorCode.BAD_REQUEST: "The request is not valid; the message says what is wrong, and at which field.",
    WsErrorCode.UNAUTHORIZED: "The user may see the thing but not do this to it; over HTTP: no token, or an invalid one.",
    WsErrorCode.NOT_FOUND: "It does not exist, or the user may not see it: the two are told apart nowhere.",
    WsErrorCode.TOO_MANY_REQUESTS: "A limit; `retry_after` says in how many seconds to retry.",
    WsErrorCode.SERVICE_UNAVAILABLE: "The server is about to stop, or is full; `retry_after` says when to retry, elsewhere.",
    WsErrorCode.INTERNAL_SERVER_ERROR: "Anything else; the message has a reference under which the server's log has the cause.",
}


RetryAfter = Annotated[float, msgspec.Meta(ge=0, description="Seconds, after which the same request may succeed.")]


class WsError(msgspec.Struct, frozen=True):
    """The `error` of a frame, and the body of a refused HTTP request.

    `retry_after` is there when the same request may succeed later, and not before so many seconds have passed.
    """

    code: WsErrorCode
    message: str
    retry_after: RetryAfter | msgspec.UnsetType = msgspec.UNSET


class ThreadcastError(Exception):
    """A refusal whose message is meant for the client."""

    code: ClassVar[WsErrorCode]
    limit: str | None = None  # the limit that refused, as the metrics name it
    retry_after: float | None = None  # seconds after which a retry makes sense; None if none does


class BadRequest(ThreadcastError):
    code = WsErrorCode.BAD_REQUEST


class Unauthorized(ThreadcastError):
    code = WsErrorCode.UNAUTHORIZED


class NotFound(ThreadcastError):
    """Takes no message, so that missing and forbidden cannot be worded differently."""

    code = WsErrorCode.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("not found")


class TooManyRequests(ThreadcastError):
    code = WsErrorCode.TOO_MANY_REQUESTS

    def __init__(self, limit: str, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after = retry_after


class ServiceUnavailable(ThreadcastError):
    """Takes None for `retry_after` if the post was stopped or has an answer: do not run it again, the user must decide."""

    code = WsErrorCode.SERVICE_UNAVAILABLE

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
