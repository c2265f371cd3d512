"""Loading a file: whole and again and again, or not at all and with one line that says where it is wrong."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from backends.storage import Storage
from handlers.load_file import DEMO_FILE, LoadError, load_file
from settings import Settings
from tests.support.database import Where, opened, rows, where
from tests.support.house import BOTH
from tests.support.program import run
from tests.support.storages import storage, template
from tests.support.world import ALICE, CAROL, REVENUE, TEAM, WORLD, uuid

__all__ = ["storage", "template"]  # the fixtures

ENGINES = BOTH

TABLES = ("users", "organization_members", "team_members", "api_keys", "assets", "asset_permissions")


def dump(database: Where) -> dict[str, list[dict[str, Any]]]:
    """All rows but for when they were written."""
    return {
        table: [
            {name: value for name, value in row.items() if name not in ("created_at", "updated_at")}
            for row in rows(database, f"SELECT * FROM {table} ORDER BY 1, 2")
        ]
        for table in TABLES
    }


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def changed(**sections: object) -> bytes:
    """The world with some sections replaced."""
    return msgspec.json.encode({**msgspec.json.decode(WORLD), **sections})


def section(which: str, index: int = 0, /, **values: object) -> bytes:
    """The world with some values of one entry replaced; None takes the key away."""
    entries = msgspec.json.decode(WORLD)[which]
    entries[index] = {key: value for key, value in {**entries[index], **values}.items() if value is not None}
    return changed(**{which: entries})


async def test_loading_twice_is_loading_once(storage: Storage, settings: Settings) -> None:
    await load_file(storage, WORLD)
    once = dump(where(settings))
    assert [len(once[table]) for table in TABLES] == [3, 3, 1, 0, 8, 5]
    await load_file(storage, WORLD)
    assert dump(where(settings)) == once


async def test_what_is_there_is_brought_up_to_date(storage: Storage, settings: Settings) -> None:
    await load_file(storage, WORLD)
    before = rows(where(settings), "SELECT created_at FROM users WHERE id = ?", str(ALICE))
    await load_file(storage, section("users", name="Alice B.", team_ids=[str(uuid(4))]))
    await load_file(storage, section("assets", name="Revenues", version_number=2))
    await load_file(storage, section("permissions", role="owner"))
    path = where(settings)
    assert rows(path, "SELECT name, created_at FROM users WHERE id = ?", str(ALICE)) == [{"name": "Alice", **before[0]}]
    assert rows(path, "SELECT team_id FROM team_members") == [{"team_id": str(TEAM)}]
    assert rows(path, "SELECT name, version_number FROM assets WHERE id = ?", str(REVENUE)) == [
        {"name": "Revenue", "version_number": 1}
    ]
    assert rows(path, "SELECT role FROM asset_permissions WHERE asset_id = ?", str(REVENUE)) == [{"role": "owner"}]
    await load_file(storage, section("users", name="Alice B.", team_ids=[str(uuid(4)), str(uuid(4))]))
    assert rows(path, "SELECT name FROM users WHERE id = ?", str(ALICE)) == [{"name": "Alice B."}]
    assert rows(path, "SELECT team_id FROM team_members") == [{"team_id": str(uuid(4))}]


async def test_users_can_exchange_their_addresses(storage: Storage, settings: Settings) -> None:
    await load_file(storage, WORLD)
    users = msgspec.json.decode(WORLD)["users"]
    users[0]["email"], users[1]["email"] = users[1]["email"], users[0]["email"]
    await load_file(storage, msgspec.json.encode({"users": users}))
    found = rows(where(settings), "SELECT email FROM users WHERE id = ?", str(ALICE))
    assert found == [{"email": "bob@other.example"}]


async def test_the_demo_file_is_good(storage: Storage) -> None:
    assert len((await load_file(storage, DEMO_FILE.read_bytes())).assets) == 3


async def test_an_api_key_is_stored_as_its_hash_only(storage: Storage, settings: Settings, tmp_path: Path) -> None:
    await load_file(storage, changed(api_keys=[{"owner_id": str(ALICE), "key": "a very secret key"}]))
    (key,) = rows(where(settings), "SELECT * FROM api_keys")
    assert key["owner_id"] == str(ALICE)
    assert len(key["key_hash"]) == 64
    assert "a very secret key" not in str(dump(where(settings)))
    assert b"a very secret key" not in on_disk(tmp_path)


async def test_a_permission_on_a_chat_needs_the_chat(storage: Storage, settings: Settings) -> None:
    await load_file(storage, WORLD)
    shared = {
        "asset_id": str(uuid(70)),
        "asset_type": "chat",
        "identity_type": "user",
        "identity_id": str(CAROL),
        "role": "can_view",
    }
    with pytest.raises(LoadError, match="no such chat"):
        await load_file(storage, msgspec.json.encode({"permissions": [shared]}))
    with opened(where(settings)) as connection:
        values = (str(uuid(70)), "A chat", str(ALICE), "2026-01-01 00:00:00", "2026-01-01 00:00:00", None)
        connection.execute("INSERT INTO chats VALUES (?, ?, ?, ?, ?, ?)", values)
    await load_file(storage, msgspec.json.encode({"permissions": [shared]}))
    assert len(rows(where(settings), "SELECT * FROM asset_permissions WHERE asset_type = 'chat'")) == 1


METRIC_CONTENT = {"description": "x", "sql": "x", "columns": []}
BAD = {
    "not JSON": (b"{", "truncated"),
    "not UTF-8": (b'{"users": [{"email": "\xff"}]}', "utf-8"),
    "not an object": (b"[]", "Expected `object`, got `array`"),
    "deep": (b'{"assets": ' + b"[" * 5000, "Expected `object`"),
    "unknown section": (changed(user=[]), "unknown field `user`"),
    "unknown field": (section("users", nmae="x"), "unknown field `nmae` - at `$.users[0]`"),
    "missing field": (section("users", 1, email=None), "missing required field `email` - at `$.users[1]`"),
    "wrong type": (section("assets", 2, version_number="1"), "got `str` - at `$.assets[2].version_number`"),
    "version 0": (section("assets", version_number=0), "$.assets[0].version_number"),
    "not a UUID": (section("users", id="1"), "Invalid UUID - at `$.users[0].id`"),
    "not an address": (section("users", email="alice"), "$.users[0].email"),
    "NUL in a name": (section("assets", name="a\0b"), "$.assets[0].name"),
    "an address with a line end": (section("users", email="a@b.example\n"), "$.users[0].email"),
    "a key with a line end": (changed(**{"us\ner": []}), "unknown field"),
    "address twice": (section("users", 1, email="alice@acme.example"), "another user has this address - at `$.users[1].email`"),
    "unknown asset type": (section("assets", asset_type="poem"), "Invalid enum value 'poem' - at `$.assets[0].asset_type`"),
    "asset type not text": (section("assets", asset_type=5), "Expected `str`, got `int` - at `$.assets[0].asset_type`"),
    "a chat as an asset": (section("assets", asset_type="chat"), "a chat cannot be loaded - at `$.assets[0].asset_type`"),
    "unknown creator": (section("assets", 3, created_by=str(uuid(99))), "no such user - at `$.assets[3].created_by`"),
    "metric without sql": (section("assets", content={"description": "x", "columns": []}), "$.assets[0].content`"),
    "metric with bad columns": (section("assets", content={**METRIC_CONTENT, "columns": 1}), "$.assets[0].content.columns`"),
    "dashboard without ids": (section("assets", 5, content={}), "`metric_ids` - at `$.assets[5].content`"),
    "dashboard of no ids": (section("assets", 5, content={"metric_ids": ["x"]}), "$.assets[5].content.metric_ids[0]`"),
    "unknown role": (section("permissions", role="boss"), "$.permissions[0].role`"),
    "unknown identity type": (section("permissions", identity_type="pet"), "$.permissions[0].identity_type`"),
    "unknown asset": (section("permissions", asset_id=str(uuid(99))), "no such metric - at `$.permissions[0].asset_id`"),
    "asset of another type": (section("permissions", asset_type="dashboard"), "no such dashboard - at `$.permissions[0]"),
    "unknown user": (section("permissions", identity_id=str(uuid(99))), "no such user - at `$.permissions[0].identity_id`"),
    "unknown owner": (changed(api_keys=[{"owner_id": str(uuid(99)), "key": "k"}]), "no such user - at `$.api_keys[0]"),
    "empty key": (changed(api_keys=[{"owner_id": str(ALICE), "key": ""}]), "$.api_keys[0].key`"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_file_is_refused_in_one_line_and_changes_nothing(storage: Storage, settings: Settings, name: str) -> None:
    data, wanted = BAD[name]
    with pytest.raises(LoadError) as refused:
        await load_file(storage, data)
    assert wanted in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not any(dump(where(settings)).values())


def test_the_command_line_says_what_was_loaded_or_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_bytes(WORLD)
    (tmp_path / "bad.json").write_bytes(BAD["unknown role"][0])
    good, bad = run(tmp_path, "load", "good.json"), run(tmp_path, "load", "bad.json")
    assert (good.returncode, good.stdout) == (0, "loaded 3 users, 8 assets, 5 permissions, 0 API keys\n")
    assert bad.returncode == 1
    assert bad.stderr == "Error: bad.json: Invalid enum value 'boss' - at `$.permissions[0].role`\n"
    assert run(tmp_path, "load", "missing.json").returncode == 2
