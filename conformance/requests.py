"""Section 2, the envelope: what a request may look like, and what is wrong with one whose route can be read."""

import json
from itertools import product

from conformance.assets import BOB, HIDDEN, METRIC
from conformance.room import Room
from conformance.rule import Rule, expect, expect_equal
from conformance.wire import EVENTS, GET, LIST, POST, STOP, Heard, Line, Payload

LARGEST = 512 * 1024  # bytes of a frame
OPEN = {"metric_id": METRIC}
BOBS = {"metric_id": HIDDEN}  # the same for Bob, who posts where it does not matter who does: there are rate limits
OLD_KEYS: Payload = {"dataset_id": "x", "suggestion_id": 7, "": [{}, None, 1e9]}
BAD_IDS: list[object] = ["x" * 65, 7, True, ["x"], {}]
NO_OBJECTS: list[object] = [[], "x", 7]


async def ids_come_back(room: Room) -> None:
    for name, recording in await room.recordings():
        for heard in recording.sender + recording.other + recording.numbered[1:]:
            expect_equal(heard.label, recording.id, f"the request_id of a {heard.event} of {name}")


async def no_id_no_key(room: Room) -> None:
    async with room.open(BOB) as line:
        await line.ask({}, LIST)
        await line.ask({}, POST)
        for heard in [await line.hear(), await line.hear(), *await line.post(BOBS)]:
            expect("request_id" not in heard.frame, f"a {heard.event} with a request_id")


async def good_ids(room: Room) -> None:
    async with room.open() as line:
        for id in ("", "x", "x" * 64, "é" * 64, "a b\t“c”"):
            expect_equal((await line.answer({}, LIST, id=id)).label, id, "the request_id of a getChatsList")
            expect_equal((await line.answer({}, POST, id=id)).label, id, "the request_id of an error")


async def bad_ids(room: Room) -> None:
    async with room.open() as line:
        for id in BAD_IDS:
            heard = await line.answer({}, LIST, id=id)
            expect_bad(heard, LIST)
            expect("request_id" not in heard.frame, f"an answer to the bad id {id} has a request_id")


async def right_events(room: Room) -> None:
    async with room.open(BOB) as line:
        expect_equal((await line.answer({}, LIST, event=EVENTS[LIST])).event, EVENTS[LIST], "the answer")
        await line.post(BOBS, event=EVENTS[POST])


async def wrong_events(room: Room) -> None:
    async with room.open() as line:
        for route, payload in ((POST, OPEN), (GET, {"id": METRIC}), (LIST, {}), (STOP, {"id": METRIC})):
            other = EVENTS[LIST] if route == POST else EVENTS[POST]
            for event in (other, "complete", ""):
                expect_bad(await line.answer(payload, route, event=event, id="e"), route)
        expect_bad(await line.answer(OPEN, event=7, id="e"), POST)


async def unknown_keys(room: Room) -> None:
    async with room.open(BOB) as line:
        await line.ask({**BOBS, **OLD_KEYS}, request_id=7, offset=-1, dataset_id="x", sent_by={})
        expect_equal((await line.until_end())[-1].event, "complete", "the end of a post with keys of older clients")
        expect_equal((await line.answer(OLD_KEYS, LIST)).event, EVENTS[LIST], "the answer")


async def binary(room: Room) -> None:
    async with room.open(BOB) as line:
        await line.socket.send(json.dumps({"route": POST, "payload": BOBS, "größe": "€"}, ensure_ascii=False).encode())
        stream = await line.until_end()
        expect_equal(stream[-1].event, "complete", "the end of a post in a binary frame")
        expect(all(isinstance(heard.raw, str) for heard in stream), "an answer in a binary frame")


async def large(room: Room) -> None:
    async with room.open() as line:
        frame = json.dumps({"route": LIST, "payload": {}, "x": ""})
        await line.socket.send(frame[:-2] + "x" * (LARGEST - len(frame)) + '"}')
        expect_equal((await line.hear()).event, EVENTS[LIST], "the answer to a frame of 524,288 bytes")


async def unknown_route(room: Room) -> None:
    async with room.open() as line:
        heard = await line.answer({}, "/chats/nope", event="nopeNope", id="n")
        expect_error_at(heard, "/chats/nope", "nopeNope")
        expect_equal(heard.label, "n", "its request_id")
        await goes_on(line)


async def no_payload(room: Room) -> None:
    async with room.open() as line:
        for route, payload in product(EVENTS, NO_OBJECTS):
            expect_bad(await line.answer(payload, route, id="p"), route)
        for route in (POST, GET, STOP):  # a list has no key that it needs
            expect_bad(await line.answer(None, route, id="p"), route)
            await line.socket.send(json.dumps({"route": route, "id": "p"}))
            expect_bad(await line.hear(), route)
        await goes_on(line)


async def goes_on(line: Line) -> None:
    """Go on only if the connection still answers."""
    expect_equal((await line.answer({}, LIST)).event, EVENTS[LIST], "the answer of the connection that was to stay open")


def expect_bad(heard: Heard, route: str) -> None:
    """Go on only if it is a BAD_REQUEST on this route and its event."""
    expect_error_at(heard, route, EVENTS[route])


def expect_error_at(heard: Heard, route: str, event: str, code: str = "BAD_REQUEST") -> None:
    """Go on only if it is an error there."""
    expect((heard.route, heard.event, heard.code) == (route, event, code), f"{heard.route} {heard}")


RULES = [
    Rule("2.1", "The id of a request is the request_id of each frame that answers it, on all connections.", ids_come_back),
    Rule("2.2", "What answers a request without id has no request_id.", no_id_no_key),
    Rule("2.3", "An id may be any text of up to 64 characters.", good_ids),
    Rule("2.4", "An id that is longer, or no text, is a BAD_REQUEST, and does not come back.", bad_ids),
    Rule("2.5", "A request may name the event that its route answers to.", right_events),
    Rule("2.6", "A request with another event is a BAD_REQUEST, on its route and that one's event.", wrong_events),
    Rule("2.7", "Unknown keys are ignored, in the envelope and in the payload.", unknown_keys),
    Rule("2.8", "A binary frame of UTF-8 JSON is as good, and answered by text frames.", binary),
    Rule("2.9", "A frame of 512 KiB is read.", large),
    Rule("2.10", "A request of an unknown route is a BAD_REQUEST on that route and its own event.", unknown_route),
    Rule("2.11", "A request without payload, or with one that is no object, is a BAD_REQUEST on its route.", no_payload),
]
