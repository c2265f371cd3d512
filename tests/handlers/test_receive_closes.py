"""The frames that close their connection, and only it. PROTOCOL.md sections 2 and 7."""

import json

import anyio
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from tests.support.client import TIMEOUT_S, Client, fold, unsettled
from tests.support.frames import HEAD, TAIL, Data, assert_goes_on
from tests.support.house import House
from tests.support.world import BOB

BOUND = 512 * 1024


def frame_of(size: int) -> str:
    """A good frame of so many bytes."""
    frame = json.dumps({"route": "/chats/post", "payload": {"prompt": "Hi"}, "x": ""})
    return frame.replace('""', f'"{"x" * (size - len(frame))}"')


async def close_code(client: Client) -> int | None:
    """How the server closes this connection, which it does without another frame."""
    with anyio.fail_after(TIMEOUT_S), pytest.raises(ConnectionClosedError):
        await client.socket.recv()
    return client.socket.close_code


async def assert_closes(house: House, code: int, data: Data | list[str], *, text: bool | None = None) -> None:
    """That the frame, or the message in these fragments, closes its connection, while others have their streams."""
    async with house.connect() as closing, house.connect() as other, house.connect(BOB) as bob:
        await bob.send({"prompt": "Are you still there?"})
        await closing.socket.send(data, text=text)
        assert await close_code(closing) == code
        await assert_goes_on(other)
        bobs = await bob.stream()
        assert unsettled(fold(bobs)) == unsettled(bobs[-1]["payload"])


async def test_a_frame_of_256_kib_is_read(house: House) -> None:
    async with house.connect() as client:
        assert len(frame_of(BOUND)) == BOUND
        for data in (frame_of(BOUND), frame_of(BOUND).encode()):
            await client.socket.send(data)
            assert (await client.stream())[-1]["event"] == "complete"
        await assert_goes_on(client)


@pytest.mark.parametrize("size", [BOUND + 1, 600 * 1024, 3 * 1024 * 1024])
async def test_a_frame_over_256_kib_closes_its_connection_only(house: House, size: int) -> None:
    await assert_closes(house, 1009, frame_of(size))


async def test_a_message_whose_fragments_are_over_256_kib_closes_its_connection_only(house: House) -> None:
    frame = frame_of(BOUND + 1)
    await assert_closes(house, 1009, [frame[start : start + 1000] for start in range(0, len(frame), 1000)])


async def test_a_text_frame_that_is_not_utf8_closes_its_connection_only(house: House) -> None:
    await assert_closes(house, 1007, b'{"route": "/chats/post", "payload": {"prompt": "\xff"}}', text=True)


@pytest.mark.parametrize(("code", "bad"), [(1009, b"x" * (BOUND + 1)), (1007, b"\xff")])
async def test_a_post_right_before_the_frame_that_closes_is_answered_all_the_same(house: House, code: int, bad: bytes) -> None:
    async with house.connect() as closing, house.connect() as other:
        data = [WireFrame(Opcode.TEXT, data).serialize(mask=True) for data in ((HEAD + TAIL).encode(), bad)]
        closing.socket.transport.write(b"".join(data))  # so that both are there in one read
        stream = await other.stream()
        assert {frame["request_id"] for frame in stream} == {"c"}
        assert unsettled(fold(stream)) == unsettled(stream[-1]["payload"])
        with anyio.fail_after(TIMEOUT_S):
            await closing.socket.wait_closed()
        assert closing.socket.close_code == code
