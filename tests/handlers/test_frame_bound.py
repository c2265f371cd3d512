"""The bound of a frame follows from the bound of a prompt: what is valid never closes a connection, however it is escaped."""

from collections.abc import Callable
from typing import Any

import pytest

from schemas.requests import LARGEST_POST_BYTES
from tests.support.house import House
from tests.support.over_http import request
from tests.support.world import REVENUE, uuid


def escaped(value: Any) -> str:
    """The value as JSON of which each character of each text, keys included, is an escape: JSON's longest form."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{escaped(key)}:{escaped(each)}" for key, each in value.items()) + "}"
    if not isinstance(value, str):
        return "false" if value is False else "null"
    units = value.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)) + '"'


LONGEST = "😀" * 32_000
POST = {
    "prompt": LONGEST,
    "chat_id": None,
    "message_id": str(uuid(70)),
    "once": False,
    "asset_id": str(REVENUE),
    "asset_type": "dashboard_file",  # the longest of the names, and so not this asset's
    "metric_id": None,
    "dashboard_id": None,
}
ENVELOPE = {"route": "/chats/post", "event": "postThread", "id": "😀" * 64}


@pytest.mark.parametrize("form", [escaped, lambda value: escaped(value).upper().replace("\\U", "\\u")], ids=["lower", "upper"])
async def test_the_longest_prompt_is_answered_with_each_of_its_characters_escaped(
    house: House, form: Callable[[Any], str]
) -> None:
    text = escaped(ENVELOPE | {"payload": {"prompt": ""}}).replace('""', form(LONGEST))
    async with house.connect() as client:
        await client.socket.send(text)
        (message,) = (await client.stream())[-1]["payload"]["messages"].values()
    assert message["request_message"]["request"] == LONGEST
    status, chat, _ = await request(house, escaped({"prompt": LONGEST}).encode(), house.token())
    assert (status, [each["request_message"]["request"] for each in chat["messages"].values()]) == (200, [LONGEST])


def test_the_largest_valid_post_fits_with_12_kib_to_spare() -> None:
    assert len(escaped(ENVELOPE | {"payload": POST})) < LARGEST_POST_BYTES - 12 * 1024


async def test_one_character_more_is_refused_and_the_connection_stays(house: House) -> None:
    async with house.connect() as client:
        await client.socket.send(escaped({"route": "/chats/post", "payload": {"prompt": LONGEST + "😀"}}))
        (refused,) = await client.stream()
        assert refused["error"]["code"] == "BAD_REQUEST"
        assert refused["error"]["message"].endswith("at `$.payload.prompt`")
        assert (await client.post(prompt="Hi"))[-1]["event"] == "complete"
    body = escaped({"prompt": LONGEST + "😀"}).encode()
    assert (await request(house, body, house.token()))[0] == 400
