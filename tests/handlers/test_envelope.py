"""Frames whose route can be read, but which are bad elsewhere, or only look bad. PROTOCOL.md sections 2 and 3."""

import json
from typing import Any

import pytest

from tests.support.client import Frame, fold, unsettled
from tests.support.frames import HEAD, HUGE, TAIL, Data, assert_goes_on, assert_refused, beside, within
from tests.support.house import House
from tests.support.world import REVENUE

POST = ("/chats/post", "postThread", "c")
POST_WITHOUT_ID = ("/chats/post", "postThread", None)

BAD_ENVELOPE: dict[str, Data] = {
    "another route's event": beside("event", '"getChat"'),
    "an event of the answers": beside("event", '"complete"'),
    "the event in another case": beside("event", '"PostThread"'),
    "an empty event": beside("event", '""'),
    "a number as the event": beside("event", "7"),
    "a huge number as the event": beside("event", HUGE),
    "a list as the event": beside("event", '["postThread"]'),
    "a lone surrogate as the event": beside("event", r'"\ud800"'),
    "a lone surrogate in an unknown key": beside("x", r'"\ud800"'),
    "a lone surrogate in a key's name": beside(r"\ud800", "1"),
    "a lone surrogate in a key's name in the payload": within(r'{"prompt": "Hi", "\udfff": 1}'),
    "a lone surrogate behind 500 arrays": beside("x", "[" * 500 + r'"\ud800"' + "]" * 500),
    "a lone surrogate behind 500 objects": within('{"a":' * 500 + r'"\ud800"' + "}" * 500),
    "no payload": '{"route": "/chats/post", "id": "c"}',
}
BAD_PAYLOAD: dict[str, tuple[str, str]] = {
    "null": ("null", ""),
    "a list": ("[]", ""),
    "a list of a payload": ('[{"prompt": "Hi"}]', ""),
    "a string": ('"Hi"', ""),
    "a number": ("7", ""),
    "true": ("true", ""),
    "a lone surrogate in the prompt": (r'{"prompt": "\ud800"}', ".prompt"),
    "a pair of surrogates the wrong way round": (r'{"prompt": "\ude00\ud83d"}', ".prompt"),
    "a lone surrogate in an unknown key": (r'{"prompt": "Hi", "x": "\ud800"}', ".x"),
    "a huge number as the prompt": (f'{{"prompt": {HUGE}}}', ".prompt"),
    "a number beyond floats as an id": ('{"chat_id": 1e999}', ".chat_id"),
    "a prompt replaced by a list": ('{"prompt": "Hi", "prompt": []}', ".prompt"),
}
BAD_ID = {
    "65 characters": json.dumps("x" * 65),
    "a number": "7",
    "a huge number": HUGE,
    "false": "false",
    "a list": '["c"]',
    "an object": '{"c": 1}',
    "NUL": r'"a\u0000"',
    "a lone surrogate": r'"\ud800"',
}
ODD_BUT_GOOD: dict[str, Data] = {
    "blanks around": f" \r\n\t{HEAD}{TAIL}\n",
    "in a binary frame": (HEAD + TAIL).encode(),
    "characters beyond ASCII in a binary frame": within('{"prompt": "Hi", "größe": "😀"}').encode(),
    "with its event": beside("event", '"postThread"'),
    "null as the event": beside("event", "null"),
    "an escaped route": (HEAD + TAIL).replace("/", r"\u002f"),
    "unknown keys": beside("dataset_id", '{"route": "/", "id": [1, 1.5e3, null]}'),
    "an unknown key of no name": beside("", "[]"),
    "keys of the answers": f'{{"error": {{"code": 7}}, "sent_by": 7, "request_id": "x", "offset": -1, {HEAD[1:]}{TAIL}',
    "a huge number in an unknown key": beside("x", HUGE),
    "a number beyond floats in an unknown key": within('{"prompt": "Hi", "x": -1e999}'),
    "an escaped NUL in an unknown key": within(r'{"prompt": "Hi", "x": "\u0000", "\u0000": 1}'),
    "100 arrays in an unknown key": beside("x", "[" * 100 + "]" * 100),
    "the route twice": f'{{"route": "/nope", {HEAD[1:]}{TAIL}',
    "the id twice": f'{{"id": "first", {HEAD[1:]}{TAIL}',
    "the event twice": f'{{"event": "nope", {HEAD[1:]}"event": "postThread", {TAIL}',
    "the payload twice": beside("payload", '{"prompt": "First"}'),
    "the prompt twice": within('{"prompt": "First", "prompt": "Hi"}'),
}


async def test_a_bad_envelope_is_answered_on_the_route_and_event_that_it_meant(house: House, subtests: pytest.Subtests) -> None:
    for name, data in BAD_ENVELOPE.items():
        with subtests.test(name):
            assert await assert_refused(house, data, POST)


async def test_a_bad_id_is_not_repeated(house: House, subtests: pytest.Subtests) -> None:
    for name, id in BAD_ID.items():
        with subtests.test(name):
            assert await assert_refused(house, f'{{"route": "/chats/post", "id": {id}, {TAIL}', POST_WITHOUT_ID)


@pytest.mark.parametrize("id", ["", "a\tb", "a\nb", "\u00a0", "😀" * 64])
async def test_a_good_id_is_repeated_by_whatever_answers(house: House, subtests: pytest.Subtests, id: str) -> None:
    frame: dict[str, Any] = {"route": "/chats/post", "id": id, "payload": {"prompt": "Hi"}}
    bad: dict[str, dict[str, object]] = {
        "an event": {"event": 7},
        "a payload": {"payload": 7},
        "a prompt": {"payload": {"prompt": 7}},
    }
    for name, change in bad.items():
        with subtests.test(name):
            assert await assert_refused(house, json.dumps({**frame, **change}), ("/chats/post", "postThread", id))
    async with house.connect() as client:
        await client.socket.send(json.dumps(frame))
        assert {(list(answer)[-1], answer["request_id"]) for answer in await client.stream()} == {("request_id", id)}


async def test_a_bad_payload_is_answered_by_where_it_is_bad(house: House, subtests: pytest.Subtests) -> None:
    for name, (payload, where) in BAD_PAYLOAD.items():
        with subtests.test(name):
            message = await assert_refused(house, within(payload), POST)
            assert message.endswith(f" - at `$.payload{where}`")


async def test_an_odd_frame_that_is_good_is_answered(house: House, subtests: pytest.Subtests) -> None:
    for name, data in ODD_BUT_GOOD.items():
        with subtests.test(name):
            async with house.connect() as client:
                await client.socket.send(data)
                stream = await client.stream()
                assert {frame.get("request_id") for frame in stream} == {"c"}
                (message,) = stream[-1]["payload"]["messages"].values()
                assert message["request_message"]["request"] == "Hi"


async def test_of_a_bad_frame_only_its_sender_hears(house: House) -> None:
    async with house.connect() as sender, house.connect() as other:
        for data in ("not JSON", "[]", within("7"), beside("event", "7")):
            await sender.socket.send(data)
            assert (await sender.frame())["error"]["code"] == "BAD_REQUEST"
        await sender.send({"metric_id": str(REVENUE)})
        assert await other.stream() == await sender.stream()


async def test_a_bad_frame_leaves_the_streams_of_its_own_connection_alone(house: House) -> None:
    async with house.connect() as client:
        await client.send({"prompt": "Are you still there?"}, id="good")
        for number in range(20):
            await client.send(7, id=str(number))
        refused: list[str] = []
        stream: list[Frame] = []
        while len(refused) < 20 or not stream or stream[-1]["event"] != "complete":
            frame = await client.frame()
            if frame["error"]:
                refused.append(frame["request_id"])
            else:
                stream.append(frame)
        assert refused == [str(number) for number in range(20)]
        assert {frame["request_id"] for frame in stream} == {"good"}
        assert unsettled(fold(stream)) == unsettled(stream[-1]["payload"])
        await assert_goes_on(client)
