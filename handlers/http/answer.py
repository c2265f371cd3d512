"""A large answer over HTTP: it counts among what waits for its user until it has been read, as a frame on a socket does."""

from contextlib import ExitStack

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backends.frame import Frame
from handlers.outboxes import Share
from schemas.errors import ServiceUnavailable

# Each piece waits until there is room for it, so that the transport of a client that does not read holds at most two.
PIECE_BYTES = 2**16


class NotAnswered(ServiceUnavailable):
    """The post was answered and stored. A retry would get the same answer, so the caller must decide what to do."""

    limit = "outboxes"

    def __init__(self) -> None:
        super().__init__("too much waits for your connections already, get the chat for what there is", retry_after=None)


class Answer(Response):
    """JSON, held by the share until it is sent or the caller has gone. `inside` is left then."""

    def __init__(self, data: bytes, share: Share, inside: ExitStack) -> None:
        super().__init__(data, media_type="application/json")
        self._frame = Frame.of_data(data, 0)
        self._share = share
        self._inside = inside
        share.hold(self._frame)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._inside:
            try:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                left = memoryview(self.body)
                while len(left) > PIECE_BYTES:
                    await send({"type": "http.response.body", "body": bytes(left[:PIECE_BYTES]), "more_body": True})
                    left = left[PIECE_BYTES:]
                await send({"type": "http.response.body", "body": bytes(left)})
            finally:
                self._share.release(self._frame)
