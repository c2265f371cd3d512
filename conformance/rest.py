"""Section 8: the same post over HTTP, with the same answers, and the same stream on the sockets."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from conformance.assets import BOB, HIDDEN, METRIC, MISSING
from conformance.connecting import forged
from conformance.payloads import (
    ID_MISSING,
    MORE_THAN_ONE,
    NO_ID,
    NO_TYPE,
    NOTHING,
    NOTHING_ASKED,
    ORDER,
    SEVERAL,
    TYPE_MISSING,
)
from conformance.requests import BOBS, OLD_KEYS
from conformance.room import Room, expect_refusal
from conformance.rule import Rule, expect, expect_equal
from conformance.shapes import CHAT, expect_shapes
from conformance.telling import expect_adds_up
from conformance.wire import GET, Heard, Payload

CHECKS = [(TYPE_MISSING, NO_TYPE), (ID_MISSING, NO_ID), (MORE_THAN_ONE, SEVERAL), (NOTHING_ASKED, NOTHING)]
UNDECODABLE: list[tuple[str, Payload]] = [
    ("asset_type", {"asset_type": "x", "asset_id": METRIC}),
    ("prompt", {"prompt": 7}),
    ("prompt", {"prompt": "a\0b"}),
    ("chat_id", {"prompt": "Hi", "chat_id": "x"}),
]
NOT_JSON: list[Any] = [b"", b"{", b"\xff", [], "Hi", 7, None]


async def finished(room: Room) -> None:
    for payload in (BOBS, {"prompt": "In one word: who are you?", **OLD_KEYS}):
        async with room.open(BOB) as line:
            answer = await room.rest(payload, BOB)
            expect_equal(answer.status, 200, "the status")
            expect_shapes(CHAT, [answer.body], "the body")
            expect(all(message["is_completed"] for message in answer.body["messages"].values()), "a message is not completed")
            await line.rest_with_end()
            got = await line.answer({"id": answer.body["id"]}, GET)
            expect(got.payload == answer.body, f"then /chats/get has {got}")


async def streams(room: Room) -> None:
    async with room.open() as one, room.open() as two:
        answer = await room.rest({"prompt": "In one word: who hears this?"})
        frames, others = await one.rest_with_end(), await two.rest_with_end()
        expect(
            [heard.event for heard in frames][:1] == ["initializeChat"], f"the sockets were told {[h.event for h in frames]}"
        )
        expect(frames[-1].payload == answer.body, f"the body is not the complete of the sockets: {frames[-1]}")
        expect_adds_up(frames)
        expect(others[-1].raw == frames[-1].raw, "two sockets were told two ends")
        expect(not any("request_id" in heard.frame for heard in frames), "a frame with a request_id")


async def unauthorized(room: Room) -> None:
    expect_refusal(await room.rest({"prompt": "Hi"}, user=None), 401, "UNAUTHORIZED", "no token")
    for token in ("nonsense", *forged(room.token)):
        expect_refusal(await room.rest({"prompt": "Hi"}, token=token), 401, "UNAUTHORIZED", "invalid token")


async def query(room: Room) -> None:
    answer = await room.rest({}, user=None, query=f"?authentication={room.token}")
    expect_refusal(answer, 400, "BAD_REQUEST", NOTHING_ASKED)


async def checks(room: Room) -> None:
    for message, payloads in CHECKS:
        for payload in payloads:
            expect_refusal(await room.rest(payload), 400, "BAD_REQUEST", message)
    for payload, message in ORDER:
        expect_refusal(await room.rest(payload), 400, "BAD_REQUEST", message)


async def undecodable(room: Room) -> None:
    for field, payload in UNDECODABLE:
        answer = await room.rest(payload)
        expect_refusal(answer, 400, "BAD_REQUEST")
        expect(field in answer.body["message"], f"a message that does not name {field}: {answer.body}")


async def not_json(room: Room) -> None:
    for body in NOT_JSON:
        expect_refusal(await room.rest(body), 400, "BAD_REQUEST")


async def not_found(room: Room) -> None:
    missing = await room.rest({"metric_id": MISSING})
    expect_refusal(missing, 404, "NOT_FOUND")
    async with room.open(BOB) as bob:
        theirs = (await bob.chat(BOBS))["id"]
    for payload in ({"metric_id": HIDDEN}, {"prompt": "Go on", "chat_id": theirs}):
        expect_equal(await room.rest(payload), missing, f"the answer to {payload}")


async def retry(room: Room) -> None:
    payload = {**BOBS, "message_id": str(uuid4())}
    async with room.open(BOB) as line:
        chat = await line.chat(payload)
        expect_equal((await room.rest(payload, BOB)).status, 200, "the status of a retry")
        expect((await room.rest(payload, BOB)).body == chat, "the body of a retry is not the chat as it was")
        await line.expect_nothing()


async def at_once(room: Room) -> None:
    payload = {"prompt": "In one word: how often?", "message_id": str(uuid4())}
    async with room.open(BOB) as line:
        one, two = await asyncio.gather(room.rest(payload, BOB), room.rest(payload, BOB))
        ends = [heard for heard in await line.rest_with_end() if heard.is_end]
    expect_equal((one.status, two.status), (200, 200), "the statuses")
    expect(one.body == two.body, "two posts of one message_id have two answers")
    expect_equal(len(ends), 1, "the number of streams of two posts of one message_id")


async def streamed(room: Room) -> None:
    payload = {"prompt": "In one word: what comes?", "message_id": str(uuid4())}
    async with room.open(BOB) as line:
        answer, other = await asyncio.gather(room.streamed(payload, BOB), room.streamed({"metric_id": HIDDEN}, BOB))
        for told in (answer, other):
            expect_equal(told.status, 200, "the status")
            frames = [Heard(json.dumps(frame)) for frame in told.body]
            expect_equal([heard.is_end for heard in frames], [False] * (len(frames) - 1) + [True], "which frame is an end")
            expect_adds_up(frames)
            expect_equal({heard.chat_id for heard in frames}, {frames[0].chat_id}, "the chats that are told of")
            expect(all("offset" in heard.frame for heard in frames), "a frame without its offset")
        heard = [await line.until_end() for _ in range(2)]
        ends = [frames[-1].payload for frames in heard]
        expect(answer.body[-1]["payload"] in ends and other.body[-1]["payload"] in ends, "the sockets are told other ends")
    again = await room.streamed(payload, BOB)
    expect_equal([frame["event"] for frame in again.body], ["complete"], "a retry of what is finished")
    expect(again.body[0]["payload"] == answer.body[-1]["payload"], "a retry gets another end")
    expect_refusal(await room.streamed({}, BOB), 400, "BAD_REQUEST", NOTHING_ASKED)


RULES = [
    Rule("8.1", "`POST /api/v1/chats` is answered by 200 and the finished chat.", finished),
    Rule("8.2", "The user's sockets see its stream, and the body is their complete.", streams),
    Rule("8.3", "Without a token, or with a bad one, it is 401 in the words of the upgrade.", unauthorized),
    Rule("8.4", "The token may be in the query.", query),
    Rule("8.5", "The checks of section 4 answer 400 in the same words and order.", checks),
    Rule("8.6", "A payload that does not decode is a 400 that names its field.", undecodable),
    Rule("8.7", "What is no JSON object is a 400.", not_json),
    Rule("8.8", "What is missing or may not be seen is the same 404.", not_found),
    Rule("8.9", "A retry is answered by the chat as it is, and nothing is run.", retry),
    Rule("8.10", "Two posts of one message_id at once are one run with one answer.", at_once),
    Rule("8.14", "Who accepts `text/event-stream` gets the frames of that post alone, up to its end.", streamed),
]
