"""Section 4, what a chat can be about: the pair, the legacy fields, and the later clients' names of the types."""

from typing import Any

from conformance.assets import (
    DASHBOARD,
    DASHBOARD_NAME,
    DASHBOARD_VERSION,
    HIDDEN_NAME,
    METRIC,
    METRIC_NAME,
    METRIC_VERSION,
)
from conformance.room import OPENED, Recording, Room
from conformance.rule import Rule, expect, expect_equal
from conformance.wire import Heard, Payload

ABOUT = {"a metric": ("metric", METRIC, METRIC_NAME, METRIC_VERSION)}
ABOUT["a dashboard"] = ("dashboard", DASHBOARD, DASHBOARD_NAME, DASHBOARD_VERSION)


async def legacy(room: Room) -> None:
    await expect_as_recorded(room, "a metric", {"metric_id": METRIC})
    await expect_as_recorded(room, "a dashboard", {"dashboard_id": DASHBOARD})


async def file_types(room: Room) -> None:
    await expect_as_recorded(room, "a metric", {"asset_id": METRIC, "asset_type": "metric_file"})
    await expect_as_recorded(room, "a dashboard", {"asset_id": DASHBOARD, "asset_type": "dashboard_file"})


async def blank_prompts(room: Room) -> None:
    await expect_as_recorded(room, "a metric", {"metric_id": METRIC, "prompt": " \n "})


async def expect_as_recorded(room: Room, name: str, payload: Payload) -> None:
    """Go on only if the payload is answered like the generic pair."""
    recorded = essence(await room.recorded(name))
    async with room.open() as line:
        stream = await line.post(payload)
        found = essence(Recording("", stream, [], [], []))
    expect_equal(found, recorded, f"the answer to {payload}")


def essence(recording: Recording) -> list[Any]:
    """What two answers to the same question without a prompt have in common."""
    title, request = recording.chat["title"], recording.message["request_message"]
    file, text = parts(recording)
    return [title, request, {**file, "metadata": len(file["metadata"])}, text["message"]]


def parts(recording: Recording) -> tuple[Payload, Payload]:
    """The file and the text of an answer without a prompt."""
    ids, messages = recording.message["response_message_ids"], recording.message["response_messages"]
    expect_equal([messages[id]["type"] for id in ids], ["file", "text"], "the parts of the answer")
    return messages[ids[0]], messages[ids[1]]


async def two_parts(room: Room) -> None:
    for name in OPENED:
        recording = await room.recorded(name)
        told: list[Heard] = recording.sender[1:-1]
        events = [heard.event for heard in told]
        expect_equal(events, ["generatingResponseMessage"] * 2, f"the events of {name} between the first and the last")
        expect_equal([heard.payload["response_message"] for heard in told], list(parts(recording)), f"what {name} told")


async def no_agent(room: Room) -> None:
    for name in OPENED:
        recording = await room.recorded(name)
        expect_equal(recording.chat["message_ids"], list(recording.chat["messages"]), f"the one message of {name}")
        expect_equal(recording.message["request_message"], None, f"the request_message of {name}")
        expect_equal(recording.message["reasoning_message_ids"], [], f"the reasoning of {name}")


async def titles(room: Room) -> None:
    for name in OPENED:
        recording, title = await room.recorded(name), f"View {ABOUT[name][2]}"
        for heard in (recording.sender[0], recording.sender[-1]):
            expect_equal(heard.payload["title"], title, f"the title in the {heard.event} of {name}")


async def files(room: Room) -> None:
    for name, (kind, id, asset_name, version) in ABOUT.items():
        file, _ = parts(await room.recorded(name))
        wanted = {"id": id, "version_id": id, "file_type": kind, "file_name": asset_name, "version_number": version}
        expect_equal({key: file[key] for key in wanted}, wanted, f"the file of {name}")
        expect_equal([entry["status"] for entry in file["metadata"]], ["completed"], "the status in its metadata")


async def introductions(room: Room) -> None:
    for name, (kind, _, asset_name, _) in ABOUT.items():
        _, text = parts(await room.recorded(name))
        said = str(text["message"])
        expect(asset_name in said and kind in said.lower(), f"the text of {name} does not say its name and kind: {said}")
        expect_equal(text["is_final_message"], True, "is_final_message of the text")


async def hides(room: Room) -> None:
    for name in ("a dashboard", "a prompt about a dashboard"):
        recording = await room.recorded(name)
        expect(all(HIDDEN_NAME not in str(heard.raw) for heard in recording.sender), "it names a metric that may not be seen")


async def prompt_with_asset(room: Room) -> None:
    recording = await room.recorded("a prompt about a metric")
    request = recording.message["request_message"]
    expect(request is not None and request["request"].startswith("What does it count?"), f"the request_message is {request}")
    kinds = [part["type"] for part in recording.message["response_messages"].values()]
    expect("text" in kinds, f"the answer has {kinds or 'nothing'} and no text")
    expect(not recording.chat["title"].startswith("View "), "its title is that of an opened asset")


RULES = [
    Rule("4.13", "A legacy metric_id or dashboard_id alone is as good as the generic pair.", legacy),
    Rule("4.14", "metric_file and dashboard_file are taken, and answered as metric and dashboard.", file_types),
    Rule("4.15", "A blank prompt counts as absent: an asset with one is opened.", blank_prompts),
    Rule("5.1", "Without a prompt two events bring two parts of an answer, the file first, then a text.", two_parts),
    Rule("5.2", "Without a prompt there is one message, whose request_message is null, and no reasoning.", no_agent),
    Rule("5.3", "Without a prompt the title is “View ” and the asset's name, from the beginning.", titles),
    Rule("5.4", "The file has the asset's id as id and version_id, its type, name and version.", files),
    Rule("5.5", "The text says what was opened, by name and kind, and is final.", introductions),
    Rule("5.6", "A dashboard shows nothing of a metric that the user may not see.", hides),
    Rule("5.7", "With a prompt and an asset the flow is that of a prompt.", prompt_with_asset),
]
