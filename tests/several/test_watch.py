"""Servers that die, that are only slow, that leave well, and databases that are away: each run has one end all the same."""

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest

from backends.accounts import find_user
from backends.storage import Change, NothingStored, Row, Storage
from backends.stored import Stored, find_message
from handlers.nodes.cluster import Several
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import TIMEOUT_S, Client
from tests.support.database import as_stored, opened, rows, stored_chat
from tests.support.failures import break_database, mend_database
from tests.support.house import House
from tests.support.life import answer_of, first_delta
from tests.support.life import until as frame_of
from tests.support.linked import Node, good, open_nodes
from tests.support.over_http import request
from tests.support.pairs import is_waiting
from tests.support.waiting import begun, until

OWNERS = "SELECT owner, is_completed, final_reasoning_message FROM messages ORDER BY created_at"


@dataclass
class Three:
    """Three nodes whose leases are short, and a connection of Alice's to each."""

    agent: HeldAgent
    nodes: list[Node]
    clients: list[Client]

    @property
    def house(self) -> House:
        return self.nodes[0].house


@pytest.fixture
async def three(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Three]:
    monkeypatch.setattr("backends.nodes.RENEW_S", 0.05)
    monkeypatch.setattr("backends.nodes.LEASE_S", 0.3)
    agent = HeldAgent()
    async with open_nodes(settings, agent, 3) as nodes, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(node.house.connect()) for node in nodes]
        yield Three(agent, nodes, clients)


async def silent(client: Client) -> None:
    """Nothing more was on its way to this connection."""
    await client.send({}, id="silent")
    assert (await client.frame()).get("request_id") == "silent"


async def test_a_dead_nodes_run_is_closed_once_and_its_user_is_told(three: Three) -> None:
    frames = await begun(three.clients[0], "one")
    chat_id = frames[-1]["payload"]["chat_id"]
    await first_delta(three.clients[1])
    three.nodes[0].die()
    for client in three.clients[1:]:
        end = await frame_of(client, "complete")
        assert (end["route"], end["send_method"], "request_id" in end) == ("/chats/post", "All", False)
        assert end["sent_by"]["name"] == "Alice"
        assert as_stored(end["payload"]) == stored_chat(three.house.database, chat_id)
        assert "Interrupted" in str(end["payload"])
        await silent(client)
    assert sum(node.ended("interrupted") or 0 for node in three.nodes[1:]) == 1
    assert len(rows(three.house.database, "SELECT * FROM nodes")) == 2


async def test_what_waits_for_a_dead_nodes_run_has_its_turn(three: Three) -> None:
    chat_id = (await begun(three.clients[0], "one"))[-1]["payload"]["chat_id"]
    await three.clients[1].send({"prompt": "two", "chat_id": chat_id}, id="2")
    await until(lambda: is_waiting(three.nodes[1].house, chat_id))
    three.agent.let_go("two")
    three.nodes[0].die()
    end = await frame_of(three.clients[2], "complete", request_id="2")
    assert answer_of(end["payload"]) == "two begins, and ends"
    assert rows(three.house.database, OWNERS)[0]["final_reasoning_message"] == "Interrupted"


async def test_a_retry_of_a_dead_nodes_run_is_answered_by_its_end(three: Three) -> None:
    id = str(uuid4())
    await begun(three.clients[0], "one", message_id=id)
    three.nodes[0].die()
    await three.clients[1].send({"prompt": "one", "message_id": id}, id="again")
    end = await frame_of(three.clients[1], "complete", request_id="again")
    assert "Interrupted" in str(end["payload"])
    assert len(three.agent.tasks) == 1


async def test_a_node_that_was_only_paused_ends_nothing_a_second_time_and_serves_on(three: Three) -> None:
    slow, client = three.nodes[0], three.clients[0]
    before = await begun(client, "one")
    chat_id, lease_id = before[-1]["payload"]["chat_id"], slow.lease_id
    slow.cable.hold()
    end = await frame_of(three.clients[1], "complete")
    three.agent.let_go("one")
    await until(lambda: slow.cable.held > 1)  # its renewal, and the end of its run
    slow.cable.let_go()
    await until(lambda: slow.ended("lost") == 1)
    assert as_stored(end["payload"]) == stored_chat(three.house.database, chat_id)
    stream = [frame for frame in await client.stream() if frame["event"] != "generatingTitle"]
    assert [frame["payload"] for frame in stream] == [end["payload"]]  # not even a delta that came too late
    await silent(client)
    await until(lambda: slow.lease_id != lease_id)
    three.agent.let_go("two")
    assert answer_of(good(await client.post(prompt="two"))) == "two begins, and ends"


async def test_a_silent_run_of_a_node_that_was_paused_ends_with_its_lease(three: Three) -> None:
    slow = three.nodes[0]
    await begun(three.clients[0], "one")
    slow.cable.hold()
    await frame_of(three.clients[1], "complete")
    slow.cable.let_go()
    await until(lambda: slow.ended("lost") == 1)
    assert three.agent.running == 0
    await until(lambda: not len(slow.house.services.runs))


async def test_get_of_a_run_that_may_be_somebody_elses_by_now_is_what_is_stored(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.get_chat.UNSURE_S", 0.05)
    slow, client = three.nodes[0], three.clients[0]
    chat_id = (await begun(client, "one"))[-1]["payload"]["chat_id"]
    slow.cable.hold()
    await until(lambda: not slow.house.services.cluster.lease.is_sure)
    await client.send({"id": chat_id}, route="/chats/get")
    assert not (await frame_of(client, "getChat"))["payload"]["messages"].popitem()[1]["response_message_ids"]
    slow.cable.let_go()


@pytest.mark.parametrize("becomes", ["sure", "lost"])
async def test_get_of_a_run_of_which_nobody_knows_whose_it_is_waits_until_that_is_known(
    three: Three, becomes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.get_chat.UNSURE_S", TIMEOUT_S)
    monkeypatch.setattr("backends.nodes.LEASE_S", 60)  # so nobody takes it for dead
    slow, client = three.nodes[0], three.clients[0]
    chat_id = (await begun(client, "one"))[-1]["payload"]["chat_id"]
    lease = slow.house.services.cluster.lease
    slow.cable.hold()
    await until(lambda: slow.cable.held)  # its renewal
    lease.until = -math.inf
    asked, settled = anyio.Event(), lease.settled

    async def ask() -> bool:
        asked.set()
        return await settled()

    monkeypatch.setattr(lease, "settled", ask)
    await client.send({"id": chat_id}, route="/chats/get")
    await asked.wait()
    if becomes == "lost":
        lease.lose()
    slow.cable.let_go()
    chat = (await frame_of(client, "getChat"))["payload"]
    said = [part["message"] for part in chat["messages"].popitem()[1]["response_messages"].values()]
    assert said == (["one begins"] if becomes == "sure" else [])


async def test_over_http_who_posted_to_a_node_that_was_paused_gets_what_became_of_it(three: Three) -> None:
    slow, answers = three.nodes[0], list[tuple[int, Any]]()

    async def post() -> None:
        status, chat, _ = await request(slow.house, b'{"prompt": "one"}', slow.house.token())
        answers.append((status, chat))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(post)
        await first_delta(three.clients[1])
        slow.cable.hold()
        end = await frame_of(three.clients[1], "complete")
        slow.cable.let_go()
    assert answers == [(200, end["payload"])]


async def test_an_end_that_is_stored_after_the_burial_and_before_the_closing_is_told_by_its_owner_alone(three: Three) -> None:
    slow, *others = three.nodes
    await begun(three.clients[0], "one")
    slow.cable.hold()
    for other in others:
        other.cable.blind = True
    with opened(three.house.database) as connection:
        connection.execute("DELETE FROM nodes WHERE id = ?", [str(slow.lease_id)])
    await until(lambda: slow.cable.held == 1)  # its renewal
    three.agent.let_go("one")
    await until(lambda: slow.cable.held == 2)  # and the end
    slow.cable.let_go()
    for node, client in zip(three.nodes, three.clients, strict=True):
        end = await frame_of(client, "complete")
        assert answer_of(end["payload"]) == "one begins, and ends"
        assert as_stored(end["payload"]) == stored_chat(three.house.database, end["payload"]["id"])
        node.cable.blind = False
    for other in others:
        await looked(other)
    for client in three.clients:
        await silent(client)
    assert slow.ended("completed") == 1


async def looked(node: Node) -> None:
    """Wait until the node has looked at the others again."""
    cluster = node.house.services.cluster
    assert isinstance(cluster, Several)
    membership = cluster.node.membership
    before = membership._looked
    await until(lambda: membership._looked > before)
    before = membership._looked
    await until(lambda: membership._looked > before)


async def test_who_leaves_well_leaves_nothing(three: Three) -> None:
    leaving, client = three.nodes[0], three.clients[0]
    frames = await begun(client, "one")
    leaving.house.server.should_exit = True
    *more, _ = await client.until("goingAway")
    assert "Interrupted" in str(good([*frames, *more, *await client.stream()]))
    await until(lambda: len(rows(three.house.database, "SELECT * FROM nodes")) == 2)
    assert [row["is_completed"] for row in rows(three.house.database, OWNERS)] == [1]
    for node, other in zip(three.nodes[1:], three.clients[1:], strict=True):
        await frame_of(other, "complete")
        await looked(node)
        await silent(other)


async def test_an_end_that_could_not_be_read_for_telling_it_is_told_later(
    three: Three, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [OSError("away"), OSError("still away")]

    async def find_later(storage: Storage, user_id: UUID) -> Row | None:
        if failures:
            raise failures.pop()
        return await find_user(storage, user_id)

    monkeypatch.setattr("handlers.nodes.untold.find_user", find_later)
    await begun(three.clients[0], "one")
    await first_delta(three.clients[1])
    three.nodes[0].die()
    assert "Interrupted" in str(await frame_of(three.clients[1], "complete"))
    assert failures == []


class Unreadable:
    """The users, who cannot be read for telling an end until that is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_away = True
        monkeypatch.setattr("handlers.nodes.untold.find_user", self.find)

    async def find(self, storage: Storage, user_id: UUID) -> Row | None:
        if self.is_away:
            raise OSError("away")
        return await find_user(storage, user_id)


async def overtaken(three: Three, monkeypatch: pytest.MonkeyPatch) -> tuple[Unreadable, str]:
    """A node has died in the middle of a stream, nobody can tell its end yet, and another node streams in the same chat."""
    users = Unreadable(monkeypatch)
    chat_id = (await begun(three.clients[0], "one"))[-1]["payload"]["chat_id"]
    for client in three.clients[1:]:
        await first_delta(client)
    three.nodes[0].die()
    await three.clients[1].send({"prompt": "two", "chat_id": chat_id}, id="2")
    for client in three.clients[1:]:
        await frame_of(client, "generatingResponseMessage", request_id="2")
    return users, chat_id


async def test_a_dead_nodes_end_is_not_told_into_the_next_stream_of_its_chat(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, chat_id = await overtaken(three, monkeypatch)
    users.is_away = False
    for node in three.nodes[1:]:
        await looked(node)
    three.agent.let_go("two")
    for client in three.clients[1:]:
        end = await frame_of(client, "complete")
        assert (end["request_id"], answer_of(end["payload"])) == ("2", "two begins, and ends")
        of_the_dead = await frame_of(client, "complete")
        assert as_stored(of_the_dead["payload"]) == stored_chat(three.house.database, chat_id)
    for node, client in zip(three.nodes[1:], three.clients[1:], strict=True):
        await looked(node)
        await silent(client)


async def test_a_dead_nodes_end_is_not_told_before_an_end_of_its_chat_that_is_stored_and_on_its_way(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, _ = await overtaken(three, monkeypatch)
    _, teller, hearer = three.nodes
    teller.broker.hold()
    three.agent.let_go("two")
    await until(lambda: all(row["is_completed"] for row in rows(three.house.database, "SELECT is_completed FROM messages")))
    users.is_away = False
    for _ in range(3):
        await looked(hearer)
    teller.broker.let_go()
    assert [(await frame_of(three.clients[2], "complete")).get("request_id") for _ in range(2)] == ["2", None]


async def test_a_dead_nodes_end_is_not_told_when_its_message_is_answered_anew(
    three: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, id = Unreadable(monkeypatch), str(uuid4())
    chat_id = (await begun(three.clients[0], "one", message_id=id))[-1]["payload"]["chat_id"]
    for client in three.clients[1:]:
        await first_delta(client)
    three.nodes[2].cable.blind = True  # so the other one closes it
    three.nodes[0].die()
    await three.clients[1].send({"prompt": "two", "chat_id": chat_id, "message_id": id}, id="2")
    for client in three.clients[1:]:
        await frame_of(client, "generatingResponseMessage", request_id="2")
    three.nodes[2].cable.blind = users.is_away = False
    for node in three.nodes[1:]:
        await looked(node)
    assert [stream.own for stream in three.nodes[1].broker.streams] == [True]
    three.agent.let_go("two")
    for node, client in zip(three.nodes[1:], three.clients[1:], strict=True):
        end = await frame_of(client, "complete")
        assert (end["request_id"], answer_of(end["payload"])) == ("2", "two begins, and ends")
        await looked(node)
        await silent(client)
        assert not list(node.broker.streams)


async def test_a_node_that_stops_says_so_where_nobody_has_closed_its_run(
    three: Three, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("handlers.store_answer.PAUSE_S", 0.01)
    monkeypatch.setattr("backends.nodes.LEASE_S", 60)  # so nobody takes it for dead
    slow, answers = three.nodes[0], list[tuple[int, Any]]()

    async def refuse(*changes: Change, only_if: Change | None = None) -> bool:
        raise NothingStored

    async def post() -> None:
        status, error, _ = await request(slow.house, b'{"prompt": "one"}', slow.house.token())
        answers.append((status, error["code"]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(post)
        await first_delta(three.clients[1])
        monkeypatch.setattr(slow.cable, "write", refuse)
        three.agent.let_go("one")
        await until(lambda: "is tried again" in caplog.text)
        slow.house.services.cluster.lease.until = -math.inf
        slow.house.server.should_exit = True
    assert answers == [(503, "SERVICE_UNAVAILABLE")]
    for client in three.clients[:2]:
        assert (await frame_of(client, "postThread"))["error"]["code"] == "SERVICE_UNAVAILABLE"


async def test_a_node_that_stops_tells_no_error_for_a_run_that_another_node_has_closed(
    three: Three, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("handlers.store_answer.PAUSE_S", 0.01)
    slow, others = three.nodes[0], three.clients[1:]
    await begun(three.clients[0], "one")
    slow.cable.cut = True  # from the database, and not from the others
    three.agent.let_go("one")
    await until(lambda: "is tried again" in caplog.text)
    for client in three.clients:
        assert "Interrupted" in str(await frame_of(client, "complete"))
    slow.house.server.should_exit = True
    while (frame := await three.clients[0].frame())["event"] != "goingAway":
        assert frame["event"] != "postThread"
    await until(lambda: not slow.house.services.posts)
    for client in others:
        await silent(client)


@pytest.mark.parametrize("way", ["cut", "cut_behind"])
async def test_while_the_database_is_away_an_end_is_waited_for(
    three: Three, way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("handlers.store_answer.PAUSE_S", 0.01)
    node, client = three.nodes[0], three.clients[0]
    frames = await begun(client, "one")
    with monkeypatch.context() as alone:  # as if it were away for all
        alone.setattr("backends.nodes.LEASE_S", 60)
        setattr(node.cable, way, True)
        three.agent.let_go("one")
        await until(lambda: "is tried again" in caplog.text)
        setattr(node.cable, way, False)
        chat = good([*frames, *await client.stream()])
    assert answer_of(chat) == "one begins, and ends"
    assert as_stored(chat) == stored_chat(three.house.database, chat["id"])


@pytest.mark.parametrize("looks", [1, 5])
async def test_a_closing_whose_answer_is_lost_is_told_all_the_same(
    three: Three, looks: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [OSError("still away")] * (looks - 1)

    async def find_later(storage: Storage, message_id: UUID) -> Stored | None:
        if failures:
            raise failures.pop()
        return await find_message(storage, message_id)

    monkeypatch.setattr("handlers.nodes.watch.find_message", find_later)
    monkeypatch.setattr("handlers.nodes.untold.LOOKS_AT_DEAD", 100)  # whoever closes a run is given the time to find out
    monkeypatch.setattr("backends.nodes.LEASE_S", 60)  # for the others, whose renewals are held up as well
    dead, *others = three.nodes
    chat_id = (await begun(three.clients[0], "one"))[-1]["payload"]["chat_id"]
    for node, client in zip(others, three.clients[1:], strict=True):
        await first_delta(client)
        node.cable.hold()
    dead.die()
    with opened(three.house.database) as connection:
        connection.execute("DELETE FROM nodes WHERE id = ?", [str(dead.lease_id)])
    await until(lambda: all(node.cable.held == 2 for node in others))  # a renewal, and the closing
    for node in others:
        node.cable.cut_behind = True
        node.cable.let_go()
    await until(lambda: caplog.text.count("the other nodes could not be looked at") == len(three.nodes))
    for node in others:
        node.cable.cut_behind = False
    for client in three.clients[1:]:
        assert as_stored((await frame_of(client, "complete"))["payload"]) == stored_chat(three.house.database, chat_id)
    for node, client in zip(others, three.clients[1:], strict=True):
        await looked(node)
        await silent(client)
    assert (failures, sum(node.ended("interrupted") or 0 for node in others)) == ([], 1)


async def test_an_end_that_the_database_refuses_is_one_error_and_the_message_is_closed_in_silence(
    three: Three, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("handlers.store_answer.PAUSE_S", 0.01)
    client = three.clients[0]
    await begun(client, "one")
    break_database(three.house, "UPDATE ON messages")
    three.agent.let_go("one")
    assert (await client.stream())[-1]["error"]["code"] == "INTERNAL_SERVER_ERROR"
    mend_database(three.house)
    await until(lambda: rows(three.house.database, OWNERS)[0]["is_completed"])
    for node in three.nodes:
        await looked(node)
    await silent(client)
