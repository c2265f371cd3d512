"""Posts in one chat on two servers: they take turns, wait in bounded numbers, and a wait ends when it has to."""

from functools import partial
from typing import Any
from uuid import uuid4

import anyio
import pytest

from backends.storage import Conflict
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import Client, is_end
from tests.support.database import as_stored, rows, stored_chat
from tests.support.house import House
from tests.support.life import answer_of, first_delta
from tests.support.life import until as frame_of
from tests.support.linked import good, open_nodes
from tests.support.pairs import Pair, is_waiting, pair
from tests.support.waiting import begun, until

__all__ = ["pair"]


async def waiting(pair: Pair, client: Client, prompt: str, id: str = "2", **rest: object) -> tuple[str, list[Any]]:
    """A run on A, and a post on B that waits for it: the chat, and the frames of the run so far."""
    frames = await begun(pair.on_a, "one")
    await first_delta(pair.on_b)
    chat_id = frames[-1]["payload"]["chat_id"]
    await client.send({"prompt": prompt, "chat_id": chat_id, **rest}, id=id)
    await until(lambda: is_waiting(pair.b.house, chat_id))
    return chat_id, frames


@pytest.mark.parametrize("lost", ["deaf", None])
async def test_a_post_waits_for_the_one_on_the_other_and_knows_its_answer(pair: Pair, lost: str | None) -> None:
    if lost:
        setattr(pair.a.broker, lost, True)
    chat_id, frames = await waiting(pair, pair.on_b, "two")
    assert len(rows(pair.database, "SELECT * FROM messages")) == 1
    pair.agent.let_go("two")
    pair.agent.let_go("one")
    good([*frames, *await pair.on_a.stream()])
    second = await pair.on_a.stream()
    assert {frame["request_id"] for frame in second} == {"2"}
    assert answer_of(good(second)) == "two begins, and ends"
    assert answer_of(second[0]["payload"], 0) == "one begins, and ends"
    assert [task.prompt for task in pair.agent.tasks] == ["one", "two"]
    assert len(pair.agent.tasks[-1].history) == 1
    assert as_stored(second[-1]["payload"]) == stored_chat(pair.database, chat_id)


async def test_a_wait_for_the_other_is_as_bounded_as_one_here(pair: Pair) -> None:
    chat_id, _ = await waiting(pair, pair.on_b, "2")
    for number in range(3, 7):
        await pair.on_b.send({"prompt": str(number), "chat_id": chat_id}, id=str(number))
        await until(partial(is_waiting, pair.b.house, chat_id, number - 2))
    await pair.on_b.send({"prompt": "7", "chat_id": chat_id}, id="7")
    refused = await frame_of(pair.on_b, "postThread")
    assert (refused["request_id"], refused["error"]["code"]) == ("7", "TOO_MANY_REQUESTS")
    for prompt in ("one", "2", "3", "4", "5", "6"):
        pair.agent.let_go(prompt)
    ends = [(await frame_of(pair.on_b, "complete")).get("request_id") for _ in range(6)]
    assert ends == [None, "2", "3", "4", "5", "6"]
    assert [len(task.history) for task in pair.agent.tasks] == [0, 1, 2, 3, 4, 5]


async def test_a_crowd_on_both_takes_turns(pair: Pair) -> None:
    pair.agent.let_go("first")
    chat_id = (await pair.on_a.post(prompt="first"))[-1]["payload"]["id"]
    for number in range(10):
        pair.agent.let_go(str(number))
        client = pair.on_a if number % 2 else pair.on_b
        await client.send({"prompt": str(number), "chat_id": chat_id}, id=str(number))
    streams: dict[str, list[Any]] = {str(number): [] for number in range(10)}
    while not all(frames and is_end(frames[-1]) for frames in streams.values()):
        frame = await pair.on_a.frame()
        streams[frame["request_id"]].append(frame)
    for frames in streams.values():
        good(frames)
    assert [len(task.history) for task in pair.agent.tasks] == list(range(11))
    last = max((frames[-1]["payload"] for frames in streams.values()), key=lambda chat: len(chat["message_ids"]))
    assert as_stored(last) == stored_chat(pair.database, chat_id)


async def test_a_stop_of_what_waits_for_the_other_ends_the_wait_alone(pair: Pair) -> None:
    id = str(uuid4())
    chat_id, frames = await waiting(pair, pair.on_b, "two", message_id=id)
    await pair.on_b.send({"id": chat_id, "message_id": id}, route="/chats/stop")
    refused = await frame_of(pair.on_b, "postThread")
    assert (refused["request_id"], refused["error"]["code"]) == ("2", "SERVICE_UNAVAILABLE")
    assert "stopped" in refused["error"]["message"]
    pair.agent.let_go("one")
    assert answer_of(good([*frames, *await pair.on_a.stream()])) == "one begins, and ends"
    assert len(pair.agent.tasks) == 1


async def test_a_stop_that_names_the_chat_means_what_runs_and_not_what_waits_for_it(pair: Pair) -> None:
    chat_id, frames = await waiting(pair, pair.on_b, "two")
    pair.agent.let_go("two")
    await pair.on_b.send({"id": chat_id}, route="/chats/stop")
    assert "Stopped" in str(good([*frames, *await pair.on_a.stream()]))
    assert answer_of(good(await pair.on_a.stream())) == "two begins, and ends"


async def test_get_while_a_post_waits_here_for_the_other_is_at_its_place_in_the_stream(pair: Pair) -> None:
    chat_id, _ = await waiting(pair, pair.on_b, "two")
    async with pair.b.house.connect() as tab:
        await tab.send({"id": chat_id}, route="/chats/get")
        assert answer_of((await tab.frame())["payload"]) == "one begins"


async def test_who_waits_for_longer_than_a_run_may_take_is_refused(pair: Pair) -> None:
    chat_id = (await begun(pair.on_a, "one"))[-1]["payload"]["chat_id"]
    object.__setattr__(pair.b.house.services.timeouts, "run", 0.0)
    await pair.on_b.send({"prompt": "two", "chat_id": chat_id})
    refused = await frame_of(pair.on_b, "postThread")
    assert refused["error"]["code"] == "TOO_MANY_REQUESTS"
    assert pair.b.house.backends.metrics.registry.get_sample_value("threadcast_refusals_total", {"limit": "turns"}) == 1


async def test_a_drain_refuses_what_waits_for_the_other_and_the_other_goes_on(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_nodes(settings, agent) as (a, b), a.house.connect() as on_a, b.house.connect() as on_b:
        pair = Pair(agent, b, a, on_b, on_a)  # the run is on B
        _, frames = await waiting(pair, on_a, "two")
        a.house.server.should_exit = True
        refused = await frame_of(on_a, "postThread")
        assert (refused["request_id"], refused["error"]["code"]) == ("2", "SERVICE_UNAVAILABLE")
        assert await on_a.close_code() == 1012
        agent.let_go("one")
        assert answer_of(good([*frames, *await on_b.stream()])) == "one begins, and ends"
        assert len(agent.tasks) == 1


async def test_a_drain_ends_the_wait_for_what_was_joined_on_the_other(pair: Pair) -> None:
    id = str(uuid4())
    frames = await begun(pair.on_a, "one", message_id=id)
    await first_delta(pair.on_b)
    await pair.on_b.send({"prompt": "one", "message_id": id}, id="told")
    await frame_of(pair.on_b, "initializeChat", request_id="told")
    pair.b.broker.deaf = True
    await pair.on_b.send({"prompt": "one", "message_id": id}, id="untold")
    await until(lambda: len(pair.b.house.services.posts) == 2)
    pair.b.house.server.should_exit = True
    assert (await frame_of(pair.on_b, "postThread"))["request_id"] == "untold"
    assert await pair.on_b.close_code() == 1012
    pair.agent.let_go("one")
    good([*frames, *await pair.on_a.stream()])


async def test_a_conflict_that_nothing_explains_is_an_error_and_no_endless_wait(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def write(*_: object, **__: object) -> bool:
        raise Conflict

    monkeypatch.setattr(pair.a.cable, "write", write)
    assert (await pair.on_a.refusal({"prompt": "one"}))["code"] == "INTERNAL_SERVER_ERROR"


async def test_a_replacement_on_each_of_three_at_once_leaves_one_answer_and_each_has_one_end(settings: Settings) -> None:
    agent, id = HeldAgent(), str(uuid4())
    async with open_nodes(settings, agent, 3) as nodes, nodes[0].house.connect() as ear:
        agent.let_go("one")
        chat_id = (await ear.post(prompt="one", message_id=id))[-1]["payload"]["id"]
        async with anyio.create_task_group() as tasks:
            for number, node in enumerate(nodes):
                agent.let_go(str(number))
                tasks.start_soon(replace, node.house, chat_id, id, str(number))
        await until(lambda: not any(len(node.house.services.runs) for node in nodes))
        (row,) = rows(nodes[0].house.database, "SELECT * FROM messages")
        assert row["is_completed"]
        assert len(stored_chat(nodes[0].house.database, chat_id)["message_ids"]) == 1


async def replace(house: House, chat_id: str, message_id: str, prompt: str) -> None:
    """Replace a message, and hear exactly one end of one's own."""
    async with house.connect() as client:
        await client.send({"prompt": prompt, "chat_id": chat_id, "message_id": message_id}, id=prompt)
        while True:
            frame = await client.frame()
            if frame.get("request_id") == prompt and is_end(frame):
                return
