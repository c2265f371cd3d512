"""The recorded examples: of every message one, still what servers say, and what the schemas and the structs allow."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handlers.http.asyncapi import answers, requests
from handlers.http.documents import EXAMPLES_FILE, examples
from handlers.routes import ROUTES
from schemas.errors import WsErrorCode
from schemas.frames import decode
from tests.programs.examples import recorded
from tests.support.documents import envelope
from tests.support.fitting import MESSAGES, message

RECORDED = [(name, frame) for name, frames in examples()["messages"].items() for frame in frames]


async def test_servers_still_say_what_was_recorded(tmp_path: Path) -> None:
    assert await recorded(tmp_path) == json.loads(EXAMPLES_FILE.read_text()), "`make examples` records them anew"


def test_each_message_has_an_example_that_stands_in_the_document() -> None:
    assert set(examples()["messages"]) == set(MESSAGES)
    for name, each in MESSAGES.items():
        assert [example["payload"] for example in each["examples"]] == examples()["messages"][name]


def test_each_kind_of_error_has_an_example() -> None:
    codes = {frame["error"]["code"] for name, frame in RECORDED if name == "postThreadError"}
    assert codes == {code.value for code in WsErrorCode}


@pytest.mark.parametrize(("name", "frame"), RECORDED)
def test_an_example_fits_its_own_schema_and_no_other(name: str, frame: dict[str, Any]) -> None:
    same_way = requests() if name in requests() else answers()
    fits = {other for other in same_way if message(other).is_valid(frame)}
    assert name in fits
    assert fits - {"error"} == {name} - {"error"}  # that one quotes any route
    assert set(frame) <= set(envelope(name))


@pytest.mark.parametrize(("name", "frame"), RECORDED)
def test_an_example_is_read_by_the_structs(name: str, frame: dict[str, Any]) -> None:
    text = json.dumps(frame).encode()
    if name in requests():
        ROUTES[frame["route"]].payload.decode(json.dumps(frame["payload"]).encode())
    else:
        decode(text)
        assert list(frame)[:6] == ["route", "event", "payload", "sent_by", "error", "send_method"]
        message = msgspec.json.decode(text, type=answers()[name].frame, strict=True)
        assert json.loads(msgspec.json.encode(message)) == frame
