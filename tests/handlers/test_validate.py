"""Every combination of the fields of a post, against the tables of PROTOCOL.md section 4, over a live socket."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from settings import Settings
from tests.support.client import Client, Frame
from tests.support.house import House
from tests.support.world import BOARD, MISSING, REVENUE

Payload = dict[str, Any]
Verdict = tuple[str, str | None]  # the event of the end, or an error's code, and its message where the protocol words it

WIRE_TYPES = {"metric": "metric", "metric_file": "metric", "dashboard": "dashboard", "dashboard_file": "dashboard"}
ASSETS = {str(REVENUE): "metric", str(BOARD): "dashboard"}
VALUES: dict[str, list[Any]] = {
    "prompt": [None, " \t\r\n", "What is it?"],
    "chat_id": [None, "own", str(MISSING)],
    "asset_id": [None, str(REVENUE)],
    "asset_type": [None, *WIRE_TYPES, "spreadsheet", 7],
    "metric_id": [None, str(REVENUE)],
    "dashboard_id": [None, str(BOARD)],
}
COMBINATIONS = [dict(zip(VALUES, values, strict=True)) for values in product(*VALUES.values())]
NOTHING: Payload = dict.fromkeys(VALUES)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With answers of one word: there are many."""
    return replace(settings, offline_words=1)


def verdict(post: Payload) -> Verdict:
    """What PROTOCOL.md section 4 says of a post that has all of `VALUES`' keys; `chat_id` is an own chat's or MISSING."""
    kind, asked = post["asset_type"], bool((post["prompt"] or "").strip())
    if kind == "spreadsheet":
        return "BAD_REQUEST", "Invalid enum value 'spreadsheet' - at `$.payload.asset_type`"
    if kind == 7:
        return "BAD_REQUEST", "... - at `$.payload.asset_type`"
    if post["asset_id"] and not kind:
        return "BAD_REQUEST", "asset_type must be provided when asset_id is specified"
    if kind and not post["asset_id"]:
        return "BAD_REQUEST", "asset_id must be provided when asset_type is specified"
    if sum(bool(post[field]) for field in ("chat_id", "asset_id", "metric_id", "dashboard_id")) > 1:
        return "BAD_REQUEST", "only one of chat_id, asset_id, metric_id and dashboard_id can be provided"
    if not asked and not (post["asset_id"] or post["metric_id"] or post["dashboard_id"]):
        return "BAD_REQUEST", "a prompt is required unless an asset is provided"
    if post["chat_id"] == str(MISSING) or (post["asset_id"] and ASSETS[post["asset_id"]] != WIRE_TYPES[kind]):
        return "NOT_FOUND", None
    return "complete", None


def seen(frames: list[Frame], expected: Verdict) -> Verdict:
    """What the answer says, in the words of `expected` as far as the protocol leaves words open."""
    error = frames[-1]["error"]
    if error is None:
        return frames[-1]["event"], None
    code, message = error["code"], error["message"]
    if expected[1] is None:
        message = None
    elif expected[1].startswith("... - at ") and message.endswith(expected[1][3:]):
        message = expected[1]
    return code, message


def assert_well_formed(frames: list[Frame], request_id: str) -> None:
    """What holds for every answer to a post, good or bad."""
    assert {frame["route"] for frame in frames} == {"/chats/post"}
    assert {frame["request_id"] for frame in frames} == {request_id}
    assert {list(frame)[-1] for frame in frames} == {"request_id"}
    if frames[-1]["error"]:
        assert [(frame["event"], frame["send_method"]) for frame in frames] == [("postThread", "SenderOnly")]
    else:
        assert frames[0]["event"] == "initializeChat"


def opened_by(post: Payload) -> list[str]:
    """The ids of the files that a good post opens."""
    if (post["prompt"] or "").strip():
        return []
    return [post["asset_id"] or post["metric_id"] or post["dashboard_id"]]


def assert_did(frames: list[Frame], post: Payload) -> None:
    """That the new message asks what the post asked, or opens what it named."""
    chat = frames[-1]["payload"]
    message = chat["messages"][chat["message_ids"][-1]]
    asked = message["request_message"] and message["request_message"]["request"]
    assert asked == (post["prompt"] if (post["prompt"] or "").strip() else None)
    parts = message["response_messages"].values()
    assert [part["id"] for part in parts if part["type"] == "file"] == opened_by(post)
    assert post["chat_id"] in (None, chat["id"])


async def own_chat(client: Client) -> str:
    return str((await client.post(prompt="First"))[-1]["payload"]["id"])


def test_the_table_reaches_every_verdict() -> None:
    verdicts = {verdict(post) for post in COMBINATIONS}
    assert len(COMBINATIONS) == 504
    assert sorted(code for code, _ in verdicts) == ["BAD_REQUEST"] * 6 + ["NOT_FOUND", "complete"]


@pytest.mark.parametrize("nulls", [False, True], ids=["absent", "null"])
async def test_every_combination_of_fields_gets_the_answer_of_the_protocol(house: House, nulls: bool) -> None:
    wrong: list[tuple[Payload, Verdict, Verdict]] = []
    async with house.connect() as client:
        chat_id = await own_chat(client)
        for number, combination in enumerate(COMBINATIONS):
            post = {**combination, "chat_id": chat_id if combination["chat_id"] == "own" else combination["chat_id"]}
            expected = verdict(post)
            await client.send(post if nulls else without_nulls(post), id=str(number))
            frames = await client.stream()
            assert_well_formed(frames, str(number))
            if (got := seen(frames, expected)) != expected:
                wrong.append((post, expected, got))
            elif got[0] == "complete":
                assert_did(frames, post)
    assert wrong == []


def without_nulls(post: Payload) -> Payload:
    return {key: value for key, value in post.items() if value is not None}


async def test_a_blank_prompt_is_no_prompt(house: House) -> None:
    async with house.connect() as client:
        for blank in ("", " ", "\t\n\r\n ", "\u00a0\u3000"):
            refused = await client.refusal({"prompt": blank})
            assert refused == {"code": "BAD_REQUEST", "message": "a prompt is required unless an asset is provided"}
            opened = await client.post(prompt=blank, metric_id=str(REVENUE))
            assert_did(opened, {**NOTHING, "prompt": blank, "metric_id": str(REVENUE)})


@pytest.mark.parametrize(
    ("legacy", "generic"),
    [
        ({"metric_id": str(REVENUE)}, {"asset_id": str(REVENUE), "asset_type": "metric"}),
        ({"dashboard_id": str(BOARD)}, {"asset_id": str(BOARD), "asset_type": "dashboard"}),
    ],
)
async def test_a_legacy_field_beside_unknown_keys_is_as_good_as_the_generic_pair(
    house: House, legacy: Payload, generic: Payload
) -> None:
    async with house.connect() as client:
        for prompt, value in product([None, "What is it?"], [None, str(MISSING), {"metric_id": [7]}, "a\0b"]):
            unknown = dict.fromkeys(["dataset_id", "suggestion_id", "Prompt", "asset", ""], value)
            old = await client.post(prompt=prompt, **legacy, **unknown)
            new = await client.post(prompt=prompt, **generic)
            assert_did(old, {**NOTHING, "prompt": prompt, **legacy})
            assert [without_ids(frame) for frame in old] == [without_ids(frame) for frame in new]


def without_ids(frame: Frame) -> tuple[object, ...]:
    """The event and those texts of a frame that do not differ from one post to the next."""
    payload = frame["payload"]
    response = payload.get("response_message", {})
    return (
        frame["event"],
        payload.get("title"),
        response.get("file_type"),
        response.get("message"),
        response.get("message_chunk"),
    )
