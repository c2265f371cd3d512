"""Agents that raise what no program should, and agents that do not stop: one run fails, and everybody else's goes on."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from websockets.exceptions import ConnectionClosed

from handlers.tasks import open_tasks
from settings import Settings
from tests.programs.crowd import crowd, opened
from tests.programs.unruly import DEEDS, UNRULY, Stubborn, Unruly, others_at_work
from tests.support.client import TIMEOUT_S, is_end
from tests.support.database import rows
from tests.support.house import House, open_house
from tests.support.over_http import get
from tests.support.program import ROOT, SERVE, serving
from tests.support.world import ALICE, REVENUE


async def assert_serves(house: House) -> None:
    assert (await get(house, "/readyz"))[0] == 200
    assert not house.server.should_exit


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS.keys())
async def test_whatever_comes_out_of_an_answer_fails_that_run_alone(settings: Settings, deed: Callable[[], Any]) -> None:
    agent = Unruly(deed, "answer")
    async with open_house(settings, agent) as house, others_at_work(house, agent), house.connect(ALICE) as client:
        frames = await client.post(prompt=UNRULY)
        assert [frame["error"]["code"] for frame in frames if is_end(frame)] == ["INTERNAL_SERVER_ERROR"]
        (message,) = rows(house.database, "SELECT * FROM messages WHERE request = ?", UNRULY)
        assert (message["is_completed"], message["final_reasoning_message"]) == (1, "Failed")
        assert "One " in message["response_messages"]
        await assert_serves(house)


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS.keys())
async def test_whatever_comes_out_of_a_title_costs_that_title_alone(settings: Settings, deed: Callable[[], Any]) -> None:
    agent = Unruly(deed, "title")
    async with open_house(settings, agent) as house, others_at_work(house, agent), house.connect(ALICE) as client:
        end = (await client.post(prompt=UNRULY))[-1]
        assert end["payload"]["title"] == UNRULY
        assert next(iter(end["payload"]["messages"].values()))["final_reasoning_message"].startswith("Reasoned")
        await assert_serves(house)


async def test_an_agent_that_swallows_its_cancellation_is_left_behind_and_says_nothing_more(settings: Settings) -> None:
    agent = Stubborn("answer")
    async with open_house(settings, agent) as house, others_at_work(house, agent), house.connect(ALICE) as client:
        await client.send({"prompt": UNRULY})
        frames = await client.until("generatingResponseMessage")
        await client.send({"id": frames[0]["payload"]["id"]}, "/chats/stop")
        frames += await client.stream()
        end = frames[-1]["payload"]
        (message,) = end["messages"].values()
        (part,) = message["response_messages"].values()
        assert (message["final_reasoning_message"], part["message"]) == ("Stopped", "One ")
        assert len(house.services.runs.left_behind) == 1
        agent.released.set()
        with anyio.fail_after(TIMEOUT_S):
            while house.services.runs.left_behind:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        await client.send({"id": end["id"]}, "/chats/get")
        assert (await client.frame())["payload"] == end


async def test_a_stubborn_title_holds_no_answer_back_for_good(settings: Settings) -> None:
    agent = Stubborn("title")
    async with open_house(settings, agent) as house, house.connect(ALICE) as client:
        await client.send({"prompt": UNRULY})
        frames = await client.until("generatingResponseMessage")
        await client.send({"id": frames[0]["payload"]["id"]}, "/chats/stop")
        frames += await client.stream()
        assert frames[-1]["payload"]["title"] == UNRULY
        agent.released.set()


async def test_with_too_many_left_behind_no_more_are_begun(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.run_agent.MOST_LEFT_BEHIND", 1)
    monkeypatch.setattr("handlers.run_agent.LET_GO_S", 0.05)
    agent = Stubborn("answer")
    async with open_house(settings, agent) as house, house.connect(ALICE) as client:
        await client.send({"prompt": UNRULY})
        frames = await client.until("generatingResponseMessage")
        await client.send({"id": frames[0]["payload"]["id"]}, "/chats/stop")
        await client.stream()
        (refused,) = await client.post(prompt=UNRULY)
        assert (refused["error"]["code"], refused["send_method"]) == ("SERVICE_UNAVAILABLE", "SenderOnly")
        assert len(rows(house.database, "SELECT id FROM messages")) == 1  # nothing was written for it
        assert await get(house, "/readyz") == (503, {"status": "the agent does not stop"})
        assert (await client.post(metric_id=str(REVENUE)))[-1]["event"] == "complete"  # which needs no agent
        agent.released.set()


async def test_a_failed_task_of_the_server_leaves_the_others_alone(house: House) -> None:
    async def fail() -> None:
        raise SystemExit(3)

    async with house.connect() as client:
        house.services.tasks.start_soon(fail)
        assert (await client.post(prompt="Go"))[-1]["event"] == "complete"
    await assert_serves(house)


DYING = """
import sys

sys.path.insert(0, ROOT)

import anyio, cli, server

first = server.close_orphans_first

async def begin_and_die(services, essential):
    await first(services, essential)

    async def die():
        while not len(services.connections):
            await anyio.sleep(0.01)
        raise RuntimeError("something essential has failed")

    essential.start_soon(die)

server.close_orphans_first = begin_and_die
cli.main()
"""


async def test_a_task_that_is_started_while_all_end_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    began, late = anyio.Event(), list[str]()

    async def do_late() -> None:
        await anyio.lowlevel.checkpoint()
        late.append("done")

    async with open_tasks() as tasks:

        async def last_words() -> None:
            began.set()
            try:
                await anyio.sleep_forever()
            finally:
                tasks.start_soon(do_late)

        tasks.start_soon(last_words)
        await began.wait()
    assert (late, len(tasks)) == ([], 0)


async def test_a_server_whose_lifespan_ends_by_itself_closes_its_connections_and_exits_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "dying.py").write_text(DYING.replace("ROOT", repr(str(ROOT))))
    (user,) = crowd(tmp_path, 1)
    command = (str(tmp_path / "dying.py"), *SERVE[1:])
    with serving(tmp_path, command=command, DRAIN_SECONDS="0") as program:
        async with opened(program, user) as connection:
            with anyio.fail_after(TIMEOUT_S), suppress(ConnectionClosed):
                while True:
                    await connection.recv()
        assert connection.close_code == 1012
        await anyio.to_thread.run_sync(partial(program.process.wait, TIMEOUT_S))
        assert program.stop() == 1
    assert "something essential has failed" in program.log
