"""What arrives exactly while an answer is being stored: the commit is held, so that it is certain. And an agent in haste."""

from collections.abc import AsyncGenerator, AsyncIterator
from itertools import count as count_from
from uuid import uuid4

import anyio
import anyio.lowlevel
import pytest

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ResponseChunk
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import fold, is_end, unsettled
from tests.support.database import as_stored, count, stored_chat
from tests.support.house import BOTH, HeldCommit, HeldFetch, open_house
from tests.support.life import Life, answer_of, first_delta, until

ENGINES = BOTH


@pytest.fixture
async def life(settings: Settings) -> AsyncIterator[Life]:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        yield Life(house, agent, client)


async def test_a_stop_while_the_answer_is_stored_changes_nothing(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    await life.client.send({"prompt": "one"})
    chat_id = (await first_delta(life.client))["payload"]["chat_id"]
    commit = HeldCommit(life.house, monkeypatch)
    life.agent.let_go("one")
    await commit.reached.wait()
    await life.client.send({"id": chat_id}, route="/chats/stop")
    await life.client.send({"id": chat_id}, route="/chats/get")
    got = await until(life.client, "getChat")
    assert not got["payload"]["messages"][got["payload"]["message_ids"][0]]["is_completed"]  # durable before told
    commit.gate.set()
    end = await until(life.client, "complete")
    assert answer_of(end["payload"]) == "one begins, and ends"
    assert "Reasoned for" in str(end["payload"])
    assert as_stored(end["payload"]) == stored_chat(life.house.database, chat_id)


async def test_a_retry_while_the_answer_is_stored_joins_and_sees_the_one_end(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = {"prompt": "one", "message_id": str(uuid4())}
    await life.client.send(payload, id="first")
    await first_delta(life.client)
    commit = HeldCommit(life.house, monkeypatch)
    life.agent.let_go("one")
    await commit.reached.wait()
    async with life.house.connect() as tab:
        await tab.send(payload, id="again")
        joined = await tab.frame()
        assert (joined["event"], joined["request_id"]) == ("initializeChat", "again")
        assert answer_of(joined["payload"]) == "one begins, and ends"
        commit.gate.set()
        frames = await tab.stream()
        assert [frame["request_id"] for frame in frames if is_end(frame)] == ["first"]
    assert len(life.agent.tasks) == count(life.house.database, "messages") == 1


async def test_a_replacement_while_a_stopped_answer_is_stored_waits_for_it(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    id = str(uuid4())
    await life.client.send({"prompt": "one", "message_id": id}, id="1")
    chat_id = (await first_delta(life.client))["payload"]["chat_id"]
    commit = HeldCommit(life.house, monkeypatch)
    await life.client.send({"id": chat_id}, route="/chats/stop")
    await commit.reached.wait()
    life.agent.let_go("two")
    await life.client.send({"prompt": "two", "message_id": id, "chat_id": chat_id}, id="2")
    commit.gate.set()
    first = await until(life.client, "complete")
    assert (first["request_id"], answer_of(first["payload"])) == ("1", "one begins")
    second = await until(life.client, "complete")
    assert (second["request_id"], answer_of(second["payload"])) == ("2", "two begins, and ends")
    assert as_stored(second["payload"]) == stored_chat(life.house.database, chat_id)


async def test_a_replacement_right_after_a_retry_waits_until_that_is_answered(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = {"prompt": "one", "message_id": str(uuid4())}
    life.agent.let_go("one")
    await life.client.send(payload)
    chat_id = (await until(life.client, "complete"))["payload"]["id"]
    fetch = HeldFetch(life.house, monkeypatch)
    await life.client.send(payload, id="retry")
    await fetch.reached.wait()
    await life.client.send({**payload, "prompt": "two", "chat_id": chat_id}, id="replacement")
    await life.client.refusal({}, id="bad")  # so the replacement has come as far as it can
    life.agent.let_go("two")
    fetch.gate.set()
    retried = await until(life.client, "complete", request_id="retry")
    assert answer_of(retried["payload"]) == "one begins, and ends"
    replaced = await until(life.client, "complete", request_id="replacement")
    assert answer_of(replaced["payload"]) == "two begins, and ends"
    assert as_stored(replaced["payload"]) == stored_chat(life.house.database, chat_id)


async def test_the_same_new_post_while_the_first_is_stored_waits_until_it_has_begun(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = {"prompt": "one", "message_id": str(uuid4())}
    commit = HeldCommit(life.house, monkeypatch)
    await life.client.send(payload, id="first")
    await commit.reached.wait()
    await life.client.send(payload, id="again")
    commit.gate.set()
    life.agent.let_go("one")
    await until(life.client, "initializeChat", request_id="first")
    await until(life.client, "complete", request_id="first")
    assert len(life.agent.tasks) == count(life.house.database, "messages") == 1


class Hasty:
    """Says a word whenever it is its turn, and so at any point at which somebody else gives up theirs, until it is enough."""

    def __init__(self) -> None:
        self.enough = anyio.Event()

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        yield "Haste"

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        for number in count_from(0):
            await anyio.lowlevel.checkpoint()
            yield ResponseChunk(f"{number} ")
            if self.enough.is_set():
                break

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("route", ["/chats/post", "/chats/get"])
async def test_who_joins_an_agent_in_haste_gets_no_gap_and_nothing_twice(settings: Settings, route: str) -> None:
    agent = Hasty()
    async with open_house(settings, agent) as house, house.connect() as client, house.connect() as tab:
        for _ in range(5):
            agent.enough = anyio.Event()
            payload = {"prompt": "one", "message_id": str(uuid4())}
            await client.send(payload, id="first")
            begun = await first_delta(client)
            await tab.send(payload if route == "/chats/post" else {"id": begun["payload"]["chat_id"]}, route, id="late")
            joined = await until(tab, "initializeChat" if route == "/chats/post" else "getChat", request_id="late")
            agent.enough.set()
            frames = [{**joined, "event": "initializeChat"}, *await tab.stream()]
            assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
            await client.stream()
