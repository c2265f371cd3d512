"""The main job, end to end: a post over a real socket, its stream on the user's connections, its chat in the database."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from backends.agent_events import ReasoningChunk, ResponseChunk
from backends.broker import MemoryBroker
from backends.frame import Frame as Sent
from backends.lease import Lease
from schemas.events import WsEvent
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import Frame, fold, unsettled
from tests.support.database import as_stored, count, rows, stored_chat
from tests.support.house import BOTH, House, open_house
from tests.support.life import share
from tests.support.redis import LIMITS
from tests.support.world import ALICE, BOARD, BOB, FOREIGN_BOARD, FOREIGN_METRIC, MISSING, REVENUE, SECRET_METRIC, TEAM_METRIC

ENGINES = BOTH


def events(frames: list[Frame]) -> list[str]:
    return [frame["event"] for frame in frames]


def only_message(frames: list[Frame]) -> dict[str, Any]:
    chat = frames[-1]["payload"]
    (id,) = chat["message_ids"]
    return dict(chat["messages"][id])


def answer(frames: list[Frame]) -> str:
    """The whole text of the last part of the answer."""
    message = only_message(frames)
    return str(message["response_messages"][message["response_message_ids"][-1]]["message"])


def assert_good(house: House, frames: list[Frame]) -> None:
    """What holds for every good stream: its order, its one end, its sum, and the database."""
    assert events(frames)[0] == "initializeChat"
    assert events(frames).count("complete") == events(frames).count("initializeChat") == 1
    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
    assert as_stored(frames[-1]["payload"]) == stored_chat(house.database, frames[-1]["payload"]["id"])
    assert {frame["send_method"] for frame in frames} == {"All"}
    assert {frame["sent_by"]["id"] for frame in frames} == {str(ALICE)}
    assert {frame["sent_by"]["name"] for frame in frames} == {"Alice"}
    assert {frame["route"] for frame in frames} == {"/chats/post"}


@pytest.mark.parametrize(
    ("payload", "kind", "id", "name", "version"),
    [
        ({"asset_id": str(REVENUE), "asset_type": "metric"}, "metric", REVENUE, "Revenue", 1),
        ({"asset_id": str(BOARD), "asset_type": "dashboard"}, "dashboard", BOARD, "Board", 4),
        ({"asset_id": str(BOARD), "asset_type": "dashboard_file", "prompt": " \n"}, "dashboard", BOARD, "Board", 4),
        ({"metric_id": str(REVENUE)}, "metric", REVENUE, "Revenue", 1),
        ({"dashboard_id": str(BOARD), "dataset_id": None, "suggestion_id": "x"}, "dashboard", BOARD, "Board", 4),
    ],
)
async def test_an_asset_without_a_prompt_is_opened(
    house: House, payload: dict[str, object], kind: str, id: UUID, name: str, version: int
) -> None:
    async with house.connect() as client:
        frames = await client.post(**payload)
    assert_good(house, frames)
    assert events(frames) == ["initializeChat", "generatingResponseMessage", "generatingResponseMessage", "complete"]
    file, text = (frame["payload"]["response_message"] for frame in frames[1:3])
    (metadata,) = file.pop("metadata")
    assert file == {
        "id": str(id),
        "type": "file",
        "file_type": kind,
        "file_name": name,
        "version_number": version,
        "version_id": str(id),
        "filter_version_id": None,
    }
    assert metadata["status"] == "completed"
    assert isinstance(metadata["timestamp"], int)
    assert text["is_final_message"]
    assert text["message_chunk"] is None
    assert name in text["message"]
    assert kind in text["message"]
    message = only_message(frames)
    assert message["request_message"] is None
    assert message["is_completed"]
    assert frames[0]["payload"]["title"] == frames[-1]["payload"]["title"] == f"View {name}"
    links = rows(house.database, "SELECT message_id, file_id FROM messages_to_files")
    assert links == [{"message_id": message["id"], "file_id": str(id)}]


async def test_a_prompt_is_answered_by_title_reasoning_and_text(house: House) -> None:
    async with house.connect() as client:
        frames = await client.post(prompt="How are we doing?")
    assert_good(house, frames)
    assert set(events(frames)[1:-1]) == {"generatingTitle", "generatingReasoningMessage", "generatingResponseMessage"}
    titles = [frame["payload"] for frame in frames if frame["event"] == "generatingTitle"]
    assert [(t["title"], t["progress"]) for t in titles[:-1]] == [(None, "in_progress")] * len(titles[:-1])
    assert (titles[-1]["title"], titles[-1]["title_chunk"], titles[-1]["progress"]) == ("How are we doing?", None, "completed")
    thoughts = [frame["payload"]["reasoning"] for frame in frames if frame["event"] == "generatingReasoningMessage"]
    assert {thought["type"] for thought in thoughts} == {"text"}
    assert "".join(thought["message_chunk"] or "" for thought in thoughts) == thoughts[-1]["message"]
    assert thoughts[-1]["status"] == "completed"
    message = only_message(frames)
    assert message["request_message"]["request"] == "How are we doing?"
    assert message["request_message"]["sender_id"] == str(ALICE)
    assert message["final_reasoning_message"].startswith("Reasoned for ")
    assert "No model is configured" in answer(frames)


@pytest.mark.parametrize(
    "payload", [{"asset_id": str(BOARD), "asset_type": "dashboard"}, {"dashboard_id": str(BOARD)}], ids=["generic", "legacy"]
)
async def test_a_prompt_about_a_dashboard_is_answered_from_what_the_user_may_see(
    house: House, payload: dict[str, object]
) -> None:
    async with house.connect() as client:
        frames = await client.post(prompt="What is it?", **payload)
    assert_good(house, frames)
    (pills,) = (f["payload"]["reasoning"] for f in frames if f["payload"].get("reasoning", {}).get("type") == "pills")
    assert pills["title"] == "Found 1 asset"
    assert [pill for group in pills["pill_containers"] for pill in group["pills"]] == [
        {"id": str(BOARD), "text": "Board", "type": "dashboard"}
    ]
    for name in ("Board", "Revenue", "Team's metric"):
        assert name in answer(frames)
    assert "Secret metric" not in str(frames)
    assert "Foreign metric" not in str(frames)


async def test_a_prompt_about_a_metric_by_its_legacy_field_is_answered(house: House) -> None:
    async with house.connect() as client:
        frames = await client.post(prompt="What is it?", metric_id=str(TEAM_METRIC))
    assert_good(house, frames)
    assert "All about Team's metric." in answer(frames)


async def test_what_opening_a_dashboard_says_names_only_visible_metrics(house: House) -> None:
    async with house.connect() as client:
        frames = await client.post(dashboard_id=str(BOARD))
    assert "“Team's metric”, “Revenue”" in answer(frames)
    assert "Secret" not in str(frames)


async def test_all_connections_of_the_user_get_the_stream_and_nobody_else(house: House) -> None:
    async with house.connect() as sender, house.connect() as other, house.connect(BOB) as bob:
        await sender.send({"prompt": "Hello"}, id="mine")
        frames = await sender.stream()
        assert await other.stream() == frames
        assert {frame["request_id"] for frame in frames} == {"mine"}
        bobs = await bob.post(prompt="And mine?")
        assert {frame["sent_by"]["id"] for frame in bobs} == {str(BOB)}
        assert "request_id" not in bobs[0]
        assert (await sender.post(prompt="Again"))[0]["event"] == "initializeChat"  # nothing of Bob's came in between


async def test_streams_of_one_connection_run_side_by_side(house: House) -> None:
    async with house.connect() as client:
        for name in ("one", "two", "three"):
            await client.send({"prompt": f"Prompt {name}"}, id=name)
        streams: dict[str, list[Frame]] = {"one": [], "two": [], "three": []}
        while any(not stream or stream[-1]["event"] != "complete" for stream in streams.values()):
            frame = await client.frame()
            streams[frame["request_id"]].append(frame)
    for name, stream in streams.items():
        assert_good(house, stream)
        assert f"Prompt {name}" in answer(stream)


@pytest.mark.parametrize(
    "payload",
    [
        {"asset_id": str(SECRET_METRIC), "asset_type": "metric"},
        {"asset_id": str(FOREIGN_METRIC), "asset_type": "metric"},
        {"asset_id": str(FOREIGN_BOARD), "asset_type": "dashboard"},
        {"asset_id": str(REVENUE), "asset_type": "dashboard"},
        {"asset_id": str(MISSING), "asset_type": "metric"},
        {"metric_id": str(FOREIGN_METRIC)},
    ],
)
@pytest.mark.parametrize("prompt", [None, "What is it?"])
async def test_missing_and_forbidden_are_told_apart_nowhere(
    house: House, payload: dict[str, object], prompt: str | None
) -> None:
    async with house.connect() as client, house.connect() as other:
        error = await client.refusal({"prompt": prompt, **payload}, id="x")
        assert error == {"code": "NOT_FOUND", "message": "not found"}
        assert count(house.database, "chats") == count(house.database, "messages") == 0
        await other.send({})
        assert (await other.frame())["error"]["code"] == "BAD_REQUEST"  # the refusal was for its sender only


async def test_a_follow_up_goes_on_in_the_same_chat(house: House) -> None:
    async with house.connect() as client:
        first = await client.post(metric_id=str(REVENUE))
        chat = first[-1]["payload"]
        second = await client.post(prompt="And why?", chat_id=chat["id"])
    before, *_, after = (frame["payload"] for frame in second)
    assert before["message_ids"][:-1] == chat["message_ids"]
    assert before["messages"][chat["message_ids"][0]] == chat["messages"][chat["message_ids"][0]]
    assert after["message_ids"] == before["message_ids"]
    assert after["title"] == chat["title"]
    assert "generatingTitle" not in events(second)
    assert unsettled(fold(second)) == unsettled(after)
    assert as_stored(after) == stored_chat(house.database, chat["id"])
    assert "All about Revenue." in str(after["messages"][after["message_ids"][-1]])  # the chat's asset came along


async def test_another_users_chat_is_not_found_like_one_that_is_not_there(house: House) -> None:
    async with house.connect() as alice, house.connect(BOB) as bob:
        assert await alice.refusal({"prompt": "?", "chat_id": str(MISSING)}) == {"code": "NOT_FOUND", "message": "not found"}
        chat = (await alice.post(prompt="Mine"))[-1]["payload"]
        refused = await bob.refusal({"prompt": "Yours?", "chat_id": chat["id"]})
    assert refused == {"code": "NOT_FOUND", "message": "not found"}


@pytest.mark.parametrize(("role", "code"), [("can_view", "UNAUTHORIZED"), ("can_edit", None)])
async def test_a_shared_chat_can_be_followed_up_by_who_may_edit_it(house: House, role: str, code: str | None) -> None:
    async with house.connect() as alice, house.connect(BOB) as bob:
        chat = (await alice.post(prompt="Ours"))[-1]["payload"]
        share(house, chat["id"], BOB, role)
        await bob.send({"prompt": "Me too", "chat_id": chat["id"]})
        last = (await bob.stream())[-1]
    assert (last["error"] and last["error"]["code"]) == code
    assert count(house.database, "messages") == (1 if code else 2)


async def test_the_client_may_choose_the_messages_id(house: House) -> None:
    id = str(uuid4())
    async with house.connect() as client, house.connect(BOB) as bob:
        frames = await client.post(prompt="Mine", message_id=id)
        assert frames[0]["payload"]["message_ids"] == [id]
        assert (await bob.refusal({"prompt": "Mine", "message_id": id}))["code"] == "NOT_FOUND"
    assert_good(house, frames)


async def test_nul_in_what_an_agent_says_is_kept_in_the_answer_and_left_out_of_the_title(settings: Settings) -> None:
    agent = ScriptedAgent(ReasoningChunk("a\0", "b\0"), ResponseChunk("\0c\0"), title="T\0itle")
    async with open_house(settings, agent) as house, house.connect() as client:
        frames = await client.post(prompt="What is it?")
        assert_good(house, frames)
        assert (answer(frames), frames[-1]["payload"]["title"]) == ("\0c\0", "Title")
        refused = await client.refusal({"prompt": "a\0b"})
    assert refused["code"] == "BAD_REQUEST"
    assert refused["message"].endswith(" - at `$.payload.prompt`")


async def test_many_users_worth_of_posts_at_once_all_end(house: House) -> None:
    async def one(number: int) -> None:
        async with house.connect() as client:
            await client.send({"metric_id": str(REVENUE)}, id=str(number))
            while (frame := await client.frame())["event"] != "complete" or frame["request_id"] != str(number):
                pass

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    assert count(house.database, "chats") == 20
    assert rows(house.database, "SELECT count(*) AS n FROM messages WHERE is_completed")[0]["n"] == 20


class Leased(MemoryBroker):
    """Remembers under which lease each frame was published."""

    def __init__(self) -> None:
        super().__init__(LIMITS)
        self.leases: list[tuple[object, Lease | None]] = []

    def publish(self, user_id: UUID, frame: Sent, sender_id: str | None, lease: Lease | None = None) -> None:
        self.leases.append((frame.message.event, lease))
        super().publish(user_id, frame, sender_id, lease)


async def test_a_stream_is_told_under_the_lease_of_its_node_up_to_its_end(settings: Settings) -> None:
    broker = Leased()
    async with open_house(settings, change=lambda own: replace(own, broker=broker)) as house, house.connect() as client:
        await client.post(prompt="Hello")
        lease = house.services.cluster.lease
        assert len(broker.leases) > 2
        assert [under is lease for _, under in broker.leases] == [event is not WsEvent.COMPLETE for event, _ in broker.leases]
