"""Two nodes as processes on a real Redis and a real PostgreSQL: the scenarios of `nodes.py`, small."""

import json
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.programs import nodes
from tests.programs.befallen import befallen, killed
from tests.programs.cluster import cluster
from tests.programs.crowd import LONGEST_S, crowd, opened, post
from tests.programs.heavy import heavy
from tests.programs.mishaps import MISHAPS
from tests.programs.untold import killed_untold, restarted_untold
from tests.support.client import fold, is_end, unsettled


async def test_who_is_cut_goes_on_at_either_node_without_a_gap_or_a_double(tmp_path: Path) -> None:
    figures = await nodes.moving(tmp_path, users=5, cuts=20, seed=1)
    assert figures["cuts"] == 100


async def test_what_one_user_asks_for_takes_no_word_of_another_users_stream(tmp_path: Path) -> None:
    await heavy(tmp_path, gets=20, posts=2, words=60_000, others=2)


async def test_a_stop_and_the_same_post_reach_the_run_from_any_node(tmp_path: Path) -> None:
    await nodes.stopped_elsewhere(tmp_path, users=4)


async def test_a_rate_limit_holds_over_both(tmp_path: Path) -> None:
    await nodes.limited(tmp_path, posts=6)


async def test_what_a_user_runs_and_has_open_is_counted_over_both(tmp_path: Path) -> None:
    few = {"MAX_RUNS_PER_USER": "2", "MAX_CONNECTIONS_PER_USER": "2", "OFFLINE_WORDS": "1000000", "DRAIN_SECONDS": "0"}
    with cluster(tmp_path) as made, made.node(**few) as a, made.node(**few) as b:
        (user,) = crowd(tmp_path, 1, **made.settings)
        with anyio.fail_after(LONGEST_S):
            async with opened(a, user) as here, opened(b, user) as there:
                async with opened(b, user) as third:
                    await third.wait_closed()
                assert third.close_code == 4029
                outcomes = []
                for number, connection in enumerate((here, there, here, there)):
                    await connection.send(json.dumps({"route": "/chats/post", "id": str(number), "payload": {"prompt": "Go"}}))
                    frame: dict[str, Any] = {}
                    while frame.get("request_id") != str(number):
                        frame = json.loads(await connection.recv())
                    outcomes.append(frame["error"]["code"] if frame["error"] else frame["event"])
        assert outcomes == ["initializeChat", "initializeChat", "TOO_MANY_REQUESTS", "TOO_MANY_REQUESTS"]


async def test_a_rolling_restart_under_load_loses_nothing(tmp_path: Path) -> None:
    await nodes.rolled(tmp_path, users=4, posts=4)


async def test_workers_share_a_port_their_users_and_a_stop(tmp_path: Path) -> None:
    with cluster(tmp_path) as made, made.node("--workers", "2", OFFLINE_WORDS="5", OFFLINE_DELAY_MS="5") as program:
        (user,) = crowd(tmp_path, 1, **made.settings)
        async with AsyncExitStack() as stack:
            tabs = [await stack.enter_async_context(opened(program, user)) for _ in range(8)]
            await post(tabs[0], prompt="Go")
            with anyio.fail_after(LONGEST_S):
                for tab in tabs:
                    frames = [json.loads(await tab.recv())]
                    while not is_end(frames[-1]):
                        frames.append(json.loads(await tab.recv()))
                    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
        assert program.stop() == 0


async def test_a_killed_nodes_runs_are_closed_and_told_by_the_other(tmp_path: Path) -> None:
    await killed(tmp_path, users=4, within=25)


async def test_an_end_that_a_node_had_stored_and_not_told_when_it_was_killed_is_told_by_the_other(tmp_path: Path) -> None:
    await killed_untold(tmp_path, users=3, within=25)


async def test_an_end_that_a_node_told_while_redis_was_away_before_it_was_restarted_is_told_by_the_other(
    tmp_path: Path,
) -> None:
    await restarted_untold(tmp_path, users=3, within=10)


@pytest.mark.parametrize("name", MISHAPS)
async def test_a_fault_of_a_second_loses_and_doubles_nothing(tmp_path: Path, name: str) -> None:
    fault, whole = MISHAPS[name]
    await befallen(tmp_path, 4, partial(fault, seconds=1), whole=whole)
