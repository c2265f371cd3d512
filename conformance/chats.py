"""Section 2, the routes beside `/chats/post`: getting, listing and stopping chats."""

from datetime import datetime

from conformance.assets import ALICE, ALICE_NAME, BOB, HIDDEN, METRIC, MISSING
from conformance.requests import expect_bad, expect_error_at
from conformance.room import LONG_PROMPT, Room, in_the_middle
from conformance.rule import Rule, expect, expect_equal, quoted
from conformance.shapes import LIST_ITEM, expect_shapes
from conformance.telling import expect_adds_up, expect_goes_on
from conformance.wire import EVENTS, GET, LIST, STOP, Line, label

NOT_IDS: list[object] = ["", "x", f"{MISSING}0", 7, None, [METRIC]]


async def get(room: Room) -> None:
    for name, recording in await room.recordings():
        async with room.open() as line:
            heard = await line.answer({"id": recording.chat["id"]}, GET, id="g")
            expect_equal((heard.route, heard.event, heard.label), (GET, EVENTS[GET], "g"), "the answer")
            expect(heard.payload == recording.chat, f"{name} is not what its complete was: {heard}")
            await line.expect_nothing()


async def get_unseen(room: Room) -> None:
    async with room.open(BOB) as bob, room.open() as line:
        theirs = (await bob.chat({"metric_id": HIDDEN}))["id"]
        missing = await line.answer({"id": MISSING}, GET)
        expect_error_at(missing, GET, EVENTS[GET], "NOT_FOUND")
        expect_equal((await line.answer({"id": theirs}, GET)).raw, missing.raw, "what is told of somebody else's chat")


async def bad_ids(room: Room) -> None:
    async with room.open() as line:
        for route in (GET, STOP):
            for id in NOT_IDS:
                expect_bad(await line.answer({"id": id}, route), route)
            expect_bad(await line.answer({}, route), route)
        expect_bad(await line.answer({"id": MISSING, "message_id": "x"}, STOP), STOP)


async def items(room: Room) -> None:
    chat = (await room.recorded("a metric")).chat
    async with room.open() as line:
        heard = await line.answer({"page_size": 100}, LIST)
        expect_equal((heard.route, heard.event), (LIST, EVENTS[LIST]), "the answer")
        expect(isinstance(heard.payload, list), f"no list: {heard}")
        expect_shapes(LIST_ITEM, heard.payload, "a chat of the list")
        found = [item for item in heard.payload if item["id"] == chat["id"]]
        expect_equal(len(found), 1, "how often a chat that had ended is in the list")
        (item,) = found
        for key in item.keys() & chat.keys():
            expect_equal(item[key], chat[key], key)
        expect_equal((item["created_by_id"], item["created_by_name"]), (ALICE, ALICE_NAME), "its author")


async def newest_first(room: Room) -> None:
    async with room.open(BOB) as line:
        made = [(await line.chat({"metric_id": HIDDEN}))["id"] for _ in range(3)]
        found = [await page(line, number, 1) for number in range(3)]
        expect_equal(found, [[id] for id in reversed(made)], "three pages of one chat each")
        expect_equal(await page(line, 0, 2), [made[2], made[1]], "a page of two")
        times = [datetime.fromisoformat(item["created_at"]) for item in (await line.answer({"page_size": 100}, LIST)).payload]
        expect(times == sorted(times, reverse=True), f"not the newest first: {quoted(times[:5])}")


async def page(line: Line, number: int, size: int) -> list[str]:
    """The ids of a page of the list."""
    return [item["id"] for item in (await line.answer({"page_token": number, "page_size": size}, LIST)).payload]


async def bad_pages(room: Room) -> None:
    bad: list[dict[str, object]] = [{"page_size": 0}, {"page_size": 101}, {"page_size": "x"}, {"page_token": "x"}]
    async with room.open() as line:
        for payload in bad:
            expect_bad(await line.answer(payload, LIST), LIST)


async def only_ones_own(room: Room) -> None:
    chat = (await room.recorded("a metric")).chat["id"]
    async with room.open(BOB) as line:
        found = (await line.answer({"page_size": 100}, LIST)).payload
        expect(chat not in [item["id"] for item in found], "a chat of somebody else's is in the list")


async def stop(room: Room) -> None:
    async def attempt() -> bool:
        async with room.open() as line, room.open() as other:
            id = label()
            await line.ask({"prompt": LONG_PROMPT}, id=id)
            stream = [await line.hear()]
            await other.ask({"id": stream[0].chat_id}, STOP, id="s")
            stream += await line.until_end()
            told = await other.rest_with_end()
            if any(heard.label == "s" for heard in told):
                return False  # it had ended before
            end = stream[-1]
            expect_equal((end.event, end.label), ("complete", id), "the end of a stopped stream")
            expect_equal([message["is_completed"] for message in end.payload["messages"].values()], [True], "is_completed")
            expect_adds_up(stream)
            expect(told[-1].raw == end.raw, f"who stopped it was told {told[-1]}")
            await line.expect_nothing()
            got = await line.answer({"id": stream[0].chat_id}, GET)
            expect(got.payload == end.payload, f"then /chats/get has {got}")
            return True

    await in_the_middle(attempt)


async def get_in_the_middle(room: Room) -> None:
    async def attempt() -> bool:
        async with room.open() as line, room.open() as late:
            await line.ask({"prompt": LONG_PROMPT})
            begun = await line.hear()
            await late.ask({"id": begun.chat_id}, GET)
            told = await late.until_end()
            while not any(heard.route == GET for heard in told):
                told.append(await late.hear())
            begin = next(place for place, heard in enumerate(told) if heard.route == GET)
            if told[begin] is told[-1]:
                return False  # it had ended before
            expect_goes_on(told[begin].payload, told[begin + 1 :])
            return True

    await in_the_middle(attempt)


async def stop_unseen(room: Room) -> None:
    chat = (await room.recorded("a metric")).chat["id"]
    async with room.open(BOB) as line:
        missing = await line.answer({"id": MISSING}, STOP)
        expect_error_at(missing, STOP, EVENTS[STOP], "NOT_FOUND")
        expect_equal((await line.answer({"id": chat}, STOP)).raw, missing.raw, "what is told of somebody else's chat")


async def parts(room: Room) -> None:
    chat = (await room.followed_up()).stream[-1].payload
    first, second = chat["message_ids"]
    async with room.open() as line:
        for asked, ids in (
            ({"last": 1}, [second]),
            ({"last": 100}, [first, second]),
            ({"before": second}, [first]),
            ({"last": 1, "before": second}, [first]),
            ({"before": first}, []),
        ):
            heard = await line.answer({"id": chat["id"], **asked}, GET)
            part = {**chat, "messages": {id: chat["messages"][id] for id in ids}}
            expect(heard.payload == part, f"{quoted(asked)} is answered by {heard}")
        for wrong in ({"last": 0}, {"last": 101}, {"last": "x"}, {"before": "x"}, {"before": MISSING}):
            expect_bad(await line.answer({"id": chat["id"], **wrong}, GET), GET)


RULES = [
    Rule("2.12", "`/chats/get` is answered by one getChat, which is what the chat's complete was.", get),
    Rule(
        "2.13",
        "`/chats/get` of a chat that is being answered has it as it stands, and the stream goes on from there.",
        get_in_the_middle,
    ),
    Rule("2.14", "`/chats/get` of somebody else's chat is NOT_FOUND, as of one that does not exist.", get_unseen),
    Rule("2.15", "`/chats/get` and `/chats/stop` without a UUID are a BAD_REQUEST.", bad_ids),
    Rule("2.16", "`/chats/list` is answered by one getChatsList with chats of these keys.", items),
    Rule("2.17", "`/chats/list` has the newest first, in pages of page_size counted from 0.", newest_first),
    Rule("2.18", "`/chats/list` takes a page_size of 1 to 100; another page is a BAD_REQUEST.", bad_pages),
    Rule("2.19", "`/chats/list` has no chat that the user may not see.", only_ones_own),
    Rule("2.20", "`/chats/stop` is answered by the stream's own complete, with what there was.", stop),
    Rule("2.21", "`/chats/stop` of somebody else's chat is NOT_FOUND, as of one that does not exist.", stop_unseen),
    Rule("2.22", "`/chats/get` with last or before has these messages alone, and all of their ids.", parts),
]
