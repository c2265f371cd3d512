"""Section 4, the checks: what is refused as a BAD_REQUEST, in which order and words, before anything is looked up."""

import json
from itertools import product

from conformance.assets import DASHBOARD, HIDDEN, METRIC, MISSING
from conformance.requests import expect_bad, goes_on
from conformance.room import Room
from conformance.rule import Rule, expect, expect_equal
from conformance.wire import POST, Line, Payload

TYPE_MISSING = "asset_type must be provided when asset_id is specified"
ID_MISSING = "asset_id must be provided when asset_type is specified"
MORE_THAN_ONE = "only one of chat_id, asset_id, metric_id and dashboard_id can be provided"
NOTHING_ASKED = "a prompt is required unless an asset is provided"
METRIC_PAIR = {"asset_id": METRIC, "asset_type": "metric"}
NOT_TYPES: list[object] = ["x", "", "Metric", "chat", 7, ["metric"], {}]
NOT_TEXTS: list[object] = [7, True, ["Hi"], {}]
IDS = ("chat_id", "message_id", "asset_id", "metric_id", "dashboard_id")

NO_TYPE: list[Payload] = [{"asset_id": METRIC}, {"asset_id": METRIC, "asset_type": None, "prompt": "Hi"}]
NO_ID: list[Payload] = [{"asset_type": "metric"}, {"asset_type": "dashboard_file", "asset_id": None, "prompt": "Hi"}]
SEVERAL: list[Payload] = [
    {"metric_id": METRIC, "dashboard_id": DASHBOARD},
    {"chat_id": MISSING, "metric_id": METRIC, "prompt": "Hi"},
    {"chat_id": MISSING, **METRIC_PAIR, "prompt": "Hi"},
    {**METRIC_PAIR, "metric_id": METRIC},
    {**METRIC_PAIR, "dashboard_id": DASHBOARD, "chat_id": MISSING},
]
NOTHING: list[Payload] = [
    {},
    {"prompt": None},
    {"prompt": ""},
    {"prompt": " \n\t "},
    {"chat_id": MISSING},
    {"chat_id": MISSING, "prompt": "  "},
    {"message_id": MISSING},
]
# Each breaks several checks; the first of them is to answer. What does not exist must not be looked for.
ORDER: list[tuple[Payload, str]] = [
    ({"asset_id": MISSING, "metric_id": HIDDEN, "chat_id": MISSING}, TYPE_MISSING),
    ({"asset_type": "metric", "metric_id": MISSING, "dashboard_id": MISSING}, ID_MISSING),
    ({"asset_type": "metric"}, ID_MISSING),
    ({"chat_id": MISSING, "metric_id": HIDDEN}, MORE_THAN_ONE),
    ({"chat_id": MISSING, "dashboard_id": MISSING, "message_id": MISSING}, MORE_THAN_ONE),
    ({"chat_id": MISSING, "message_id": MISSING}, NOTHING_ASKED),
]


async def no_type(room: Room) -> None:
    await expect_message(room, NO_TYPE, TYPE_MISSING)


async def no_id(room: Room) -> None:
    await expect_message(room, NO_ID, ID_MISSING)


async def several(room: Room) -> None:
    await expect_message(room, SEVERAL, MORE_THAN_ONE)


async def nothing(room: Room) -> None:
    await expect_message(room, NOTHING, NOTHING_ASKED)


async def order(room: Room) -> None:
    for payload, message in ORDER:
        await expect_message(room, [payload], message)


async def expect_message(room: Room, payloads: list[Payload], message: str) -> None:
    """Go on only if each of the payloads is refused in these words."""
    async with room.open() as line:
        for payload in payloads:
            heard = await line.answer(payload)
            expect_bad(heard, POST)
            expect_equal(heard.error["message"], message, f"the message for {payload}")


async def decoded_first(room: Room) -> None:
    bad: list[tuple[str, object]] = [("prompt", 7), ("asset_type", "x"), ("message_id", "x")]
    async with room.open() as line:
        for field, value in bad:
            await expect_refused_at(line, field, {"asset_id": HIDDEN, "chat_id": MISSING, field: value})


async def bad_ids(room: Room) -> None:
    async with room.open() as line:
        for field, value in product(IDS, ("", "x", f"{MISSING}0", 7, [METRIC])):
            await expect_refused_at(line, field, {"prompt": "Hi", field: value})


async def bad_types(room: Room) -> None:
    async with room.open() as line:
        for value in NOT_TYPES:
            await expect_refused_at(line, "asset_type", {"asset_id": METRIC, "asset_type": value})


async def bad_prompts(room: Room) -> None:
    async with room.open() as line:
        for value in NOT_TEXTS:
            await expect_refused_at(line, "prompt", {"prompt": value})


async def bad_text(room: Room) -> None:
    async with room.open() as line:
        for text in ("a\0b", "\ud800", "a\udfffb", "\udc00\ud800"):
            await expect_refused_at(line, "prompt", {"prompt": text})
        await goes_on(line)


async def long_prompts(room: Room) -> None:
    async with room.open() as line:
        for text in ("x" * 32_001, " " * 32_001, "é" * 32_001):
            await expect_refused_at(line, "prompt", {"prompt": text})
        prompt = "€" * 32_000
        await line.socket.send(json.dumps({"route": POST, "payload": {"prompt": prompt}}, ensure_ascii=False))
        stream = await line.until_end()
        chat = stream[0].payload
        expect(stream[0].event == "initializeChat", f"a prompt of 32,000 characters was answered by {stream[0]}")
        expect(chat["messages"][chat["message_ids"][0]]["request_message"]["request"] == prompt, "it was kept as another text")


async def expect_refused_at(line: Line, field: str, payload: Payload) -> None:
    """Go on only if the payload is refused with a message that names the field."""
    heard = await line.answer(payload)
    expect_bad(heard, POST)
    expect(field in heard.error["message"], f"a message that does not name {field}: {heard}")


async def nulls(room: Room) -> None:
    async with room.open() as line:
        await line.post(
            {**METRIC_PAIR, **dict.fromkeys(("prompt", "chat_id", "message_id", "metric_id", "dashboard_id", "approvals"))}
        )


async def approvals(room: Room) -> None:
    yes: list[object] = [{"id": "x", "approved": True}]
    async with room.open() as line:
        await expect_refused_at(line, "chat_id", {"approvals": yes})
        for answers in ([{"id": "x"}], [{"id": "x", "approved": "yes"}], "x", [7]):
            await expect_refused_at(line, "approvals", {"chat_id": MISSING, "approvals": answers})


RULES = [
    Rule("4.1", f"asset_id without asset_type: “{TYPE_MISSING}”.", no_type),
    Rule("4.2", f"asset_type without asset_id: “{ID_MISSING}”.", no_id),
    Rule("4.3", f"More than one subject: “{MORE_THAN_ONE}”.", several),
    Rule("4.4", f"Neither a prompt, or a blank one, nor an asset: “{NOTHING_ASKED}”.", nothing),
    Rule("4.5", "These checks are made in this order, and before anything is looked up.", order),
    Rule("4.6", "A payload that does not decode is refused before all of these.", decoded_first),
    Rule("4.7", "An id that is no UUID is a BAD_REQUEST that names its field.", bad_ids),
    Rule("4.8", "An unknown asset_type is a BAD_REQUEST that names its field.", bad_types),
    Rule("4.9", "A prompt that is no text is a BAD_REQUEST that names its field.", bad_prompts),
    Rule("4.10", "NUL or a lone surrogate in the prompt is a BAD_REQUEST that names its field.", bad_text),
    Rule("4.11", "A prompt may have 32,000 characters, and one more is a BAD_REQUEST.", long_prompts),
    Rule("4.12", "null is as good as absent.", nulls),
    Rule("4.26", "Approvals without chat_id, or that are none, are a BAD_REQUEST that names the field.", approvals),
]
