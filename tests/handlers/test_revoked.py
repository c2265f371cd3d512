"""Connections that are open when their API key is deleted or their user removed."""

import gc
from typing import Any
from weakref import ref

import anyio
import pytest

from backends.accounts import add_api_key
from backends.auth import API, issue_token
from tests.support.client import TIMEOUT_S
from tests.support.database import opened
from tests.support.house import SECRET, House
from tests.support.waiting import server_tasks, until
from tests.support.world import ALICE, BOB

QUICK_S = 0.05


@pytest.fixture(autouse=True)
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.revoked.ROUND_S", QUICK_S)


async def key_of(house: House) -> str:
    key = issue_token(SECRET, ALICE, 60, API)
    await add_api_key(house.backends.storage, ALICE, key)
    return key


async def test_a_connection_is_closed_when_its_key_is_deleted_and_no_other(house: House) -> None:
    async with house.connect() as person, house.connect(token=await key_of(house)) as program:
        with opened(house.database) as connection:
            connection.execute("UPDATE api_keys SET deleted_at = created_at")
        assert await program.close_code() == 4001
        assert program.socket.close_reason == "token revoked"
        assert (await person.post(prompt="Still here?"))[-1]["event"] == "complete"


async def test_a_connection_is_closed_when_its_user_is_removed(house: House) -> None:
    async with house.connect(BOB) as removed, house.connect() as other:
        with opened(house.database) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("DELETE FROM users WHERE id = ?", [str(BOB)])
        assert await removed.close_code() == 4001
        assert (await other.post(prompt="Still here?"))[-1]["event"] == "complete"


async def test_while_the_database_does_not_answer_nobody_is_closed(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = 0

    async def away(token: str) -> None:
        nonlocal asked
        asked += 1
        raise OSError("the database is away")

    async with house.connect(token=await key_of(house)) as program:
        with monkeypatch.context() as patched:
            patched.setattr(house.backends.auth, "authenticate", away)
            await until(lambda: asked >= 3)
        assert "tokens could not be checked again" in caplog.text
        assert (await program.post(prompt="Still here?"))[-1]["event"] == "complete"
        with opened(house.database) as connection:
            connection.execute("UPDATE api_keys SET deleted_at = created_at")
        assert await program.close_code() == 4001


async def test_a_connection_that_has_closed_is_not_kept_until_the_round_ends(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house.connect():
        monkeypatch.setattr("handlers.revoked.ROUND_S", 1000.0)  # now: a round of no connections may still begin before
        (closed,) = map(ref, house.services.connections)
        token, looked, authenticate = closed().token, anyio.Event(), house.backends.auth.authenticate  # type: ignore[union-attr]

        async def look(looked_at: str) -> Any:
            found = await authenticate(looked_at)
            if looked_at == token:
                looked.set()
            return found

        monkeypatch.setattr(house.backends.auth, "authenticate", look)
        with anyio.fail_after(TIMEOUT_S):
            await looked.wait()
    await until(lambda: not server_tasks(house))
    gc.collect()
    assert closed() is None
