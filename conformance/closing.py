"""Section 7: the codes of closed connections; and what an expired token still opens."""

import time
from contextlib import suppress

from websockets.exceptions import ConnectionClosed

from conformance.assets import METRIC
from conformance.connecting import decoded
from conformance.requests import LARGEST, goes_on
from conformance.room import Room, expect_refusal
from conformance.rule import NotChecked, Rule, expect_equal

EXPIRING = "--expiring TOKEN"
SOON_S = 30
LOST = 1006  # no code came
ATTEMPTS = 5


async def by_client(room: Room) -> None:
    async with room.open() as line:
        await line.socket.close()
        expect_equal(line.socket.close_code, 1000, "the code of the server's answer to a close")


async def too_large(room: Room) -> None:
    async with room.open() as other:
        codes = [await code_after(room, LARGEST + 1)]
        while codes[-1] == LOST and len(codes) < ATTEMPTS:  # a reset by who has not read all overtakes the close frame
            codes.append(await code_after(room, LARGEST + 1))
        expect_equal(codes[-1], 1009, "the code after a frame of 524,289 bytes")
        await goes_on(other)


async def code_after(room: Room, size: int) -> int | None:
    """How a connection is closed that sends a frame of so many bytes."""
    async with room.open() as large:
        with suppress(ConnectionClosed):  # before all of it was sent
            await large.socket.send('{"route": "/chats/list", "payload": {}, "x": "'.ljust(size - 2, "x") + '"}')
        return await large.close_code()


async def expires(room: Room) -> None:
    left = decoded(str(room.expiring).split(".")[1])["exp"] - time.time()
    if not 0 < left < SOON_S:
        raise NotChecked(f"{EXPIRING}, one that ends in 1 to {SOON_S} seconds")
    async with room.open(token=room.expiring) as line, room.open() as other:
        stream = await line.post({"metric_id": METRIC})
        expect_equal(await line.close_code(), 4001, "the code when the token has ended")
        expect_equal(len(await other.rest_with_end()), len(stream), "what another connection has heard")


async def expired(room: Room) -> None:
    headers = {"Authorization": f"Bearer {room.expiring}"}
    expect_refusal(await room.refusal(headers=headers), 401, "UNAUTHORIZED", "invalid token")
    answer = await room.rest({"prompt": "Hi"}, token=room.expiring)
    expect_refusal(answer, 401, "UNAUTHORIZED", "invalid token")


EXPIRING_RULES = [
    Rule("7.3", "A token that ends closes its connection with 4001, and no other.", expires, needs=EXPIRING),
    Rule("7.4", "A token that has ended opens nothing: HTTP 401, UNAUTHORIZED, “invalid token”.", expired, needs=EXPIRING),
]
RULES = [
    Rule("7.1", "A client's close is answered with its own code, 1000.", by_client),
    Rule("7.2", "A frame over 512 KiB closes the connection with 1009, and no other.", too_large),
]
