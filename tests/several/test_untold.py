"""Ends that were stored and not told: each connection that has heard the stream is told one end, whoever dies or is late."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import anyio
import pytest
from websockets.asyncio.client import connect

from backends.agent import AgentTask
from backends.agent_events import AgentEvent
from backends.ends import take_over
from backends.messages import Owner
from backends.orphans import finish_orphans
from backends.storage import Storage
from backends.stored import Stored
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import Client, Frame, is_end
from tests.support.database import as_stored, opened, rows, stored_chat
from tests.support.failures import break_database, mend_database
from tests.support.fitting import FittingClient
from tests.support.life import first_delta, share
from tests.support.life import until as frame_of
from tests.support.linked import Node, open_nodes
from tests.support.pairs import is_waiting
from tests.support.world import ALICE, BOB

PATIENCE_S = 30
NODES = "SELECT * FROM nodes"
STORED = "SELECT id FROM messages WHERE is_completed"


async def eventually(condition: Callable[[], object]) -> None:
    """Wait, without keeping the servers in this process from anything, for what takes a lease's time and more."""
    with anyio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.01)


class Failing(HeldAgent):
    """Fails in the end, when the prompt says so."""

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        async for event in super().answer(task):
            yield event
        if "fails" in task.prompt:
            raise OSError


class Tab:
    """A connection to a node. `ends`: of the streams that it has heard."""

    def __init__(self, node: Node, user: UUID, client: Client, numbered: bool) -> None:
        self.node, self.user, self.client, self.numbered = node, user, client, numbered

    async def end(self) -> Frame:
        """The next end, and all that is before it."""
        while not is_end(frame := await self.client.frame()):
            pass
        if self.numbered:
            assert frame["offset"]
        return frame

    async def silent(self) -> None:
        """No end is on its way to it."""
        await self.client.send({}, id="silent")
        while (frame := await self.client.frame()).get("request_id") != "silent":
            assert not is_end(frame), (self.node.lease_id, self.numbered, self.user, frame)


@asynccontextmanager
async def opened_tab(node: Node, user: UUID = ALICE, since: str | None = None) -> AsyncIterator[Tab]:
    house = node.house
    url = f"{house.url}?authentication={house.token(user)}" + ("" if since is None else f"&since={since}")
    async with connect(url, max_size=None, max_queue=None) as socket:
        client = FittingClient(socket)
        if since is not None:
            assert (await client.frame())["event"] == "resumed"
        yield Tab(node, user, client, since is not None)


@dataclass
class Town:
    """Three nodes; on each Alice and Bob have a connection that is numbered and one that is not."""

    agent: Failing
    nodes: list[Node]
    tabs: list[Tab]

    def on(self, *numbers: int, user: UUID | None = None) -> Iterator[Tab]:
        """The tabs on these nodes."""
        for tab in self.tabs:
            if tab.node in [self.nodes[number] for number in numbers] and user in (None, tab.user):
                yield tab

    async def post(self, prompt: str, user: UUID = ALICE, on: int = 0, **rest: object) -> str:
        """Post, and wait until all tabs of the user have heard the answer's first words. Returns the message's id."""
        id = str(uuid4())
        await next(self.on(on, user=user)).client.send({"prompt": prompt, "message_id": id, **rest})
        for tab in self.on(0, 1, 2, user=user):
            assert (await first_delta(tab.client))["payload"]["message_id"] == id
        return id

    async def stored(self, *ids: str) -> None:
        """Wait until these messages have ended."""
        await eventually(lambda: set(ids) <= {row["id"] for row in rows(self.nodes[0].house.database, STORED)})

    async def kill_untold(self, prompt: str, *ids: str) -> None:
        """The first node dies after it has stored these ends and before it tells them."""
        await self.end_untold(prompt, *ids)
        self.nodes[0].die()
        await self.buried()

    async def end_untold(self, prompt: str, *ids: str) -> None:
        """The first node stores these ends, and tells the others nothing any more."""
        self.nodes[0].broker.cut = True
        self.agent.let_go(prompt)
        await self.stored(*ids)

    async def buried(self) -> None:
        """Wait until one of the nodes has been taken for dead."""
        await eventually(lambda: len(rows(self.nodes[0].house.database, NODES)) == len(self.nodes) - 1)

    async def looked(self, *numbers: int) -> None:
        """Wait until these nodes have looked at what is silent more often than they need to."""
        for number in numbers:
            streams = self.nodes[number].house.services.backends.broker.streams
            turn = streams._turn
            await eventually(lambda: streams._turn > turn + 6)  # noqa: B023

    async def silent(self, *numbers: int) -> None:
        """Nobody on these nodes is told an end any more."""
        await self.looked(*numbers)
        for tab in self.on(*numbers):
            await tab.silent()


@pytest.fixture
async def town(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    monkeypatch.setattr("backends.nodes.RENEW_S", 0.1)
    monkeypatch.setattr("backends.nodes.LEASE_S", 1.0)
    agent = Failing()
    async with open_nodes(settings, agent, 3) as nodes, AsyncExitStack() as stack:
        tabs = [
            await stack.enter_async_context(opened_tab(node, user, since))
            for node in nodes
            for user in (ALICE, BOB)
            for since in (None, "")
        ]
        yield Town(agent, nodes, tabs)


@pytest.mark.parametrize(("prompt", "how"), [("one", "Reasoned for"), ("one fails", "Failed")])
async def test_an_end_whose_node_was_killed_between_its_commit_and_telling_is_told_to_every_tab_once(
    town: Town, prompt: str, how: str
) -> None:
    ids = {user: await town.post(prompt, user) for user in (ALICE, BOB)}
    await town.kill_untold(prompt, *ids.values())
    for tab in town.on(1, 2):
        end = await tab.end()
        assert (end["event"], end["route"], end["send_method"]) == ("complete", "/chats/post", "All")
        assert end["payload"]["messages"][ids[tab.user]]["final_reasoning_message"].startswith(how)
        assert as_stored(end["payload"]) == stored_chat(tab.node.house.database, end["payload"]["id"])
    await town.silent(1, 2)
    assert [list(node.house.services.backends.broker.streams) for node in town.nodes[1:]] == [[], []]


async def test_an_end_that_is_only_late_is_told_once_by_its_own_node(town: Town) -> None:
    id = await town.post("one")
    town.nodes[0].broker.hold()
    town.agent.let_go("one")
    await town.stored(id)
    await town.silent(1, 2)
    town.nodes[0].broker.let_go()
    for tab in town.on(0, 1, 2, user=ALICE):
        assert (await tab.end())["event"] == "complete"
    await town.silent(0, 1, 2)


async def test_an_end_that_comes_from_a_node_which_was_taken_for_dead_is_not_told_again(town: Town) -> None:
    id = await town.post("one")
    town.nodes[0].broker.hold()
    town.agent.let_go("one")
    await town.stored(id)
    town.nodes[0].cable.hold()
    lease = town.nodes[0].house.services.cluster.lease
    await town.buried()
    for tab in town.on(0, 1, 2, user=ALICE):
        assert (await tab.end())["event"] == "complete"
    town.nodes[0].cable.let_go()
    await eventually(lambda: lease.lost)
    town.nodes[0].broker.let_go()
    await town.silent(0, 1, 2)


async def test_a_node_that_does_not_know_whether_it_has_stored_an_end_does_not_tell_what_another_has_told(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("handlers.store_answer.PAUSE_S", 0.01)
    slow = town.nodes[0]
    id = await town.post("one")
    slow.cable.cut_behind = True
    town.agent.let_go("one")
    await town.stored(id)
    slow.cable.cut = True
    await town.buried()
    for tab in town.on(0, 1, 2, user=ALICE):
        assert "Reasoned for" in str(await tab.end())
    slow.cable.cut = slow.cable.cut_behind = False
    await eventually(lambda: slow.ended("lost") == 1)
    await town.silent(0, 1, 2)


async def test_an_error_that_was_heard_as_a_streams_end_is_its_only_one(town: Town) -> None:
    going_on = await town.post("two")
    await town.post("one fails")
    town.agent.let_go("one fails")
    for tab in town.on(0, 1, 2, user=ALICE):
        assert (await tab.end())["event"] == "postThread"
    await town.looked(1, 2)
    await town.kill_untold("two", going_on)
    for tab in town.on(1, 2, user=ALICE):
        assert going_on in (await tab.end())["payload"]["messages"]
    await town.silent(1, 2)


async def test_a_run_that_has_told_an_error_is_closed_in_silence_after_its_nodes_death(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("handlers.store_answer.PAUSE_S", 0.01)
    monkeypatch.setattr("handlers.nodes.watch.finish_orphans", no_orphans)
    id = await town.post("one")
    break_database(town.nodes[0].house, "UPDATE ON messages")
    town.agent.let_go("one")
    for tab in town.on(0, 1, 2, user=ALICE):
        assert (await tab.end())["event"] == "postThread"
    mend_database(town.nodes[0].house)
    town.nodes[0].die()
    monkeypatch.setattr("handlers.nodes.watch.finish_orphans", finish_orphans)
    await town.stored(id)
    await town.silent(1, 2)


async def no_orphans(*rest: object) -> AsyncGenerator[Stored, None]:
    """None are found."""
    for orphan in list[Stored]():
        yield orphan


@pytest.mark.parametrize("others", [0, 1])
async def test_where_an_error_may_have_ended_either_of_two_streams_connections_are_closed(town: Town, others: int) -> None:
    """The notice that says which stream fails is lost."""
    for number in range(others):
        await town.post(f"other {number}")
    await town.post("one fails")
    town.nodes[0].broker.deaf = True
    town.agent.let_go("one fails")
    for tab in town.on(0, 1, 2, user=ALICE):
        assert (await tab.end())["event"] == "postThread"
    town.nodes[0].die()
    await town.buried()
    for tab in town.on(1, 2, user=ALICE):
        if others:
            assert await tab.client.close_code() == 1011
        else:
            await town.looked(1, 2)
            await tab.silent()
    for tab in town.on(1, 2, user=BOB):
        await tab.silent()


async def test_a_run_that_was_lost_to_another_node_is_ended_where_that_nodes_telling_was_not_heard(town: Town) -> None:
    slow = town.nodes[0]
    await town.post("one")
    slow.cable.hold()
    slow.broker.cut = True
    await town.buried()
    for tab in town.on(1, 2, user=ALICE):
        assert "Interrupted" in str(await tab.end())
    slow.broker.cut = False
    slow.cable.let_go()
    for tab in town.on(0, user=ALICE):
        assert "Interrupted" in str(await tab.end())
    await town.silent(0, 1, 2)


async def test_a_closing_that_one_node_did_not_hear_is_told_there_alone(town: Town) -> None:
    await town.post("one")
    town.nodes[2].broker.cut = True
    town.nodes[0].die()
    await town.buried()
    await town.looked(1, 2)
    town.nodes[2].broker.cut = False
    for tab in town.on(1, 2, user=ALICE):  # whichever has closed it
        assert "Interrupted" in str(await tab.end())
    await town.silent(1, 2)


@pytest.mark.parametrize("how", ["joined", "got"])
async def test_who_was_told_the_middle_of_a_stream_is_told_its_end(town: Town, how: str) -> None:
    for tab in town.on(1, 2):
        await tab.client.socket.close()
    await eventually(lambda: not len(town.nodes[1].house.services.connections))
    await next(town.on(0, user=ALICE)).client.send({"prompt": "one", "message_id": (id := str(uuid4()))})
    chat_id = (await first_delta(next(town.on(0, user=ALICE)).client))["payload"]["chat_id"]
    async with opened_tab(town.nodes[1]) as tab:
        if how == "joined":
            await tab.client.send({"prompt": "one", "message_id": id})
            await frame_of(tab.client, "initializeChat")
        else:
            await tab.client.send({"id": chat_id}, route="/chats/get")
            await frame_of(tab.client, "getChat")
        await eventually(lambda: list(town.nodes[1].house.services.backends.broker.streams))
        await town.kill_untold("one", id)
        assert id in (await tab.end())["payload"]["messages"]
        await town.looked(1)
        await tab.silent()


async def test_an_end_is_not_told_into_the_next_stream_of_its_chat(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.nodes.elsewhere.ELSEWHERE_LOOK_S", 0.01)
    first, second = await town.post("one"), str(uuid4())
    (chat,) = rows(town.nodes[1].house.database, "SELECT id FROM chats")
    await next(town.on(1, user=ALICE)).client.send({"prompt": "two", "message_id": second, "chat_id": chat["id"]})
    await eventually(lambda: is_waiting(town.nodes[1].house, chat["id"]))
    await town.kill_untold("one", first)
    for tab in town.on(1, 2, user=ALICE):
        assert (await first_delta(tab.client))["payload"]["message_id"] == second
    await town.silent(1, 2)
    town.agent.let_go("two")
    for tab in town.on(1, 2, user=ALICE):
        ends = [await tab.end(), await tab.end()]
        assert [end["payload"]["message_ids"] for end in ends] == [[first, second]] * 2
        assert all(message["is_completed"] for end in ends for message in end["payload"]["messages"].values())
    await town.silent(1, 2)


async def test_an_end_that_its_user_may_not_see_any_more_closes_the_users_connections(town: Town) -> None:
    town.agent.let_go("of Alice")
    await next(town.on(0, user=ALICE)).client.send({"prompt": "of Alice"})
    chat_id = (await next(town.on(0, user=ALICE)).end())["payload"]["id"]
    share(town.nodes[0].house, chat_id, BOB, "can_edit")
    id = await town.post("one", BOB, chat_id=chat_id)
    with opened(town.nodes[0].house.database) as connection:
        connection.execute("DELETE FROM asset_permissions WHERE asset_id = ?", [chat_id])
    await town.kill_untold("one", id)
    for tab in town.on(1, 2, user=BOB):
        assert await tab.client.close_code() == 1011


async def test_a_stream_whose_message_was_discarded_is_forgotten(town: Town) -> None:
    id = await town.post("one")
    await town.end_untold("one", id)
    with opened(town.nodes[1].house.database) as connection:
        connection.execute("DELETE FROM messages WHERE id = ?", [id])
    await eventually(lambda: not any(list(node.house.services.backends.broker.streams) for node in town.nodes[1:]))
    await town.silent(1, 2)


async def test_nothing_is_looked_up_while_no_stream_of_another_node_is_open(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.nodes.untold.find_all_running", None)  # which would fail
    await next(town.on(0, user=ALICE)).client.send({"prompt": "one"})
    town.agent.let_go("one")
    for tab in town.on(0, 1, 2, user=ALICE):
        assert (await tab.end())["event"] == "complete"
    await town.looked(0, 1, 2)


async def test_an_end_is_told_although_the_answer_to_taking_it_over_is_lost(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OSError("away"), OSError("away again")]

    async def take_over_unheard(storage: Storage, message_id: UUID, owner: Owner) -> bool:
        done = await take_over(storage, message_id, owner)
        if done and failures:
            raise failures.pop()
        return done

    monkeypatch.setattr("handlers.nodes.untold.take_over", take_over_unheard)
    id = await town.post("one")
    await town.kill_untold("one", id)
    for tab in town.on(1, 2, user=ALICE):
        assert id in (await tab.end())["payload"]["messages"]
    assert failures == []
    await town.silent(1, 2)


async def test_an_end_that_a_living_node_told_to_a_redis_which_is_lost_is_told_after_a_long_time(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.nodes.untold.LOOKS_AT_LIVING", 4)
    id = await town.post("one")
    town.nodes[0].broker.cut = True
    town.agent.let_go("one")
    for tab in town.on(0, user=ALICE):
        assert (await tab.end())["event"] == "complete"
    town.nodes[0].broker.cut = False
    await town.silent(1, 2)  # it lives, and will have told it
    town.nodes[1].house.services.backends.broker.streams.reconnect(is_same=False)
    for tab in town.on(1, 2, user=ALICE):
        assert id in (await tab.end())["payload"]["messages"]
    await town.silent(0, 1, 2)
