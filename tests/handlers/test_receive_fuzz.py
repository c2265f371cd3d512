"""Whatever a client sends, it gets a documented answer, and nobody else notices. PROTOCOL.md sections 2 and 3."""

import json
import logging
from dataclasses import replace
from typing import Any, NoReturn

import hypothesis
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from settings import Settings
from tests.support.client import Client, Frame, fold, unsettled
from tests.support.frames import Data, assert_goes_on
from tests.support.house import House
from tests.support.world import BOARD, BOB, FOREIGN_METRIC, MISSING, REVENUE

FUZZ = hypothesis.settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # one server for all examples is what is wanted
)

UNFIT = st.sampled_from(["\ud800", "a\udfff", "\udc00\ud800", "\0", "a\0b"])  # what cannot be encoded, or stored
TEXT = st.text(max_size=20) | UNFIT
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12)
SUBJECT = st.sampled_from(
    [
        {},
        {"chat_id": str(MISSING)},
        {"metric_id": str(REVENUE), "dataset_id": str(MISSING)},
        {"dashboard_id": str(BOARD)},
        {"asset_id": str(REVENUE), "asset_type": "metric_file"},
        {"asset_id": str(FOREIGN_METRIC), "asset_type": "metric"},
    ]
)


@st.composite
def near_valid(draw: st.DrawFn) -> str:
    """A good frame, of which at most two values are replaced, or as many added."""
    payload: dict[str, Any] = {**draw(SUBJECT), "prompt": draw(st.none() | st.text(min_size=1, max_size=20))}
    frame: dict[str, Any] = {"route": "/chats/post", "event": "postThread", "id": draw(TEXT), "payload": payload}
    for _ in range(draw(st.integers(0, 2))):
        part = draw(st.sampled_from([frame, payload]))
        part[draw(st.sampled_from([*part, "message_id", "x"]) | TEXT)] = draw(JSON)
    return json.dumps(frame)


@st.composite
def deepened(draw: st.DrawFn) -> str:
    """A near-valid frame with an unknown key in front, whose value is about as deep as a reader can bear."""
    depth = draw(st.sampled_from([100, 400, 700, 1000, 1500, 2000, 3000, 5000]))  # Python's limit is 1000, Hypothesis raises it
    opening, closing = draw(st.sampled_from([("[", "]"), ('{"a":', "}")]))
    return f'{{"deep": {opening * depth}7{closing * depth}, {draw(near_valid())[1:]}'


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A near-valid frame of which some bytes are replaced."""
    frame = draw(near_valid()).encode()
    start = draw(st.integers(0, len(frame)))
    end = start + draw(st.integers(0, 4))
    return frame[:start] + draw(st.binary(max_size=4)) + frame[end:]


FRAME = st.one_of(
    near_valid(),
    JSON.map(json.dumps),
    deepened(),
    damaged(),
    st.text(max_size=50),
    st.binary(max_size=50),
)


@FUZZ
@given(data=FRAME)
async def test_any_frame_has_one_documented_answer_and_disturbs_nobody(
    house: House, caplog: pytest.LogCaptureFixture, data: Data
) -> None:
    caplog.clear()
    async with house.connect() as client, house.connect(BOB) as bob:
        await bob.send({"prompt": "Are you still there?"}, id="bob")
        await client.socket.send(data)
        assert_documented(await answer(client), data)
        await assert_goes_on(client)  # with nothing in between: that was the whole answer
        bobs = await bob.stream()
    assert {frame["request_id"] for frame in bobs} == {"bob"}
    assert unsettled(fold(bobs)) == unsettled(bobs[-1]["payload"])
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def answer(client: Client) -> list[Frame]:
    """The frames up to an end, of whatever route."""
    frames = [await client.frame()]
    while not (frames[-1]["error"] or frames[-1]["event"] == "complete"):
        frames.append(await client.frame())
    return frames


def assert_documented(frames: list[Frame], data: Data) -> None:
    last = frames[-1]
    if last["error"]:
        assert len(frames) == 1
        assert last["send_method"] == "SenderOnly"
        assert last["error"]["code"] in ("BAD_REQUEST", "NOT_FOUND")
        assert last["error"]["message"]
    else:
        assert unsettled(fold(frames)) == unsettled(last["payload"])
    try:
        request = parsed(data)
    except RecursionError:  # deeper than this reader goes; the server may, or may not
        return
    if not isinstance(request, dict) or not isinstance(request.get("route"), str):
        assert (last["route"], last["event"], last["error"]["code"]) == ("/", "error", "BAD_REQUEST")
    own_id = request.get("id") if isinstance(request, dict) else None
    assert all("request_id" not in frame or frame["request_id"] == own_id for frame in frames)


def parsed(data: Data) -> object:
    """What RFC 8259 makes of a frame, None for what is not JSON."""
    try:
        text = data if isinstance(data, str) else data.decode()
        return json.loads(text, parse_constant=no_json)
    except ValueError:
        return None


def no_json(constant: str) -> NoReturn:
    raise ValueError(constant)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With answers that are short, but take more than a moment."""
    return replace(settings, offline_words=20)
