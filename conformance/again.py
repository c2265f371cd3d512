"""Section 4, “Again”: a message_id that is new, that exists already, or that is somebody else's."""

from uuid import uuid4

from conformance.assets import ALICE, BOB, DASHBOARD, HIDDEN, METRIC
from conformance.requests import expect_error_at
from conformance.room import LONG_PROMPT, Room, in_the_middle
from conformance.rule import Rule, expect, expect_equal
from conformance.telling import expect_adds_up
from conformance.wire import EVENTS, GET, POST, Heard, Line, Payload


async def chosen_id(room: Room) -> None:
    id = str(uuid4())
    async with room.open() as line:
        for heard in (await line.post({"metric_id": METRIC, "message_id": id}))[::3]:
            expect_equal(heard.payload["message_ids"], [id], f"the message_ids of {heard.event}")


async def finished(room: Room) -> None:
    post = {"metric_id": METRIC, "message_id": str(uuid4())}
    async with room.open() as line, room.open() as other:
        end = (await line.post(post))[-1]
        expect_equal(len(await other.rest_with_end()), 4, "the number of frames of the first post")
        for payload in (post, {"prompt": "Anything else", "message_id": post["message_id"]}):
            again = await line.answer(payload, id="again")
            expect_equal((again.event, again.label), ("complete", "again"), "the answer to a retry")
            expect_equal(again.frame.get("send_method"), "SenderOnly", "its send_method")
            expect(again.payload == end.payload, f"its chat is not what it was: {again}")
            await line.expect_nothing()
        await other.expect_nothing()


async def running(room: Room) -> None:
    await joined(room, ALICE, {})


async def joined(room: Room, user: str, where: Payload) -> None:
    """A post, there, and while it is being answered the same again."""

    async def attempt() -> bool:
        post = {"prompt": LONG_PROMPT, "message_id": str(uuid4()), **where}
        async with room.open(user) as line, room.open(user) as late:
            await line.ask(post, id="first")
            stream = [await line.hear()]
            await late.ask(post, id="again")
            stream += await line.until_end()
            told = await answered(late, "again")
            begin = next(place for place, heard in enumerate(told) if heard.label == "again")
            expect(told[begin].frame.get("send_method") == "SenderOnly", "what answers a retry is not SenderOnly")
            if told[begin].event == "complete":
                return False
            expect_equal(told[begin].event, "initializeChat", "the answer to a retry of what is running")
            expect(told[-1].raw == stream[-1].raw, f"the retry's connection has as an end {told[-1]}")
            expect_adds_up(told[begin:])
            expect(all(heard.label == "first" for heard in stream), "the first connection was told of the retry")
            await line.expect_nothing()
            await late.expect_nothing()
            return True

    await in_the_middle(attempt)


async def answered(line: Line, id: str) -> list[Heard]:
    """All up to where both the answer to this request and an end have come."""
    frames: list[Heard] = []
    while not any(heard.is_end for heard in frames) or not any(heard.label == id for heard in frames):
        frames.append(await line.hear())
    return frames


async def replaced(room: Room) -> None:
    async with room.open() as line:
        chat = await line.chat({"metric_id": METRIC})
        (id,), prompt = chat["message_ids"], "Please answer this instead, in one word."
        stream = await line.post({"prompt": prompt, "chat_id": chat["id"], "message_id": id})
        await line.expect_nothing()
    for heard in (stream[0], stream[-1]):
        expect_equal((heard.chat_id, heard.payload["message_ids"]), (chat["id"], [id]), f"chat and messages of {heard.event}")
        expect_equal(heard.payload["messages"][id]["request_message"]["request"], prompt, f"what {heard.event} has as asked")
    expect_equal(stream[0].payload["messages"][id]["response_message_ids"], [], "the discarded answer, in initializeChat")
    # A file's id is its asset's, which the new answer may open, too.
    before, after = (message["response_messages"] for message in (chat["messages"][id], stream[-1].payload["messages"][id]))
    kept = [part for part in before.keys() & after.keys() if before[part]["type"] != "file"]
    expect(not kept, "in the end a part of the discarded answer is there")
    expect_adds_up(stream)


async def replaced_in_place(room: Room) -> None:
    async with room.open() as line:
        chat = await line.chat({"metric_id": METRIC})
        (first,), second = chat["message_ids"], str(uuid4())
        after = await line.chat({"prompt": "And? In one word.", "chat_id": chat["id"], "message_id": second})
        end = await line.chat({"prompt": "Again, in one word.", "chat_id": chat["id"], "message_id": first})
        got = await line.answer({"id": chat["id"]}, GET)
    expect_equal(after["message_ids"], [first, second], "the messages")
    expect_equal(end["message_ids"], [first], "the messages after the first was replaced")
    expect_equal(list(end["messages"]), [first], "what there is of them")
    expect(got.payload == end, f"then /chats/get has {got}")


async def replaced_later(room: Room) -> None:
    async with room.open(BOB) as line:
        chat = await line.chat({"metric_id": HIDDEN})
        (first,), second = chat["message_ids"], str(uuid4())
        await line.chat({"prompt": "And? In one word.", "chat_id": chat["id"], "message_id": second})
        end = await line.chat({"prompt": "Again, in one word.", "chat_id": chat["id"], "message_id": second})
    expect_equal(end["message_ids"], [first, second], "the messages after the second was replaced")
    expect(end["messages"][first] == chat["messages"][first], "the first message has changed")


async def once_finished(room: Room) -> None:
    async with room.open(BOB) as line:
        chat, id = await line.chat({"metric_id": HIDDEN}), str(uuid4())
        post = {"prompt": "And? In one word.", "chat_id": chat["id"], "message_id": id, "once": True}
        end = await line.chat(post)
        expect_equal(end["message_ids"], [*chat["message_ids"], id], "the messages after a new message_id was posted once")
        for payload in (post, {**post, "prompt": "Anything else"}, {**post, "chat_id": None}):
            again = await line.answer(payload, id="again")
            expect_equal((again.event, again.label), ("complete", "again"), "the answer to the same again")
            expect_equal(again.frame.get("send_method"), "SenderOnly", "its send_method")
            expect(again.payload == end, f"its chat is not what it was: {again}")
            await line.expect_nothing()


async def once_running(room: Room) -> None:
    async with room.open(BOB) as line:
        chat = await line.chat({"metric_id": HIDDEN})
    await joined(room, BOB, {"chat_id": chat["id"], "once": True})


async def once_elsewhere(room: Room) -> None:
    async with room.open(BOB) as line:
        chat, other = await line.chat({"metric_id": HIDDEN}), await line.chat({"metric_id": HIDDEN})
        post = {"prompt": "Hi", "message_id": chat["message_ids"][0], "chat_id": other["id"], "once": True}
        expect_error_at(await line.answer(post), POST, EVENTS[POST], "NOT_FOUND")


async def somebody_elses(room: Room) -> None:
    id = str(uuid4())
    async with room.open(BOB) as bob, room.open() as line:
        theirs = await bob.chat({"metric_id": HIDDEN, "message_id": id})
        for payload in (
            {"prompt": "Hi", "message_id": id},
            {"dashboard_id": DASHBOARD, "message_id": id},
            {"prompt": "Hi", "message_id": id, "chat_id": theirs["id"]},
        ):
            expect_error_at(await line.answer(payload), POST, EVENTS[POST], "NOT_FOUND")
        expect((await bob.chat({"metric_id": HIDDEN, "message_id": id})) == theirs, "the message is not as it was")


RULES = [
    Rule("4.16", "A new message_id is the id of the message.", chosen_id),
    Rule("4.17", "A retry of a finished message is answered by its complete alone, and to its sender alone.", finished),
    Rule("4.18", "A retry of a running message gets an initializeChat to itself, and then the stream goes on.", running),
    Rule("4.19", "A message_id with its chat_id: the answer is discarded and the prompt is run anew.", replaced),
    Rule("4.20", "A replaced message stays where it is, and what came after it is discarded.", replaced_in_place),
    Rule("4.21", "A message_id of somebody else's is NOT_FOUND.", somebody_elses),
    Rule("4.22", "What came before a replaced message stays as it is.", replaced_later),
    Rule("4.23", "With once, a follow-up that is finished is answered by its complete alone.", once_finished),
    Rule("4.24", "With once, a follow-up that is running is joined.", once_running),
    Rule("4.25", "With once, a message_id of another chat is NOT_FOUND.", once_elsewhere),
]
