"""What is in the database, read with Python's own sqlite3, or with psycopg, and none of the server's code."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.rows import dict_row

from settings import Settings

Where = Path | str  # a SQLite file, or a PostgreSQL's URL


def where(settings: Settings) -> Where:
    """The database of these settings."""
    return settings.database_url.replace("+asyncpg", "") if settings.on_postgres else settings.database_path


class AsText(Loader):
    """UUIDs and JSON as SQLite has them."""

    def load(self, data: psycopg.abc.Buffer) -> str:
        return bytes(data).decode()


class AsMoment(Loader):
    """Times as SQLite has them."""

    def load(self, data: psycopg.abc.Buffer) -> str:
        moment = datetime.fromisoformat(bytes(data).decode())
        return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


class OnPostgres:
    """A connection with the little of sqlite3's that the tests use."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, row_factory=dict_row)
        for kind, loader in (("uuid", AsText), ("json", AsText), ("timestamptz", AsMoment)):
            self.connection.adapters.register_loader(kind, loader)

    def execute(self, query: str, values: Sequence[object] = ()) -> Any:
        return self.connection.execute(query.replace("?", "%s").encode(), values)


@contextmanager
def opened(database: Where) -> Iterator[Any]:
    """The database, rows by column name, committed at the end of the block."""
    if isinstance(database, str):
        postgres = OnPostgres(database)
        with postgres.connection:
            yield postgres
    else:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.row_factory = sqlite3.Row
            yield connection


def rows(database: Where, query: str, *values: object) -> list[dict[str, Any]]:
    """The rows of a query."""
    with opened(database) as connection:
        return [dict(row) for row in connection.execute(query, values)]


def count(database: Where, table: str) -> int:
    """How many rows a table has."""
    return int(rows(database, f"SELECT count(*) AS n FROM {table}")[0]["n"])


def stored_chat(database: Where, chat_id: str) -> dict[str, Any]:
    """What PROTOCOL.md calls ChatWithMessages, as far as the chat's own rows tell it."""
    (chat,) = rows(database, "SELECT * FROM chats WHERE id = ?", chat_id)
    messages = rows(database, "SELECT * FROM messages WHERE chat_id = ? ORDER BY position", chat_id)
    return {
        "id": chat["id"],
        "title": chat["title"],
        "created_by": chat["created_by"],
        "created_at": moment(chat["created_at"]),
        "updated_at": moment(chat["updated_at"]),
        "message_ids": [message["id"] for message in messages],
        "messages": {message["id"]: stored_message(message) for message in messages},
    }


def stored_message(row: dict[str, Any]) -> dict[str, Any]:
    """What PROTOCOL.md calls ChatMessage, as far as its row tells it."""
    responses, reasoning = json.loads(row["response_messages"]), json.loads(row["reasoning_messages"])
    return {
        "id": row["id"],
        "request": row["request"],
        "response_message_ids": [part["id"] for part in responses],
        "response_messages": {part["id"]: part for part in responses},
        "reasoning_message_ids": [part["id"] for part in reasoning],
        "reasoning_messages": {part["id"]: part for part in reasoning},
        "created_at": moment(row["created_at"]),
        "final_reasoning_message": row["final_reasoning_message"],
        "is_completed": bool(row["is_completed"]),
        "finish_reason": row["finish_reason"],
        "usage": row["usage"] and json.loads(row["usage"]),
        "feedback": row["feedback"],
        **({"approvals": json.loads(row["approvals"])} if row["approvals"] else {}),
    }


def moment(text: str) -> str:
    """A stored time, which is UTC, as the wire writes it."""
    return text.replace(" ", "T") + "Z"


def as_stored(chat: dict[str, Any]) -> dict[str, Any]:
    """A payload of the wire, reduced to what `stored_chat` has."""
    kept = ("id", "title", "created_by", "created_at", "updated_at", "message_ids")
    messages = {}
    for id, message in chat["messages"].items():
        request = message["request_message"]
        rest = {key: value for key, value in message.items() if key != "request_message"}
        messages[id] = {**rest, "request": request["request"] if request else None}
    return {**{key: chat[key] for key in kept}, "messages": messages}
