"""Section 3: what every frame of a server looks like, who gets it, and how what is wrong is answered."""

import asyncio

from conformance.assets import ALICE, ALICE_NAME, BOB, BOB_EMAIL, HIDDEN, METRIC, MISSING
from conformance.requests import OPEN, expect_error_at, goes_on
from conformance.room import LONG_PROMPT, Room
from conformance.rule import Rule, expect, expect_equal
from conformance.telling import expect_adds_up
from conformance.wire import EVENTS, GET, LIST, POST, STOP, Heard, Payload, label

KEYS = ["route", "event", "payload", "sent_by", "error", "send_method"]
DEEP = "[" * 5000 + "]" * 5000
UNREADABLE: list[str | bytes] = [
    "",
    "not JSON",
    '{"route": "/chats/post", "payload": {"prompt": "Hi"}',
    "[]",
    '"/chats/list"',
    "7",
    "null",
    "{}",
    '{"payload": {"prompt": "Hi"}}',
    '{"route": null, "payload": {}}',
    '{"route": 7, "payload": {}}',
    '{"route": ["/chats/list"], "payload": {}}',
    '{"route": NaN}',
    DEEP,
    b"\xff\xfe",
    b'{"route": "/chats/\xff"}',
]


async def told(room: Room) -> list[Heard]:
    """One frame or more of each kind, as asked for by Alice."""
    frames = [heard for _, recording in await room.recordings() for heard in recording.sender + recording.other]
    async with room.open() as line:
        frames.append(await line.answer({}, LIST))
        frames.append(await line.answer({"id": frames[0].chat_id}, GET, id="g"))
        for route in (POST, GET, LIST, STOP, "/nope"):
            frames.append(await line.answer(7, route, id="bad"))
        await line.socket.send("not JSON")
        frames.append(await line.hear())
        frames.append(await line.answer({"asset_id": MISSING, "asset_type": "metric"}, id="m"))
    return frames


async def keys_in_order(room: Room) -> None:
    for heard in await told(room):
        wanted = KEYS + (["request_id"] if "request_id" in heard.frame else [])
        expect_equal(list(heard.frame), wanted, f"the keys of a {heard.event}")


async def text_frames(room: Room) -> None:
    for heard in await told(room):
        expect(isinstance(heard.raw, str), f"a {heard.event} in a binary frame")


async def payload_or_error(room: Room) -> None:
    for heard in await told(room):
        expect((heard.payload is None) != (heard.error is None), f"a {heard.event} with both payload and error, or neither")
        if heard.error is not None:
            right = isinstance(heard.error, dict) and list(heard.error)[:2] == ["code", "message"]
            expect(right and isinstance(heard.error["message"], str) and bool(heard.error["message"]), f"the error {heard}")


async def no_retry_after(room: Room) -> None:
    async with room.open(BOB) as line:
        for payload, route in ((7, POST), ({"metric_id": MISSING}, POST), ({"id": MISSING}, GET), ({"id": MISSING}, STOP)):
            heard = await line.answer(payload, route)
            expect(isinstance(heard.error, dict) and "retry_after" not in heard.error, f"{heard}")


async def sent_by(room: Room) -> None:
    for heard in await told(room):
        expect_equal(heard.frame.get("sent_by"), {"id": ALICE, "name": ALICE_NAME}, f"sent_by of a {heard.event}")
        expect_equal(list(heard.frame["sent_by"]), ["id", "name"], "its keys")
    async with room.open(BOB) as line:
        by = (await line.answer({}, LIST)).frame.get("sent_by")
        expect_equal(by, {"id": BOB, "name": BOB_EMAIL}, "sent_by of a user without a name")


async def send_methods(room: Room) -> None:
    for heard in await told(room):
        wanted = "All" if heard.route == POST and heard.error is None else "SenderOnly"
        expect_equal(heard.frame.get("send_method"), wanted, f"send_method of a {heard.event}")


async def all_connections(room: Room) -> None:
    async with room.open() as line, room.open() as one, room.open() as two:
        stream = [heard.raw for heard in await line.post(OPEN)]
        for other in (one, two):
            expect([heard.raw for heard in await other.rest_with_end()] == stream, "another connection was told something else")


async def sender_only(room: Room) -> None:
    async with room.open() as other:
        await told(room)
        await other.expect_nothing()


async def nobody_else(room: Room) -> None:
    async with room.open(BOB) as bob, room.open() as line:
        await line.post(OPEN)
        await bob.expect_nothing()


async def unreadable(room: Room) -> None:
    async with room.open() as line:
        for data in UNREADABLE:
            await line.socket.send(data)
            heard = await line.hear()
            expect(
                (heard.route, heard.event, heard.code) == ("/", "error", "BAD_REQUEST"), f"{data[:60]!r}: {heard.route} {heard}"
            )
        await goes_on(line)


async def disturbs_no_other(room: Room) -> None:
    async with room.open() as line, room.open() as other:
        id = label()
        await line.ask({"prompt": LONG_PROMPT}, id=id)
        for data in UNREADABLE[:5]:
            await line.socket.send(data)
        for number in range(5):
            await line.ask(7, id=f"bad-{number}")
        stream: list[Heard] = []
        refused = 0
        while not stream or not stream[-1].is_end or refused < 10:
            heard = await line.hear()
            refused += heard.code == "BAD_REQUEST"
            stream += [heard] if heard.label == id else []
        expect_adds_up(stream)
        await line.expect_nothing()
        expect(all(heard.label == id for heard in await other.rest_with_end()), "another connection heard of the bad frames")


async def all_at_once(room: Room) -> None:
    async with room.open() as line:
        ids = [label() for _ in range(3)]
        await asyncio.gather(*(line.ask(OPEN, id=id) for id in ids))
        streams: dict[str, list[Heard]] = {id: [] for id in ids}
        while not all(stream and stream[-1].is_end for stream in streams.values()):
            heard = await line.hear()
            expect(heard.label in streams, f"there also came {heard}")
            streams[heard.label].append(heard)
        for stream in streams.values():
            expect_equal(
                [heard.event for heard in stream], ["initializeChat", *["generatingResponseMessage"] * 2, "complete"], "it"
            )


async def not_found(room: Room) -> None:
    payloads: list[Payload] = [
        {"asset_id": MISSING, "asset_type": "metric"},
        {"asset_id": HIDDEN, "asset_type": "metric"},
        {"asset_id": HIDDEN, "asset_type": "metric", "prompt": "What is it?"},
        {"metric_id": HIDDEN},
        {"asset_id": METRIC, "asset_type": "dashboard"},
        {"dashboard_id": METRIC},
    ]
    async with room.open(BOB) as bob, room.open() as line:
        theirs = (await bob.chat({"metric_id": HIDDEN}))["id"]
        first = await line.answer(payloads[0])
        expect_error_at(first, POST, EVENTS[POST], "NOT_FOUND")
        for payload in [*payloads, {"prompt": "Go on", "chat_id": MISSING}, {"prompt": "Go on", "chat_id": theirs}]:
            expect_equal((await line.answer(payload)).raw, first.raw, f"the answer to {payload}")


RULES = [
    Rule("3.1", "A frame has its six keys in this order, and then request_id when asked for.", keys_in_order),
    Rule("3.2", "Every answer is a text frame.", text_frames),
    Rule("3.3", "A frame has either a payload or an error, which has a code and a message.", payload_or_error),
    Rule("3.4", "sent_by is the user's id and name, or e-mail when there is no name.", sent_by),
    Rule("3.5", "send_method is All in a stream, and SenderOnly for errors, getChat and getChatsList.", send_methods),
    Rule("3.6", "What is sent to All comes to every connection of the user.", all_connections),
    Rule("3.7", "What is SenderOnly comes to no other connection of the user.", sender_only),
    Rule("3.8", "A user hears nothing of another one's streams.", nobody_else),
    Rule("3.9", "What has no readable route is answered on “/”, “error”; the connection stays open.", unreadable),
    Rule("3.10", "Bad frames disturb no stream, and no other connection.", disturbs_no_other),
    Rule("3.11", "Requests that are sent at once are each answered.", all_at_once),
    Rule("3.12", "An asset or a chat is NOT_FOUND in the same words whether it is missing or may not be seen.", not_found),
    Rule("3.14", "An error that trying again later would not mend has no retry_after.", no_retry_after),
]
