"""SQL in whatever a client may write is text like any other: it changes nothing, and comes back as it was."""

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from settings import Settings
from tests.support.client import Client
from tests.support.database import opened, rows
from tests.support.house import House
from tests.support.world import ALICE, BOB, REVENUE

INDEXED = re.compile('INSERT INTO "(sqlite_sequence|unindexed|search)')
SQL = [
    "'; DROP TABLE messages; --",
    '"; DELETE FROM chats; --',
    "' OR '1'='1",
    "1 OR 1=1",
    "x'); DELETE FROM users; --",
    "' UNION SELECT * FROM users --",
    "\\'; UPDATE users SET name = 'x'; /*",
    "%_?:id:1$1@x--",
    "`; COMMIT; PRAGMA writable_schema=1; --",
]
PAYLOAD_FIELDS = ["chat_id", "message_id", "asset_id", "asset_type", "metric_id", "dashboard_id"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With answers of one word: there are many."""
    return replace(settings, offline_words=1)


def dump(house: House) -> Counter[str]:
    """The database as the SQL that would make it: its tables, indexes and rows, but for those by which chats are found."""
    with opened(house.database) as connection:
        return Counter(line for line in connection.iterdump() if not INDEXED.match(line))


async def post_something(house: House) -> None:
    """Let there be something to be damaged: a chat of each of two users."""
    for user_id in (ALICE, BOB):
        async with house.connect(user_id) as client:
            assert (await client.post(prompt="Mine"))[-1]["event"] == "complete"


async def assert_refused(client: Client, **frame: Any) -> dict[str, Any]:
    await client.socket.send(json.dumps({"route": "/chats/post", "payload": {"prompt": "Hi"}, **frame}))
    answer = await client.frame()
    assert answer["error"]["code"] == "BAD_REQUEST"
    return answer


async def test_sql_in_a_field_that_is_not_free_text_is_refused_and_changes_nothing(house: House) -> None:
    await post_something(house)
    before = dump(house)
    async with house.connect() as client:
        for sql in SQL:
            for field in PAYLOAD_FIELDS:
                answer = await assert_refused(client, payload={"prompt": "Hi", field: sql})
                assert answer["error"]["message"].endswith(f" - at `$.payload.{field}`")
            assert (await assert_refused(client, route=sql))["route"] == sql
            assert (await assert_refused(client, event=sql))["route"] == "/chats/post"
            assert (await assert_refused(client, payload=sql))["route"] == "/chats/post"
            assert (await assert_refused(client, id=sql, payload=7))["request_id"] == sql
    assert dump(house) == before


async def test_sql_in_free_text_is_stored_as_it_was_and_changes_nothing_else(house: House) -> None:
    await post_something(house)
    async with house.connect() as client:
        for sql in SQL:
            before = dump(house)
            await client.send({"prompt": sql, "metric_id": str(REVENUE), "dataset_id": sql, sql: sql}, id=sql, **{sql: sql})
            stream = await client.stream()
            assert {frame["request_id"] for frame in stream} == {sql}
            chat = stream[-1]["payload"]
            (message,) = chat["messages"].values()
            assert message["request_message"]["request"] == sql
            assert rows(house.database, "SELECT request FROM messages WHERE chat_id = ?", chat["id"]) == [{"request": sql}]
            after = dump(house)
            assert before - after == Counter()
            assert sorted(statement.split()[2] for statement in after - before) == [
                '"chats"',
                '"messages"',
                '"messages_to_files"',
            ]
