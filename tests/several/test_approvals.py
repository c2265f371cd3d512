"""An agent that asks on one server, and is answered on both: one of the answers is taken."""

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from backends.agent import AgentTask
from backends.agents.own import OwnAgent
from settings import Settings
from tests.support.client import Client, Frame
from tests.support.database import as_stored, rows, stored_chat
from tests.support.linked import open_nodes
from threadcast import ApprovalNeeded, Remembered


@pytest.mark.parametrize("times", range(5))
async def test_of_two_answers_on_two_servers_one_is_taken(settings: Settings, times: int) -> None:
    done: list[Any] = []

    async def answer(task: AgentTask) -> AsyncGenerator[Any, None]:
        if task.approvals:
            done.append((task.state, task.approvals[0].approved))
            yield "done"
            return
        yield Remembered("a plan")
        yield ApprovalNeeded("1", "Do it?")

    async with (
        open_nodes(settings, OwnAgent(answer)) as (a, b),
        a.house.connect() as on_a,
        b.house.connect() as on_b,
    ):
        chat_id = (await on_a.post(prompt="Ask"))[-1]["payload"]["id"]
        await on_b.until("complete")
        said: dict[int, Frame] = {}

        async def approve(number: int, client: Client) -> None:
            label = f"label {number}"
            await client.send({"chat_id": chat_id, "approvals": [{"id": "1", "approved": True}]}, id=label)
            while not ((frame := await client.frame()).get("request_id") == label and frame["event"] != "initializeChat"):
                pass
            while frame["error"] is None and frame["event"] != "complete":
                frame = await client.frame()
            said[number] = frame

        async with anyio.create_task_group() as tasks:
            for number, client in enumerate((on_a, on_b)):
                tasks.start_soon(approve, number, client)
        (error,) = [frame["error"] for frame in said.values() if frame["error"]]
        assert error["message"] == "approvals[0].id: already answered"
        (end,) = [frame["payload"] for frame in said.values() if not frame["error"]]
        assert as_stored(end) == stored_chat(a.house.database, chat_id)
        assert len(rows(a.house.database, "SELECT id FROM messages")) == 2
    assert done == [("a plan", True)]
