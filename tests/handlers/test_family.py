"""What a user does with chats besides posting: names, favourites, feedback, deletion and copies, each with its rights."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from backends.agent import AgentTask
from backends.agents.own import OwnAgent
from backends.family import delete_chats
from backends.storage import Storage
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import Client, Frame
from tests.support.database import rows
from tests.support.house import House, open_house
from tests.support.life import share
from tests.support.modelled import message_of, texts
from tests.support.waiting import begun, until
from tests.support.world import ALICE, BOB, REVENUE
from threadcast import ApprovalNeeded, Remembered

UPDATE, DELETE, COPY, RATE = "/chats/update", "/chats/delete", "/chats/duplicate", "/messages/update"
GET, LIST, STOP = "/chats/get", "/chats/list", "/chats/stop"


async def ask(client: Client, route: str, **payload: Any) -> Frame:
    """The frame that answers."""
    await client.send(payload, route)
    return await client.frame()


async def said(client: Client, route: str, **payload: Any) -> Any:
    """The payload of the answer, which is good."""
    frame = await ask(client, route, **payload)
    assert frame["error"] is None
    return frame["payload"]


async def code(client: Client, route: str, **payload: Any) -> str:
    """The code of the refusal."""
    return str((await client.refusal(payload, route=route))["code"])


async def chat_of(client: Client, prompt: str = "Hi", **more: Any) -> dict[str, Any]:
    chat: dict[str, Any] = (await client.post(prompt=prompt, **more))[-1]["payload"]
    return chat


async def test_a_new_title_and_a_favourite_are_told_to_all_connections_and_kept(house: House) -> None:
    async with house.connect() as one, house.connect() as other:
        chat = await chat_of(one, asset_id=str(REVENUE), asset_type="metric")
        await other.stream()
        named = await ask(one, UPDATE, id=chat["id"], title="  Sales,\n again ")
        assert (named["route"], named["event"], named["send_method"]) == (UPDATE, "updateChat", "All")
        assert await other.frame() == named
        assert (named["payload"]["title"], named["payload"]["is_favorited"]) == ("Sales, again", False)
        assert named["payload"]["latest_file_id"] == str(REVENUE)
        assert (named["payload"]["latest_file_type"], named["payload"]["latest_version_number"]) == ("metric", 1)
        marked = await said(one, UPDATE, id=chat["id"], is_favorited=True)
        assert marked == named["payload"] | {"is_favorited": True}
        assert (await other.frame())["payload"] == marked
        assert await said(one, LIST) == [marked]
        got = await said(one, GET, id=chat["id"])
        assert (got["title"], got["is_favorited"]) == ("Sales, again", True)
        for favorite in (True, False, False):
            assert (await said(one, UPDATE, id=chat["id"], is_favorited=favorite))["is_favorited"] is favorite
            await other.frame()


async def test_a_favourite_is_each_users_own(house: House) -> None:
    async with house.connect() as alice, house.connect(BOB) as bob:
        chat = await chat_of(alice)
        share(house, chat["id"], BOB, "can_view")
        assert (await said(bob, UPDATE, id=chat["id"], is_favorited=True))["is_favorited"]
        assert not (await said(alice, LIST))[0]["is_favorited"]
        assert (await said(bob, LIST))[0]["is_favorited"]


async def test_a_title_that_the_user_gives_while_the_agent_answers_stays(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.send({"prompt": "one"})
        begun = await client.until("generatingResponseMessage")
        chat_id = begun[-1]["payload"]["chat_id"]
        await client.send({"id": chat_id, "title": "Mine"}, UPDATE)
        await client.until("updateChat")
        await client.send({"id": chat_id, "is_favorited": True}, UPDATE)
        await client.until("updateChat")
        agent.let_go("one")
        end = (await client.stream())[-1]["payload"]
        assert (end["title"], end["is_favorited"]) == ("Mine", True)
        assert (await said(client, GET, id=chat_id)) == end


async def test_feedback_is_told_kept_and_taken_back(house: House) -> None:
    async with house.connect() as client:
        chat = await chat_of(client)
        (id,) = chat["message_ids"]
        for feedback in ("positive", "negative", None, "negative"):
            told = await said(client, RATE, id=id, feedback=feedback)
            assert told == {"chat_id": chat["id"], "message_id": id, "feedback": feedback}
        got = await said(client, GET, id=chat["id"])
        assert got["messages"][id]["feedback"] == "negative"
        again = await chat_of(client, "Again", chat_id=chat["id"], message_id=id)
        assert again["messages"][id]["feedback"] is None


async def test_a_deleted_chat_is_gone_for_everybody_and_is_kept(house: House) -> None:
    async with house.connect() as one, house.connect() as other, house.connect(BOB) as bob:
        chat, kept = await chat_of(one), await chat_of(one, "Another")
        for _ in range(2):
            await other.stream()
        share(house, chat["id"], BOB, "full_access")
        gone = await ask(one, DELETE, ids=[chat["id"]])
        assert (gone["event"], gone["payload"], gone["send_method"]) == ("deleteChats", {"ids": [chat["id"]]}, "All")
        assert await other.frame() == gone
        for client in (one, bob):
            assert await code(client, GET, id=chat["id"]) == "NOT_FOUND"
            assert await code(client, "/chats/post", prompt="Hi", chat_id=chat["id"]) == "NOT_FOUND"
            assert await code(client, UPDATE, id=chat["id"], title="x") == "NOT_FOUND"
            assert await code(client, RATE, id=chat["message_ids"][0], feedback=None) == "NOT_FOUND"
            assert await code(client, COPY, id=chat["id"]) == "NOT_FOUND"
        assert [item["id"] for item in await said(one, LIST)] == [kept["id"]]
        assert await said(one, DELETE, ids=[chat["id"], str(uuid4())]) == {"ids": [chat["id"]]}  # sent again
    assert len(rows(house.database, "SELECT id FROM messages")) == 2


async def test_what_is_answered_in_a_chat_that_is_deleted_is_stopped_first(settings: Settings) -> None:
    async with open_house(settings, HeldAgent()) as house, house.connect() as client:
        await client.send({"prompt": "one"})
        begun = await client.until("generatingResponseMessage")
        await client.send({"ids": [begun[-1]["payload"]["chat_id"]]}, DELETE)
        stopped = (await client.stream())[-1]
        assert message_of([stopped])["finish_reason"] == "stopped"
        assert (await client.frame())["event"] == "deleteChats"
        assert not len(house.services.runs)


async def test_a_post_that_waits_in_a_chat_that_is_deleted_finds_it_gone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = HeldAgent()

    async def delete_late(storage: Storage, ids: list[UUID]) -> None:
        first = house.services.runs.in_chat(ids[0])
        if first is None or first.message_id != UUID(message):
            await until(lambda: len(agent.tasks) == 2)  # the next in the chat has begun before the chat is gone
        await delete_chats(storage, ids)

    monkeypatch.setattr("handlers.delete_chats.delete_stored", delete_late)
    async with open_house(settings, agent) as house, house.connect() as client, house.connect() as other:
        part = (await begun(client, "one"))[-1]["payload"]
        chat, message = part["chat_id"], part["message_id"]
        await other.send({"prompt": "two", "chat_id": chat})
        await other.send({"prompt": "three", "chat_id": chat})
        await until(lambda: len(house.services.runs) == 3)
        await client.send({"ids": [chat]}, DELETE)
        for _ in range(2):
            assert (await other.until("postThread"))[-1]["error"]["code"] == "NOT_FOUND"
        assert message_of((await client.until("complete"))[-1:])["finish_reason"] == "stopped"
        assert (await client.frame())["event"] == "deleteChats"
    assert [task.prompt for task in agent.tasks] == ["one"]
    assert len(rows(house.database, "SELECT id FROM messages")) == 1


async def test_what_is_answered_in_several_chats_is_stopped_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.run_agent.LET_GO_S", 60)
    monkeypatch.setattr("handlers.delete_chats.STOP_S", 60)
    stopped, all_are_stopped = set[str](), anyio.Event()

    async def answer(task: AgentTask) -> AsyncGenerator[Any, None]:
        try:
            yield "Hi"
            await anyio.sleep_forever()
        finally:
            stopped.add(str(task.prompt))
            if len(stopped) == 3:
                all_are_stopped.set()
            while not all_are_stopped.is_set():  # none of them ends before the last is told to
                with suppress(asyncio.CancelledError):
                    await all_are_stopped.wait()

    async with open_house(settings, OwnAgent(answer)) as house, house.connect() as client:
        chats = [(await begun(client, prompt))[-1]["payload"]["chat_id"] for prompt in ("one", "two", "three")]
        await client.send({"ids": chats}, DELETE)
        told = await client.until("deleteChats")
        assert sorted(told[-1]["payload"]["ids"]) == sorted(chats)
        assert [frame["event"] for frame in told].count("complete") == 3


async def test_a_copy_goes_on_by_itself(settings: Settings) -> None:
    states: list[Any] = []

    async def answer(task: AgentTask) -> AsyncGenerator[Any, None]:
        states.append(task.state)
        yield f"{len(task.history)} before"
        yield Remembered({"seen": len(task.history) + 1})

    async with open_house(settings, OwnAgent(answer)) as house, house.connect() as client:
        chat = await chat_of(client, asset_id=str(REVENUE), asset_type="metric")
        chat = await chat_of(client, "And?", chat_id=chat["id"])
        first, second = chat["message_ids"]
        await said(client, RATE, id=first, feedback="positive")
        copy = await said(client, COPY, id=chat["id"], message_id=first)
        assert copy["id"] != chat["id"]
        assert (copy["title"], len(copy["message_ids"])) == (chat["title"], 1)
        (new,) = copy["message_ids"]
        ours = copy["messages"][new]
        same = ("request_message", "response_messages", "reasoning_messages", "final_reasoning_message", "usage", "created_at")
        assert new != first
        assert {key: ours[key] for key in same} == {key: chat["messages"][first][key] for key in same}
        assert ours["feedback"] is None
        assert await said(client, GET, id=copy["id"]) == copy
        on = await chat_of(client, "On", chat_id=copy["id"])
        assert texts(on["messages"][on["message_ids"][-1]]) == ["1 before"]
        assert (await said(client, GET, id=chat["id"]))["message_ids"] == [first, second]
        whole = await said(client, COPY, id=chat["id"])
        assert len(whole["message_ids"]) == 2
        items = {item["id"]: item for item in await said(client, LIST)}
        assert items[copy["id"]]["latest_file_id"] == str(REVENUE)
    assert states == [None, {"seen": 1}, {"seen": 1}]


async def test_what_an_agent_asks_is_not_answered_in_a_copy(settings: Settings) -> None:
    async def answer(task: AgentTask) -> AsyncGenerator[Any, None]:
        yield "done" if task.approvals else ApprovalNeeded("1", "Do it?")

    async with open_house(settings, OwnAgent(answer)) as house, house.connect() as client:
        chat = await chat_of(client)
        copy = await said(client, COPY, id=chat["id"])
        (message,) = copy["messages"].values()
        assert "approvals" not in message
        assert [step["status"] for step in message["reasoning_messages"].values()] == ["failed"]
        yes = [{"id": "1", "approved": True}]
        assert await code(client, "/chats/post", chat_id=copy["id"], approvals=yes) == "BAD_REQUEST"
        assert texts(message_of(await client.post(chat_id=chat["id"], approvals=yes))) == ["done"]


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (None, set()),
        ("can_view", {COPY}),
        ("can_edit", {COPY, UPDATE, RATE}),
        ("full_access", {COPY, UPDATE, RATE}),
        ("owner", {COPY, UPDATE, RATE, DELETE}),
    ],
)
async def test_each_role_may_do_what_it_says_and_the_rest_is_not_there(house: House, role: str | None, may: set[str]) -> None:
    async with house.connect(ALICE) as alice, house.connect(BOB) as bob:
        chat = await chat_of(alice)
        if role:
            share(house, chat["id"], BOB, role)
        asked: list[tuple[str, dict[str, Any]]] = [
            (UPDATE, {"id": chat["id"], "title": "Mine"}),
            (RATE, {"id": chat["message_ids"][0], "feedback": "negative"}),
            (COPY, {"id": chat["id"]}),
            (DELETE, {"ids": [chat["id"]]}),
        ]
        for route, payload in asked:
            frame = await ask(bob, route, **payload)
            missing = await ask(
                bob, route, **{**payload, **({"ids": [str(uuid4())]} if "ids" in payload else {"id": str(uuid4())})}
            )
            assert missing["error"] == {"code": "NOT_FOUND", "message": "not found"}
            assert (frame["error"] is None) == (route in may), frame
            if frame["error"]:
                assert frame["error"] == missing["error"]


@pytest.mark.parametrize(
    ("route", "payload", "says"),
    [
        (UPDATE, {}, "title or is_favorited is required"),
        (UPDATE, {"title": " \n"}, "title must not be blank"),
        (UPDATE, {"title": ""}, "length >= 1 - at `$.payload.title`"),
        (UPDATE, {"title": "x" * 201}, "length <= 200 - at `$.payload.title`"),
        (UPDATE, {"title": "a\0"}, "`$.payload.title`"),
        (UPDATE, {"is_favorited": "yes"}, "`$.payload.is_favorited`"),
        (RATE, {}, "missing required field `feedback`"),
        (RATE, {"feedback": "good"}, "`$.payload.feedback`"),
        (DELETE, {"ids": []}, "length >= 1 - at `$.payload.ids`"),
        (DELETE, {"ids": [str(uuid4())] * 101}, "length <= 100 - at `$.payload.ids`"),
        (DELETE, {"ids": ["x"]}, "`$.payload.ids[0]`"),
    ],
)
async def test_what_is_no_request_says_which_field(house: House, route: str, payload: dict[str, Any], says: str) -> None:
    async with house.connect() as client:
        chat = await chat_of(client)
        id = chat["message_ids"][0] if route == RATE else chat["id"]
        error = await client.refusal(payload | ({} if route == DELETE else {"id": id}), route=route)
        assert error["code"] == "BAD_REQUEST"
        assert says in error["message"]


async def test_many_at_once_leave_one_state(house: House) -> None:
    async with house.connect() as client:
        chat = await chat_of(client)
        for number in range(20):
            await client.send({"id": chat["id"], "is_favorited": bool(number % 2), "title": f"{number}"}, UPDATE)
        answers = [await client.frame() for _ in range(20)]
        assert all(answer["error"] is None for answer in answers)
        with anyio.fail_after(10):
            (item,) = await said(client, LIST)
        got = await said(client, GET, id=chat["id"])
        assert (item["title"], item["is_favorited"]) == (got["title"], got["is_favorited"])
