"""Section 5, the payloads: each with its keys, and with values of their kinds."""

from collections.abc import Iterator

from conformance.assets import ALICE, ALICE_NAME
from conformance.room import OPENED, STREAMS, Room
from conformance.rule import Rule, expect, expect_equal
from conformance.shapes import CHAT, REASONING_EVENT, RESPONSE_EVENT, TITLE, Shape, expect_shapes
from conformance.wire import Payload


async def chats(room: Room) -> None:
    await expect_all(room, CHAT, "initializeChat", "complete")


async def titles(room: Room) -> None:
    await expect_all(room, TITLE, "generatingTitle")


async def responses(room: Room) -> None:
    await expect_all(room, RESPONSE_EVENT, "generatingResponseMessage")


async def reasoning(room: Room) -> None:
    await expect_all(room, REASONING_EVENT, "generatingReasoningMessage")


async def expect_all(room: Room, shape: Shape, *events: str) -> None:
    """Go on only if the payloads of all such events have the shape."""
    for name, recording in await room.recordings():
        for heard in recording.sender:
            if heard.event in events:
                expect_shapes(shape, [heard.payload], f"{heard.event} of {name}")


async def authors(room: Room) -> None:
    for _, chat in await recorded_chats(room):
        expect_equal(
            (chat["created_by"], chat["created_by_id"], chat["created_by_name"]), (ALICE, ALICE, ALICE_NAME), "its author"
        )
        for message in chat["messages"].values():
            if request := message["request_message"]:
                expect_equal((request["sender_id"], request["sender_name"]), (ALICE, ALICE_NAME), "the sender of a message")


async def requests(room: Room) -> None:
    for name, chat in await recorded_chats(room):
        if name not in OPENED:
            asked = [message["request_message"]["request"] for message in chat["messages"].values()]
            expect_equal(asked, [STREAMS[name]["prompt"]], "what was asked")


async def tables(room: Room) -> None:
    for name, chat in await recorded_chats(room):
        for ids, table, what in ordered(chat):
            expect(len(ids) == len(set(ids)) and set(ids) == set(table), f"{what} of {name}: ids {ids}, table {sorted(table)}")


def ordered(chat: Payload) -> Iterator[tuple[list[str], Payload, str]]:
    """Each list of ids with the table that it orders."""
    yield chat["message_ids"], chat["messages"], "the messages"
    for message in chat["messages"].values():
        for kind in ("response", "reasoning"):
            yield message[f"{kind}_message_ids"], message[f"{kind}_messages"], f"the {kind}_messages"


async def settled(room: Room) -> None:
    for name, recording in await room.recordings():
        for heard, wanted in ((recording.sender[0], False), (recording.sender[-1], True)):
            found = [message["is_completed"] for message in heard.payload["messages"].values()]
            expect_equal(found, [wanted], f"is_completed in the {heard.event} of {name}")


async def recorded_chats(room: Room) -> list[tuple[str, Payload]]:
    """The chats of all recordings, as they began and as they ended."""
    return [
        (name, heard.payload)
        for name, recording in await room.recordings()
        for heard in (recording.sender[0], recording.sender[-1])
    ]


RULES = [
    Rule("5.22", "initializeChat and complete are chats of these keys; times are UTC by RFC 3339.", chats),
    Rule("5.23", "generatingTitle has these five keys.", titles),
    Rule("5.24", "generatingResponseMessage brings a text or a file of these keys; timestamps are Unix seconds.", responses),
    Rule("5.25", "generatingReasoningMessage brings pills, a text or files of these keys.", reasoning),
    Rule("5.26", "created_by equals created_by_id, and chat and request are the user's.", authors),
    Rule("5.27", "request_message has the prompt as it was sent.", requests),
    Rule("5.28", "Each list of ids has the ids of its table, each once.", tables),
    Rule("5.29", "is_completed is false in a message's initializeChat and true in its complete.", settled),
]
