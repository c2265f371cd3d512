"""What is kept for how long: a deleted chat is erased when its time is over, and whoever asks gets all that is kept of them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from backends.retention import AT_ONCE, KEPT, claim_sweep, erase_deleted, kept_of
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import Client
from tests.support.database import count, opened, rows
from tests.support.house import BOTH, House, open_house
from tests.support.life import share
from tests.support.program import run
from tests.support.server import world
from tests.support.waiting import until
from tests.support.world import ALICE, BOB, REVENUE

ENGINES = BOTH
TABLES = ("chats", "messages", "messages_to_files", "favorites")


async def deleted(house: House, client: Client, prompt: str = "Hi", days: int = 0) -> str:
    """A chat with an asset and a favourite, deleted so many days ago."""
    chat: str = (await client.post(prompt=prompt, asset_id=str(REVENUE), asset_type="metric"))[-1]["payload"]["id"]
    share(house, chat, BOB, "can_view")
    await client.send({"id": chat, "is_favorited": True}, "/chats/update")
    await client.until("updateChat")
    await client.send({"ids": [chat]}, "/chats/delete")
    await client.until("deleteChats")
    if days:
        back_date(house, chat, days)
    return chat


def back_date(house: House, chat: str, days: int) -> None:
    when = datetime.now(UTC) - timedelta(days=days)
    with opened(house.database) as database:
        database.execute("UPDATE chats SET deleted_at = ? WHERE id = ?", (when.strftime("%Y-%m-%d %H:%M:%S.%f"), chat))


async def test_what_was_deleted_long_ago_is_erased_with_all_that_belongs_to_it(house: House) -> None:
    async with house.connect() as client:
        kept = (await client.post(prompt="Keep this"))[-1]["payload"]["id"]
        old, young = await deleted(house, client, days=31), await deleted(house, client, days=29)
        before = datetime.now(UTC) - timedelta(days=30)
        assert await erase_deleted(house.backends.storage, before) == 1
        assert {row["id"] for row in rows(house.database, "SELECT id FROM chats")} == {kept, young}
        assert [count(house.database, table) for table in TABLES] == [2, 2, 1, 1]
        assert rows(house.database, "SELECT * FROM asset_permissions WHERE asset_id = ?", old) == []
        assert await erase_deleted(house.backends.storage, before) == 0


async def test_many_are_erased_in_several_transactions(house: House) -> None:
    async with house.connect() as client:
        for number in range(3):
            await deleted(house, client, f"{number}", days=40)
    assert AT_ONCE > 3
    assert await erase_deleted(house.backends.storage, datetime.now(UTC)) == 3
    assert [count(house.database, table) for table in TABLES] == [0, 0, 0, 0]


async def test_one_node_an_hour_sweeps_and_only_where_there_is_something(house: House) -> None:
    storage, now = house.backends.storage, datetime.now(UTC)
    assert not await claim_sweep(storage, now)
    async with house.connect() as client:
        await deleted(house, client, days=1)
    assert [await claim_sweep(storage, now) for _ in range(3)] == [True, False, False]


async def test_a_server_erases_by_itself(settings: Settings) -> None:
    async with open_house(settings, ScriptedAgent()) as house, house.connect() as client:
        await deleted(house, client, days=31)
    async with open_house(settings, ScriptedAgent()) as house:
        await until(lambda: count(house.database, "chats") == 0)


def test_the_command_line_erases_and_tells_what_is_kept(tmp_path: Path) -> None:
    world(tmp_path)
    purged = run(tmp_path, "purge", "--before", "2030-01-01")
    assert (purged.returncode, purged.stdout) == (0, "erased 0 chats\n")
    assert "Invalid value for '--before'" in run(tmp_path, "purge", "--before", "soon").stderr
    told = run(tmp_path, "export", "alice@acme.example")
    found: list[dict[str, Any]] = [json.loads(line) for line in told.stdout.splitlines()]
    assert found[0]["kind"] == "user"
    assert found[0]["email"] == "alice@acme.example"
    assert {row["kind"] for row in found} >= {"user", "organization"}
    nobody = run(tmp_path, "export", "nobody@acme.example")
    assert (nobody.returncode, nobody.stderr) == (1, "Error: no user has the address nobody@acme.example\n")


async def test_an_export_has_what_a_person_has_said_and_no_other(house: House) -> None:
    async with house.connect() as alice, house.connect(BOB) as bob:
        await alice.post(prompt="of Alice")
        await deleted(house, alice, "deleted by Alice")
        await bob.post(prompt="of Bob")
    found = [row async for row in kept_of(house.backends.storage, ALICE)]
    assert [row["request"] for row in found if row["kind"] == "message"] in (
        ["of Alice", "deleted by Alice"],
        ["deleted by Alice", "of Alice"],
    )
    assert "of Bob" not in str(found)


def test_no_key_is_exported() -> None:
    assert "key_hash" not in str(KEPT["api_key"])
