"""Why a connection ends: the codes that the server closes with, or that stand for what the client did. Protocol section 7."""

from typing import NamedTuple


class Close(NamedTuple):
    """What a close code means, and whether to connect again."""

    why: str
    reconnect: str


CLOSES = {
    1000: Close("the client closed", "no"),
    1002: Close("what the client sent is not WebSocket", "no"),
    1007: Close("a text frame that is not UTF-8", "no"),
    1009: Close("a frame that is too large", "no"),
    1011: Close("no pong in time, frames that were lost between servers, or an unexpected server error", "yes"),
    1012: Close("the server is restarting; `goingAway` came before", "yes, at once"),
    4001: Close("the token expired; running chats go on", "yes, with a new token"),
    4008: Close("the client read too slowly", "yes, with `since`"),
    4029: Close("the user has too many connections", "yes, after a pause"),
    4401: Close("no token, or an invalid one; only with `refuse=close`", "yes, with a good token"),
    4503: Close("the server is full, or about to stop; only with `refuse=close`", "yes, after a pause"),
}
