"""The scenarios of `make stress`, small enough for every run of the tests."""

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.programs import churn, deaths, outages, readers, storms

SEED = 7


async def test_clients_that_are_cut_again_and_again_have_no_gap_and_nothing_twice(tmp_path: Path) -> None:
    figures = await storms.recovery(tmp_path, users=3, clients=12, cuts=8, words=150, delay_ms=10, seed=SEED)
    assert figures["users"] == 3


async def test_one_slow_reader_costs_the_others_nothing_and_is_gone(tmp_path: Path) -> None:
    await storms.slow_reader(tmp_path, connections=4, words=5_000, outbox_bytes=200_000)


async def test_a_reader_that_reads_is_not_too_slow_for_a_chat_of_any_size(tmp_path: Path) -> None:
    await readers.large_chat(tmp_path, posts=8, prompt_bytes=31_000, words=10_000, OUTBOX_BYTES="100000")


async def test_what_is_asked_for_and_not_read_takes_little_memory(tmp_path: Path) -> None:
    small = {"OUTBOX_BYTES_PER_USER": str(2**24), "PING_SECONDS": "3", "PONG_SECONDS": "3"}
    await readers.unread(tmp_path, connections=10, gets=4, posts=4, words=70_000, **small)


async def test_after_kills_mid_stream_each_run_has_one_end_and_the_database_tells_it(tmp_path: Path) -> None:
    figures = await deaths.kills(tmp_path, times=3, seed=SEED)
    assert figures["runs"] == 15


async def test_after_a_kill_at_most_a_second_of_what_was_told_is_missing(tmp_path: Path) -> None:
    await outages.kept(tmp_path, users=3, seconds=3)


@pytest.mark.parametrize("trouble", [outages.locked, outages.full])
async def test_answers_that_end_while_the_database_takes_no_writes_are_stored_whole(tmp_path: Path, trouble: Any) -> None:
    await outages.unwritable(tmp_path, trouble, users=4, seconds=1)


async def test_a_stop_with_many_runs_tells_all_and_loses_nothing(tmp_path: Path) -> None:
    figures = await deaths.stopped(tmp_path, runs=10, drain_seconds=2)
    assert figures["finished"] != 0
    assert figures["interrupted"] != 0


async def test_connections_that_come_and_go_leave_nothing(tmp_path: Path) -> None:
    logging.disable()  # pytest would hold each line
    try:
        await churn.churn(tmp_path, connects=400, refusals=150)
    finally:
        logging.disable(logging.NOTSET)
