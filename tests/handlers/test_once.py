"""`once`: a post that can be sent again safely wherever it goes, also as a follow-up; and what a replacement discards."""

import json
from typing import Any
from uuid import uuid4

import anyio
import pytest

from backends.messages import replace_message
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import Client, fold, unsettled
from tests.support.database import as_stored, opened, rows, stored_chat
from tests.support.house import BOTH, HeldFetch
from tests.support.life import Life, answer_of, first_delta, life, posted
from tests.support.life import until as frame_of
from tests.support.linked import open_nodes
from tests.support.over_http import request
from tests.support.pairs import Pair, is_waiting, pair
from tests.support.waiting import until
from tests.support.world import MISSING, ORG_METRIC, REVENUE

__all__ = ["life", "pair"]  # the fixtures

ENGINES = BOTH


def follow_up(chat: dict[str, Any], prompt: str = "two") -> dict[str, Any]:
    return {"prompt": prompt, "chat_id": chat["id"], "message_id": str(uuid4()), "once": True}


def prompts_of(chat: dict[str, Any]) -> list[str]:
    return [chat["messages"][id]["request_message"]["request"] for id in chat["message_ids"]]


async def ended(client: Client, message_id: str) -> dict[str, Any]:
    """The chat at the end of the stream that answers this message; where it is told twice, the first."""
    while True:
        frame = await client.frame()
        assert frame["error"] is None
        if frame["event"] == "complete" and frame["payload"]["messages"].get(message_id, {}).get("is_completed"):
            chat: dict[str, Any] = frame["payload"]
            return chat


async def test_a_follow_up_that_is_sent_again_and_again_is_one_run_that_is_answered(life: Life) -> None:
    payload = follow_up(await posted(life, "one"))
    await life.client.send(payload, id="first")
    frames = await life.client.until("generatingResponseMessage")
    for number in range(5):
        await life.client.send(payload, id=str(number))
        joined = await frame_of(life.client, "initializeChat")
        assert (joined["request_id"], joined["send_method"]) == (str(number), "SenderOnly")
        assert answer_of(joined["payload"]) == "two begins"
    async with life.house.connect() as tab:
        await tab.send(payload, id="tab")
        seen = [await tab.frame()]
        life.agent.let_go("two")
        seen += await tab.stream()
    own = [frame for frame in [*frames, *await life.client.stream()] if frame["send_method"] == "All"]
    for stream in (own, seen):
        assert unsettled(fold(stream)) == unsettled(stream[-1]["payload"])
        assert answer_of(stream[-1]["payload"]) == "two begins, and ends"
    assert [task.prompt for task in life.agent.tasks] == ["one", "two"]
    assert as_stored(own[-1]["payload"]) == stored_chat(life.house.database, payload["chat_id"])


async def test_one_that_has_been_answered_is_told_its_end_and_stays_as_it_is(life: Life) -> None:
    first = await posted(life, "one")
    payload = follow_up(first)
    chat = await posted(life, **payload)
    for rest in ({}, {"prompt": "something else"}, {"chat_id": None}):
        await life.client.send({**payload, **rest}, id="again")
        frame = await life.client.frame()
        assert (frame["event"], frame["send_method"], frame["request_id"]) == ("complete", "SenderOnly", "again")
        assert frame["payload"] == chat
    status, body, _ = await request(life.house, json.dumps(payload).encode(), life.house.token())
    assert (status, body) == (200, chat)
    assert len(life.agent.tasks) == 2


@pytest.mark.parametrize("finished", [True, False])
async def test_with_the_id_of_another_chat_it_is_not_found(life: Life, finished: bool) -> None:
    chat, other = await posted(life, "one"), await posted(life, "other")
    payload = follow_up(chat)
    await life.client.send(payload, id="first")
    await first_delta(life.client)
    if finished:
        life.agent.let_go("two")
        await frame_of(life.client, "complete")
    for elsewhere in (other["id"], str(MISSING)):
        await life.client.send({**payload, "chat_id": elsewhere}, id="other")
        assert (await frame_of(life.client, "postThread", request_id="other"))["error"]["code"] == "NOT_FOUND"
    assert len(life.agent.tasks) == 3


async def test_one_that_does_not_exist_is_posted_in_a_new_chat_too(life: Life) -> None:
    id = str(uuid4())
    chat = await posted(life, "one", message_id=id, once=True)
    assert await posted(life, "one", message_id=id, once=True) == chat
    assert (await posted(life, "one", once=True))["id"] != chat["id"]


async def test_equal_posts_at_the_same_moment_are_one_run_and_each_sender_gets_its_end(life: Life) -> None:
    payload = follow_up(await posted(life, "one"))
    chats: list[dict[str, Any]] = []

    async def send(number: int) -> None:
        async with life.house.connect() as client:
            for turn in range(5):
                await client.send(payload, id=f"{number}-{turn}")
            chats.append(await ended(client, payload["message_id"]))

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(send, number)
        await first_delta(life.client)
        life.agent.let_go("two")
    assert [prompts_of(chat) for chat in chats] == [["one", "two"]] * 5
    assert len(life.agent.tasks) == 2


async def test_one_that_waits_for_its_turn_is_still_one(life: Life) -> None:
    chat = await posted(life, "one")
    await life.client.send({"prompt": "long", "chat_id": chat["id"]}, id="long")
    await first_delta(life.client)
    payload = follow_up(chat)
    for number in range(7):  # more than may wait in a chat
        await life.client.send(payload, id=str(number))
    await life.client.refusal({}, id="bad")  # so all of them have come as far as they can
    life.agent.let_go("long")
    life.agent.let_go("two")
    assert prompts_of(await ended(life.client, payload["message_id"])) == ["one", "long", "two"]
    assert [task.prompt for task in life.agent.tasks] == ["one", "long", "two"]


async def test_a_stop_ends_it_for_all_who_sent_it_and_for_those_who_send_it_later(life: Life) -> None:
    payload = follow_up(await posted(life, "one"))
    await life.client.send(payload, id="first")
    await first_delta(life.client)
    async with life.house.connect() as tab:
        await tab.send(payload, id="tab")
        await tab.until("initializeChat")
        await tab.send({"id": payload["chat_id"], "message_id": payload["message_id"]}, "/chats/stop")
        ends = [await ended(client, payload["message_id"]) for client in (tab, life.client)]
        await tab.send(payload, id="later")
        assert (await frame_of(tab, "complete", request_id="later"))["payload"] == ends[0] == ends[1]
    assert ends[0]["messages"][payload["message_id"]]["final_reasoning_message"] == "Stopped"
    assert len(life.agent.tasks) == 2


async def on_both(pair: Pair) -> dict[str, Any]:
    """A chat with one message, of which both connections have heard the end."""
    pair.agent.let_go("one")
    chat: dict[str, Any] = (await pair.on_a.post(prompt="one"))[-1]["payload"]
    await pair.on_b.stream()
    return chat


async def test_what_runs_on_another_node_is_joined_and_not_replaced(pair: Pair) -> None:
    payload = follow_up(await on_both(pair))
    await pair.on_a.send(payload, id="first")
    await first_delta(pair.on_a)
    async with pair.b.house.connect() as tab:
        for number in range(3):
            await tab.send(payload, id=str(number))
            joined = await frame_of(tab, "initializeChat", request_id=str(number))
            assert answer_of(joined["payload"]) == "two begins"
        pair.agent.let_go("two")
        there = await ended(tab, payload["message_id"])
    assert answer_of(there) == "two begins, and ends"
    assert there == await ended(pair.on_a, payload["message_id"])
    assert len(pair.agent.tasks) == 2


async def test_equal_posts_at_the_same_moment_on_two_nodes_are_one_run(pair: Pair) -> None:
    payload = follow_up(await on_both(pair))
    for node in (pair.a, pair.b):
        node.cable.hold()
    await pair.on_a.send(payload, id="a")
    await pair.on_b.send(payload, id="b")
    await until(lambda: pair.a.cable.held == pair.b.cable.held == 1)  # both are about to store it
    for node in (pair.a, pair.b):
        node.cable.let_go()
    await first_delta(pair.on_a)
    pair.agent.let_go("two")
    chats = [await ended(client, payload["message_id"]) for client in (pair.on_a, pair.on_b)]
    assert chats[0] == chats[1]
    assert prompts_of(chats[0]) == ["one", "two"]
    assert answer_of(chats[0]) == "two begins, and ends"
    assert len(pair.agent.tasks) == 2


async def test_one_that_was_answered_elsewhere_while_it_waited_here_is_not_run_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = follow_up(await on_both(pair))
    await pair.on_a.send({"prompt": "long", "chat_id": payload["chat_id"]})
    for client in (pair.on_a, pair.on_b):
        await first_delta(client)
    await pair.on_b.send(payload, id="b")
    await until(lambda: is_waiting(pair.b.house, payload["chat_id"]))
    fetch = HeldFetch(pair.b.house, monkeypatch)  # and sees nothing while both are answered
    await fetch.reached.wait()
    await pair.on_a.send(payload, id="a")
    pair.agent.let_go("long")
    pair.agent.let_go("two")
    chat = await ended(pair.on_a, payload["message_id"])
    fetch.gate.set()
    assert (await frame_of(pair.on_b, "complete", request_id="b"))["payload"] == chat
    assert prompts_of(chat) == ["one", "long", "two"]
    assert len(pair.agent.tasks) == 3
    assert as_stored(chat) == stored_chat(pair.database, chat["id"])


async def test_those_that_wait_on_two_nodes_become_one_run(pair: Pair) -> None:
    payload = follow_up(await on_both(pair))
    await pair.on_a.send({"prompt": "long", "chat_id": payload["chat_id"]})
    for client in (pair.on_a, pair.on_b):
        await first_delta(client)
    await pair.on_a.send(payload, id="a")
    await pair.on_b.send(payload, id="b")
    await until(lambda: is_waiting(pair.b.house, payload["chat_id"]))
    pair.agent.let_go("long")
    pair.agent.let_go("two")
    chats = [await ended(client, payload["message_id"]) for client in (pair.on_a, pair.on_b)]
    assert chats[0] == chats[1]
    assert prompts_of(chats[0]) == ["one", "long", "two"]
    assert len(pair.agent.tasks) == 3


async def test_stopped_before_its_turn_it_is_refused_to_all_who_sent_it(pair: Pair) -> None:
    payload = follow_up(await on_both(pair))
    await pair.on_a.send({"prompt": "long", "chat_id": payload["chat_id"]})
    for client in (pair.on_a, pair.on_b):
        await first_delta(client)
    for label in ("1", "2"):
        await pair.on_b.send(payload, id=label)
    await until(lambda: is_waiting(pair.b.house, payload["chat_id"]))
    await pair.on_b.send({"id": payload["chat_id"], "message_id": payload["message_id"]}, "/chats/stop")
    refused = [await frame_of(pair.on_b, "postThread") for _ in range(2)]
    assert {frame["request_id"] for frame in refused} == {"1", "2"}
    assert {frame["error"]["code"] for frame in refused} == {"SERVICE_UNAVAILABLE"}
    pair.agent.let_go("long")
    assert prompts_of((await frame_of(pair.on_a, "complete"))["payload"]) == ["one", "long"]
    assert len(pair.agent.tasks) == 2


async def test_a_replacement_discards_all_that_came_after_it(life: Life) -> None:
    chat = await posted(life, "one", asset_id=str(REVENUE), asset_type="metric")
    first, *_ = chat["message_ids"]
    for prompt in ("two", "three"):
        chat = await posted(life, prompt, chat_id=chat["id"])
    link = "INSERT INTO messages_to_files VALUES (?, ?, 1, '2025-01-01 00:00:00')"
    with opened(life.house.database) as connection:
        connection.execute(link, (chat["message_ids"][2], str(ORG_METRIC)))
    second = chat["message_ids"][1]
    life.agent.let_go("better")
    frames = await life.client.post(prompt="better", chat_id=chat["id"], message_id=second)
    for frame in (frames[0], frames[-1]):
        assert frame["payload"]["message_ids"] == list(frame["payload"]["messages"]) == [first, second]
    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
    assert [asset.id for asset in life.agent.tasks[-1].assets] == [REVENUE]
    assert [len(task.history) for task in life.agent.tasks] == [0, 1, 2, 1]
    assert as_stored(frames[-1]["payload"]) == stored_chat(life.house.database, chat["id"])
    assert rows(life.house.database, "SELECT message_id FROM messages_to_files") == [{"message_id": first}]
    after = await posted(life, "four", chat_id=chat["id"])
    assert prompts_of(after) == ["one", "better", "four"]
    assert as_stored(after) == stored_chat(life.house.database, chat["id"])


async def test_other_chats_keep_what_they_have(life: Life) -> None:
    kept = await posted(life, "one")
    kept = await posted(life, "two", chat_id=kept["id"])
    chat = await posted(life, "three")
    await posted(life, "better", chat_id=chat["id"], message_id=chat["message_ids"][0])
    assert as_stored(kept) == stored_chat(life.house.database, kept["id"])


async def test_what_was_discarded_and_is_sent_again_is_new(life: Life) -> None:
    first = await posted(life, "one")
    payload = follow_up(first)
    await posted(life, **payload)
    await posted(life, "better", chat_id=first["id"], message_id=first["message_ids"][0])
    assert prompts_of(await posted(life, **payload)) == ["better", "two"]


async def test_a_replacement_on_another_node_waits_for_the_run_that_it_discards(pair: Pair) -> None:
    chat = await on_both(pair)
    await pair.on_a.send({"prompt": "two", "chat_id": chat["id"], "message_id": (two := str(uuid4()))}, id="two")
    for client in (pair.on_a, pair.on_b):
        await first_delta(client)
    pair.agent.let_go("better")
    await pair.on_b.send({"prompt": "better", "chat_id": chat["id"], "message_id": chat["message_ids"][0]}, id="better")
    await until(lambda: is_waiting(pair.b.house, chat["id"]))
    pair.agent.let_go("two")
    assert prompts_of(await ended(pair.on_a, two)) == ["one", "two"]
    replaced = await frame_of(pair.on_a, "complete", request_id="better")
    assert prompts_of(replaced["payload"]) == ["better"]
    assert as_stored(replaced["payload"]) == stored_chat(pair.database, chat["id"])


async def test_a_replacement_whose_chat_cannot_be_read_again_is_answered_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = HeldAgent()
    for prompt in ("one", "two", "again"):
        agent.let_go(prompt)
    async with open_nodes(settings, agent, 1) as (node,), node.house.connect() as client:
        chat = (await client.post(prompt="one"))[-1]["payload"]
        await client.post(prompt="two", chat_id=chat["id"])

        async def then_blind(*arguments: Any) -> bool:
            done = await replace_message(*arguments)
            node.cable.blind = True
            return done

        monkeypatch.setattr("handlers.initialize_chat.replace_message", then_blind)
        frames = await client.post(prompt="again", chat_id=chat["id"], message_id=chat["message_ids"][0])
        node.cable.blind = False
        assert answer_of(frames[-1]["payload"]) == "again begins, and ends"
