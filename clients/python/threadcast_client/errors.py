"""What goes wrong, as one exception with a code."""


class ThreadcastError(Exception):
    """A refusal of the server, with its code of docs/protocol.md, or one of this client's own.

    The client's own codes: `CLOSED` (by `close()`, or for good by the server), `QUEUE_FULL` (too much waits for a connection),
    `STOPPED` (before it was sent), `REPLACED` (a token of another user came), `CONNECTION_LOST` and `TIMEOUT` (for a request
    that cannot be sent twice). `retry_after` is there when the same may succeed after so many seconds.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after
