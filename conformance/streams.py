"""Section 5, the stream: its order, its one end, and that it is told to all alike and kept as it was told."""

from conformance.assets import BOB, METRIC
from conformance.room import LONG_PROMPT, OPENED, Room
from conformance.rule import Rule, expect, expect_equal, expect_same_lists
from conformance.telling import chunk_of, difference, expect_adds_up, retold
from conformance.wire import EVENTS, GET, POST, Payload

BETWEEN = {"generatingTitle", "generatingReasoningMessage", "generatingResponseMessage"}
STREAM = BETWEEN | {"initializeChat", "complete"}


async def first(room: Room) -> None:
    for name, recording in await room.recordings():
        for frames in (recording.sender, recording.other, recording.numbered[1:]):
            at = [place for place, heard in enumerate(frames) if heard.event == "initializeChat"]
            expect_equal(at, [0], f"the places of initializeChat in the stream of {name}")


async def between(room: Room) -> None:
    for name, recording in await room.recordings():
        for heard in recording.sender:
            expect(heard.event in STREAM and heard.route == POST, f"{name} has {heard.route} {heard} in its stream")


async def one_end(room: Room) -> None:
    for name, recording in await room.recordings():
        expect(not recording.after, f"after the end of {name} came {recording.after[0] if recording.after else ''}")
        for frames in (recording.other, recording.numbered[1:]):
            ends = [heard.event for heard in frames if heard.is_end]
            expect_equal(ends, ["complete"], f"the ends of {name} on another connection")
            expect(frames[-1].is_end, f"after the end of {name} came {frames[-1]}")


async def adds_up(room: Room) -> None:
    for _, recording in await room.recordings():
        expect_adds_up(recording.sender)


async def told_alike(room: Room) -> None:
    for name, recording in await room.recordings():
        whole, texts = retold(recording.sender)
        for frames in (recording.other, recording.numbered[1:]):
            other, other_texts = retold(frames)
            expect_same_lists(other, whole, f"the frames of {name} on two connections")
            for id in texts | other_texts:
                one, two = texts.get(id, ""), other_texts.get(id, "")
                expect(one == two, f"deltas of {name} on two connections: {difference(one, two)}")


async def begun_is_durable(room: Room) -> None:
    async with room.open() as line, room.open() as other:
        await line.ask({"prompt": LONG_PROMPT})
        begun = await line.hear()
        await other.ask({"id": begun.chat_id}, GET)
        while (heard := await other.hear()).route != GET:
            pass
        expect(heard.error is None, f"right after initializeChat /chats/get is answered by {heard}")
        expect_equal(heard.payload["message_ids"], begun.payload["message_ids"], "its messages")
        await line.until_end()


async def end_is_durable(room: Room) -> None:
    async with room.open() as other, room.open() as line:
        for payload in ({"prompt": "Please answer in one word: is this kept?"}, {"metric_id": METRIC}):
            end = (await line.post(payload))[-1]
            await other.ask({"id": end.chat_id}, GET)
            while (heard := await other.hear()).route != GET:
                pass
            expect(heard.payload == end.payload, f"right after complete /chats/get has {heard}")


async def all_of_one_chat(room: Room) -> None:
    for name, recording in await room.recordings():
        chat, message = recording.chat["id"], recording.chat["message_ids"]
        for heard in recording.sender:
            expect_equal(heard.chat_id, chat, f"the chat of a {heard.event} of {name}")
            if heard.event in BETWEEN:
                expect_equal([heard.payload["message_id"]], message, f"the message_id of a {heard.event} of {name}")


async def titles(room: Room) -> None:
    for name, recording in await room.recordings():
        told = [heard.payload for heard in recording.sender if heard.event == "generatingTitle"]
        if name in OPENED and not told:
            continue
        expect(bool(told), f"{name} got no title")
        expect_equal([one["progress"] for one in told], ["in_progress"] * (len(told) - 1) + ["completed"], "progress")
        expect(all(one["title"] is None and one["title_chunk"] is not None for one in told[:-1]), f"a chunk of {name}'s title")
        expect_equal((told[-1]["title"], told[-1]["title_chunk"]), (recording.chat["title"], None), "the last frame of a title")


async def texts(room: Room) -> None:
    for name, recording in await room.recordings():
        by_id: dict[str, list[Payload]] = {}
        for heard in recording.sender:
            part = heard.payload.get("response_message")
            if part and part["type"] == "text":
                by_id.setdefault(part["id"], []).append(part)
        for *deltas, last in by_id.values():
            expect(
                all(one["message"] is None and one["message_chunk"] is not None for one in deltas),
                f"a delta of {name}: {deltas[:1]}",
            )
            expect(last["message"] is not None and last["message_chunk"] is None, f"the last of a text of {name}: {last}")


async def reasoning_chunks(room: Room) -> None:
    for name, recording in await room.recordings():
        chunked = {chunk[0] for heard in recording.sender if (chunk := chunk_of(heard))}
        for id, step in recording.message["reasoning_messages"].items():
            expect(step["type"] != "text" or id in chunked, f"a reasoning text of {name} came without message_chunk")


async def final_parts(room: Room) -> None:
    for name, recording in await room.recordings():
        texts = [part for part in recording.message["response_messages"].values() if part["type"] == "text"]
        expect(bool(texts), f"the answer to {name} has no text")
        expect(all(part["is_final_message"] is True for part in texts), f"a text of {name} ended without is_final_message")


async def follow_up(room: Room) -> None:
    found = await room.followed_up()
    before, stream = found.before, found.stream
    (old,) = before["message_ids"]
    for heard in (stream[0], stream[-1]):
        expect_equal(
            (heard.chat_id, heard.payload["message_ids"][0]), (before["id"], old), f"chat and message of {heard.event}"
        )
        expect_equal(len(heard.payload["message_ids"]), 2, f"the number of messages in {heard.event}")
        expect_equal(heard.payload["messages"][old], before["messages"][old], f"the earlier message in {heard.event}")
    expect_adds_up(stream)


async def foreign_follow_up(room: Room) -> None:
    chat = (await room.recorded("a metric")).chat
    async with room.open(BOB) as bob, room.open() as line:
        heard = await bob.answer({"prompt": "Who is here?", "chat_id": chat["id"]})
        expect((heard.event, heard.code) == (EVENTS[POST], "NOT_FOUND"), f"{heard}")
        expect((await line.answer({"id": chat["id"]}, GET)).payload == chat, "the chat is not as it was")


async def only_new(room: Room) -> None:
    found = await room.followed_up()
    for place, event in ((0, "initializeChat"), (-1, "complete")):
        expected = found.stream[place].payload
        newest = expected["message_ids"][-1]
        shown = {**expected, "messages": {newest: expected["messages"][newest]}}
        expect(found.brief[place].payload == shown, f"the {event} is {found.brief[place]}")


RULES = [
    Rule("5.8", "A stream begins with initializeChat, which comes once.", first),
    Rule("5.9", "Between its ends a stream has the three `generating...` events and no others.", between),
    Rule("5.10", "A stream has one end, and nothing follows.", one_end),
    Rule("5.11", "What the deltas add up to equals the complete.", adds_up),
    Rule("5.12", "All connections are told the same, byte for byte, however deltas are joined.", told_alike),
    Rule("5.13", "Chat and message are durable before initializeChat is sent.", begun_is_durable),
    Rule("5.14", "The chat is durable as the complete has it before that is sent.", end_is_durable),
    Rule("5.15", "Each frame of a stream is of its chat and its message.", all_of_one_chat),
    Rule("5.16", "A title comes in chunks, and at last whole.", titles),
    Rule("5.17", "The text of an answer comes in chunks without message, and at last whole without a chunk.", texts),
    Rule("5.18", "The text of a reasoning goes out as message_chunk at least once.", reasoning_chunks),
    Rule("5.19", "The last frame of a response's text has is_final_message.", final_parts),
    Rule("5.20", "With a chat_id the chat goes on: initializeChat and complete hold its messages, too.", follow_up),
    Rule("5.21", "A chat that the user may not see is not gone on with.", foreign_follow_up),
    Rule("5.30", "With `messages=new` initializeChat and complete have only the message that the stream is about.", only_new),
]
