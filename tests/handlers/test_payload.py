"""What a field of a post can hold, and how the answer names one that was given anything else. PROTOCOL.md section 4."""

import json
from itertools import product

import pytest

from tests.support.client import Client, Frame
from tests.support.house import House
from tests.support.world import MISSING, REVENUE

NOT_PROMPTS: list[object] = [7, 1.5, True, [], ["What?"], {}, {"text": "What?"}]
NOT_TEXTS: list[object] = ["\0", "a\0b", " \0", "\ud800", "a\udfffb", "\udc00\ud800"]
NOT_TYPES: list[object] = ["", "Metric", "metric ", "chat", 7, True, [], ["metric"], {}]
NOT_IDS: list[object] = ["", "x", f"{MISSING}0", f" {MISSING}", 7, 0, False, [], [str(MISSING)], {}]
ID_FIELDS = ["chat_id", "message_id", "asset_id", "metric_id", "dashboard_id"]

BAD = [
    *product(["prompt"], [*NOT_TEXTS, *NOT_PROMPTS, " " * 32_001]),
    *product(["asset_type"], [*NOT_TEXTS, *NOT_TYPES]),
    *product(ID_FIELDS, [*NOT_TEXTS, *NOT_IDS]),
]


@pytest.mark.parametrize(
    "rest", [{}, {"asset_id": str(REVENUE), "chat_id": str(MISSING)}], ids=["by itself", "before what later checks refuse"]
)
async def test_a_value_that_its_field_cannot_hold_is_refused_by_the_fields_name(house: House, rest: dict[str, object]) -> None:
    async with house.connect() as client:
        for field, value in BAD:
            (refused,) = await client.post(**{**rest, field: value})
            assert_refused_at(refused, field)


async def test_a_prompt_has_at_most_32_000_characters(house: House) -> None:
    async with house.connect() as client:
        for character in ("x", "é", "😀"):  # of one, two and four bytes
            await send_unescaped(client, character * 32_000)
            chat = (await client.stream())[-1]["payload"]
            assert [message["request_message"]["request"] for message in chat["messages"].values()] == [character * 32_000]
            await send_unescaped(client, character * 32_001)
            (refused,) = await client.stream()
            assert_refused_at(refused, "prompt")


async def test_characters_outside_the_basic_plane_may_come_as_escaped_pairs(house: House) -> None:
    async with house.connect() as client:
        await client.socket.send(r'{"route": "/chats/post", "payload": {"prompt": "\ud83d\ude00 \u0001\u007f\ufffe"}}')
        chat = (await client.stream())[-1]["payload"]
    assert [message["request_message"]["request"] for message in chat["messages"].values()] == ["😀 \u0001\u007f\ufffe"]


async def send_unescaped(client: Client, prompt: str) -> None:
    """Post without `\\u` escapes, which would take some long prompts over the frame's own bound."""
    await client.socket.send(json.dumps({"route": "/chats/post", "payload": {"prompt": prompt}}, ensure_ascii=False))


def assert_refused_at(frame: Frame, field: str) -> None:
    assert (frame["route"], frame["event"], frame["send_method"]) == ("/chats/post", "postThread", "SenderOnly")
    assert frame["error"]["code"] == "BAD_REQUEST"
    what, _, where = frame["error"]["message"].partition(" - at ")
    assert (bool(what), where) == (True, f"`$.payload.{field}`")
