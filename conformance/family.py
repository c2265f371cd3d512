"""Section 2, what a user does with chats besides posting: names, favourites, feedback, copies and deletion."""

import asyncio
from uuid import uuid4

from conformance.assets import BOB, HIDDEN, METRIC, MISSING
from conformance.requests import expect_bad, expect_error_at
from conformance.room import Room
from conformance.rule import Rule, expect, expect_equal, quoted
from conformance.shapes import CHAT, LIST_ITEM, expect_shapes
from conformance.wire import COPY, DELETE, EVENTS, GET, LIST, RATE, UPDATE, Heard, Line, Payload


async def told(line: Line, other: Line, route: str, payload: Payload) -> Heard:
    """The answer, which the user's other connection has heard, too."""
    heard = await line.answer(payload, route)
    expect_equal((heard.route, heard.event, heard.error), (route, EVENTS[route], None), "the answer")
    expect_equal(heard.frame["send_method"], "All", "send_method")
    expect_equal((await other.hear()).payload, heard.payload, "what another connection was told")
    return heard


async def some_chat(line: Line) -> Payload:
    """A chat of the user's, which rules before this one have mostly made: there are only so many posts in a minute."""
    listed = (await line.answer({"page_size": 1}, LIST)).payload
    id = listed[0]["id"] if listed else (await line.chat({"metric_id": HIDDEN}))["id"]
    chat: Payload = (await line.answer({"id": id}, GET)).payload
    return chat


async def update(room: Room) -> None:
    async with room.open(BOB) as line:
        chat = await some_chat(line)
    async with room.open(BOB) as line, room.open(BOB) as other:
        for change in ({"title": "Named by a rule"}, {"is_favorited": True}, {"is_favorited": False, "title": chat["title"]}):
            heard = await told(line, other, UPDATE, {"id": chat["id"], **change})
            expect_shapes(LIST_ITEM, [heard.payload], "the chat of the list")
            got = (await line.answer({"id": chat["id"]}, GET)).payload
            for key, value in change.items():
                expect_equal((heard.payload[key], got[key]), (value, value), key)
        for wrong in ({}, {"title": " "}, {"title": 7}, {"title": "x" * 201}, {"is_favorited": "x"}):
            expect_bad(await line.answer({"id": chat["id"], **wrong}, UPDATE), UPDATE)


async def search(room: Room) -> None:
    async with room.open(BOB) as line, room.open() as alice:
        chat = await some_chat(line)
        mark = uuid4().hex
        title = f"Crème brûlée and not of {mark}, 東京都"
        await line.answer({"id": chat["id"], "title": title}, UPDATE)
        try:
            for query in (mark, f"CREME {mark}", f"{mark} brule", f"{mark[:20]}", f'"{mark}" AND* -of', f"{mark} 京都"):
                expect_equal(await ids_found(line, query), [chat["id"]], f"what {quoted(query)} finds")
                expect(chat["id"] not in await ids_found(alice, query), "somebody else's chat is found")
            for query in (f"{mark} missing", f"brul {mark}", f"{mark}x", f"{mark} 大阪"):
                expect_equal(await ids_found(line, query), [], f"what {quoted(query)} finds")
            expect(bool(await ids_found(line, " ")), "a blank query finds nothing")
            expect_bad(await line.answer({"query": "x" * 201}, LIST), LIST)
            expect_bad(await line.answer({"query": 7}, LIST), LIST)
        finally:
            await line.answer({"id": chat["id"], "title": chat["title"] or "Chat"}, UPDATE)
        expect_equal(await ids_found(line, mark), [], "what a title finds that is none any more")


async def ids_found(line: Line, query: str) -> list[str]:
    """The ids of the chats that a query finds."""
    return [item["id"] for item in (await line.answer({"query": query}, LIST)).payload]


async def search_twin(room: Room) -> None:
    chat = (await room.recorded("a prompt")).chat["id"]
    found = await room.twin("GET", "/chats?page_size=3500&query=ALICE+thanks,+%22briefly%22+answ")
    expect_shapes(LIST_ITEM, found.body, "a chat of the list")
    expect(chat in [item["id"] for item in found.body], "a chat is not found by words of its prompt")
    none = await room.twin("GET", f"/chats?query=thanks+alice+{uuid4().hex}")
    expect_equal((none.status, none.body), (200, []), "what is found by a word that no chat has")
    expect_equal((await room.twin("GET", f"/chats?query={'x' * 201}")).status, 400, "a query that is too long")


async def rate(room: Room) -> None:
    chat = (await room.recorded("a metric")).chat
    message = chat["message_ids"][0]
    async with room.open() as line, room.open() as other:
        for feedback in ("positive", "negative", None):
            heard = await told(line, other, RATE, {"id": message, "feedback": feedback})
            expect_equal(heard.payload, {"chat_id": chat["id"], "message_id": message, "feedback": feedback}, "the answer")
            got = (await line.answer({"id": chat["id"]}, GET)).payload
            expect_equal(got["messages"][message]["feedback"], feedback, "the feedback")
        for wrong in ({}, {"feedback": "good"}, {"feedback": True}):
            expect_bad(await line.answer({"id": message, **wrong}, RATE), RATE)


async def copy_and_delete(room: Room) -> None:
    async with room.open(BOB) as line:
        chat = await some_chat(line)
    async with room.open(BOB) as line, room.open(BOB) as other:
        copy = (await told(line, other, COPY, {"id": chat["id"], "message_id": chat["message_ids"][0]})).payload
        expect_shapes(CHAT, [copy], "the copy")
        expect(copy["id"] != chat["id"] and len(copy["message_ids"]) == 1, "no chat of its own with the first message")
        expect_equal((await line.answer({"id": copy["id"]}, GET)).payload, copy, "the copy, when it is got")
        asked, kept = (each["messages"][each["message_ids"][0]]["request_message"] for each in (chat, copy))
        expect_equal(kept, asked, "what was asked in it")
        for _ in range(2):
            gone = await told(line, other, DELETE, {"ids": [copy["id"]]})
            expect_equal(gone.payload, {"ids": [copy["id"]]}, "what is gone")
        expect_error_at(await line.answer({"id": copy["id"]}, GET), GET, EVENTS[GET], "NOT_FOUND")
        listed = (await line.answer({"page_size": 100}, LIST)).payload
        expect(copy["id"] not in [item["id"] for item in listed], "it is still in the list")
        bad: list[Payload] = [{}, {"ids": []}, {"ids": [copy["id"]] * 101}, {"ids": ["x"]}, {"ids": METRIC}]
        for wrong in bad:
            expect_bad(await line.answer(wrong, DELETE), DELETE)


async def unseen(room: Room) -> None:
    async with room.open(BOB) as bob, room.open() as line:
        theirs = await some_chat(bob)
        chat, message = theirs["id"], theirs["message_ids"][0]
        asked: list[tuple[str, Payload, Payload]] = [
            (UPDATE, {"id": chat, "title": "Mine"}, {"id": MISSING, "title": "Mine"}),
            (RATE, {"id": message, "feedback": None}, {"id": MISSING, "feedback": None}),
            (COPY, {"id": chat}, {"id": MISSING}),
            (DELETE, {"ids": [chat]}, {"ids": [MISSING]}),
        ]
        for route, payload, missing in asked:
            refused = await line.answer(missing, route)
            expect_error_at(refused, route, EVENTS[route], "NOT_FOUND")
            expect_equal((await line.answer(payload, route)).raw, refused.raw, "what is told of somebody else's")


async def twins(room: Room) -> None:
    chat = (await room.recorded("a metric")).chat
    path, message = f"/chats/{chat['id']}", f"/messages/{chat['message_ids'][0]}"
    async with room.open() as line:
        listed = await room.twin("GET", "/chats?page_token=0&page_size=3500")
        expect_shapes(LIST_ITEM, listed.body, "a chat of the list")
        expect(chat["id"] in [item["id"] for item in listed.body], "a chat is not in the list")
        got = await room.twin("GET", path)
        expect_equal((got.status, got.body["id"]), (200, chat["id"]), "the chat")
        for method, where, body, event in (
            ("PUT", path, {"is_favorited": True}, "updateChat"),
            ("PUT", path, {"is_favorited": False}, "updateChat"),
            ("PUT", message, {"feedback": "negative"}, "updateMessage"),
            ("PUT", message, {"feedback": None}, "updateMessage"),
        ):
            answer = await room.twin(method, where, body)
            expect_equal((answer.status, answer.body["id"]), (200, chat["id"]), f"{method} {where}")
            expect_equal((await line.hear()).event, event, "what the sockets are told")
        for method, where, wrong, status in (
            ("GET", f"/chats/{MISSING}", None, 404),
            ("PUT", f"/messages/{MISSING}", {"feedback": None}, 404),
            ("PUT", path, {"title": 7}, 400),
            ("DELETE", "/chats", [MISSING], 404),
            ("DELETE", "/chats", [], 400),
            ("GET", "/chats?page_size=5001", None, 400),
            ("POST", f"{path}/stop", None, 404),
        ):
            expect_equal((await room.twin(method, where, wrong)).status, status, f"{method} {where}")
        await line.expect_nothing()


async def events(room: Room) -> None:
    async with room.open(BOB) as line:
        listening = asyncio.create_task(room.events(BOB, "complete"))
        stream: list[Heard] = []
        while not listening.done():  # posts until one is heard from its beginning
            stream = await line.post({"metric_id": HIDDEN})
            await asyncio.wait([listening], timeout=1)
        first, *told = await listening
    expect_equal((first["route"], first["event"]), ("/stream", "resumed"), "the first event")
    expect_equal(told[-1]["payload"]["id"], stream[-1].payload["id"], "whose end it tells")
    expect("offset" in told[-1], "a frame without its offset")


RULES = [
    Rule("2.23", "`/chats/update` names a chat or makes it a favourite, and tells all the chat of the list.", update),
    Rule("2.24", "`/messages/update` keeps what the user thinks of an answer, and tells all.", rate),
    Rule(
        "2.25",
        "`/chats/duplicate` makes a chat of one's own, which `/chats/delete` takes away, each told to all.",
        copy_and_delete,
    ),
    Rule("2.27", "`/chats/list` with a query has the chats with all its words, and nothing in it is an operator.", search),
    Rule("8.15", "`GET /api/v1/chats?query=` has the chats with all words of the query.", search_twin),
    Rule("8.13", "`/api/v1/events` tells what a socket is told, after where it stands.", events),
    Rule("8.12", "Chats are listed, got, changed, rated and deleted over HTTP, too, which the sockets are told.", twins),
    Rule("2.26", "What somebody else owns is NOT_FOUND on these routes, as is what does not exist.", unseen),
]
