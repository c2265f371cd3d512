"""A post over HTTP that is streamed by one server, while another one answers it."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.client import fold, unsettled
from tests.support.events import posting
from tests.support.life import until as frame_of
from tests.support.linked import good
from tests.support.pairs import Pair, pair
from tests.support.waiting import begun
from tests.support.world import REVENUE

__all__ = ["pair"]  # the fixture


async def test_a_retry_streams_what_runs_on_the_other_up_to_its_end(pair: Pair) -> None:
    payload: dict[str, Any] = {"prompt": "one", "message_id": str(uuid4()), "once": True}
    await begun(pair.on_a, **payload)
    async with posting(pair.b.house, payload) as events:
        first = await events.event()
        assert first
        assert (first["event"], first["send_method"]) == ("initializeChat", "SenderOnly")
        assert "one begins" in str(first["payload"])
        await pair.on_a.post(metric_id=str(REVENUE))
        pair.agent.let_go("one")
        heard = [first, *await events.stream()]
        assert await events.event() is None
    end = (await pair.on_a.stream())[-1]["payload"]
    assert heard[-1]["payload"] == end
    assert unsettled(fold(heard)) == unsettled(end)
    assert len(pair.agent.tasks) == 1


async def test_a_retry_whose_end_gets_lost_on_its_way_is_told_it(pair: Pair) -> None:
    payload: dict[str, Any] = {"prompt": "one", "message_id": str(uuid4()), "once": True}
    await begun(pair.on_a, **payload)
    async with posting(pair.b.house, payload) as events:
        await events.until("initializeChat")
        pair.a.broker.cut = True
        pair.agent.let_go("one")
        end = (await pair.on_a.stream())[-1]["payload"]
        assert (await events.stream())[-1]["payload"] == end


@pytest.mark.parametrize("replaces", [True, False])
async def test_a_post_after_a_run_of_the_other_begins_with_its_own_beginning(pair: Pair, replaces: bool) -> None:
    one = (await begun(pair.on_a, "one"))[-1]["payload"]
    payload = {"prompt": "two", "chat_id": one["chat_id"], "message_id": one["message_id"] if replaces else str(uuid4())}
    pair.agent.let_go("two")
    if not replaces:
        pair.agent.let_go("one")
    async with posting(pair.b.house, payload) as events:
        frames = await events.stream()
    end = good(frames)
    assert len(end["message_ids"]) == (1 if replaces else 2)
    assert "two begins, and ends" in str(end["messages"][payload["message_id"]])
    assert await frame_of(pair.on_a, "complete")
