"""Whoever is erased is nowhere any more: each table and each key of Redis is searched for what names them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from backends import erase_user, open_storage
from settings import Settings
from tests.support.database import opened, rows
from tests.support.house import BOTH, House, open_house
from tests.support.life import share
from tests.support.program import ROOT, environment, run
from tests.support.redis import RedisServer
from tests.support.server import world
from tests.support.world import ALICE, BOB, REVENUE

ENGINES = BOTH
TABLES = (
    *("users", "organization_members", "team_members", "api_keys", "assets", "asset_permissions"),
    *("chats", "messages", "messages_to_files", "favorites"),
)
OF_ALICE = (str(ALICE), "alice@acme.example", "Alice", "a secret of Alice")


async def leave_traces(house: House) -> None:
    """Alice and Bob use each other's chats, and each of them says what nobody else does."""
    async with house.connect(ALICE) as alice, house.connect(BOB) as bob:
        hers = (await alice.post(prompt="a secret of Alice", asset_id=str(REVENUE), asset_type="metric"))[-1]["payload"]["id"]
        his = (await bob.post(prompt="of Bob"))[-1]["payload"]["id"]
        share(house, his, ALICE, "can_edit")
        share(house, hers, BOB, "can_edit")
        await alice.post(prompt="a secret of Alice in a chat of Bob", chat_id=his)
        await bob.post(prompt="of Bob in a chat of Alice", chat_id=hers)
        for chat in (hers, his):
            await alice.send({"id": chat, "is_favorited": True}, "/chats/update")
            await alice.until("updateChat")


def everything(house: House) -> str:
    return json.dumps([rows(house.database, f"SELECT * FROM {table}") for table in TABLES], default=str)


async def test_nothing_of_a_person_is_left_in_the_database(house: House) -> None:
    await leave_traces(house)
    with opened(house.database) as database:
        database.execute("UPDATE assets SET created_by = ? WHERE id = ?", (str(ALICE), str(REVENUE)))
    assert all(trace in everything(house) for trace in OF_ALICE)
    for _ in range(2):  # sent again it changes nothing
        await erase_user(house.settings, house.backends.storage, ALICE)
        left = everything(house)
        assert [trace for trace in OF_ALICE if trace in left] == []
    assert "of Bob" in left
    assert "of Bob in a chat of Alice" not in left
    assert [row["created_by"] for row in rows(house.database, "SELECT created_by FROM assets WHERE id = ?", str(REVENUE))] == [
        "00000000-0000-0000-0000-000000000000"
    ]


async def test_nothing_of_a_person_is_left_in_redis(settings: Settings, redis: RedisServer) -> None:
    shared = replace(settings, broker_url=redis.url)
    async with open_house(shared) as house:
        await leave_traces(house)
    async with Redis.from_url(redis.url) as asked:
        assert [key for key in await asked.keys() if str(ALICE).encode() in key]
        async with open_storage(shared) as storage:
            await erase_user(shared, storage, ALICE)
        left = await asked.keys()
        assert [key for key in left if str(ALICE).encode() in key] == []
        assert [key for key in left if str(BOB).encode() in key]


def test_the_command_line_asks_first(tmp_path: Path) -> None:
    world(tmp_path)
    command = [sys.executable, str(ROOT / "server.py"), "erase", "alice@acme.example"]
    options: dict[str, Any] = {"cwd": tmp_path, "env": environment(tmp_path), "capture_output": True, "text": True}
    refused = subprocess.run(command, input="n\n", **options)
    assert refused.returncode == 1
    assert "alice@acme.example" in run(tmp_path, "export", "alice@acme.example").stdout
    done = run(tmp_path, "erase", "alice@acme.example", "--yes")
    assert (done.returncode, done.stdout) == (0, "erased alice@acme.example\n")
    gone = run(tmp_path, "export", "alice@acme.example")
    assert (gone.returncode, gone.stderr) == (1, "Error: no user has the address alice@acme.example\n")


def test_nobody_is_not_erased(tmp_path: Path) -> None:
    world(tmp_path)
    assert run(tmp_path, "erase", "nobody@acme.example", "--yes").returncode == 1
