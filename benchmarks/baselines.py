"""The same rows as a prompt-less chat makes, written as one would without Threadcast: what its storage is compared with."""

import asyncio
import sqlite3
import time
from pathlib import Path
from uuid import uuid4

from databases import Database

BATCH = 200  # chats in one transaction, as many as Threadcast takes together

SCHEMA = """
CREATE TABLE IF NOT EXISTS chats (id TEXT PRIMARY KEY, title TEXT, created_by TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE IF NOT EXISTS messages (id TEXT PRIMARY KEY, chat_id TEXT REFERENCES chats, response_messages TEXT,
    final_reasoning_message TEXT, is_completed INTEGER, created_at TEXT, updated_at TEXT);
CREATE TABLE IF NOT EXISTS messages_to_files (message_id TEXT, file_id TEXT, created_at TEXT,
    PRIMARY KEY (message_id, file_id));
"""
ROWS = (
    "INSERT INTO chats VALUES (:chat, 'View Revenue', :user, :now, :now)",
    "INSERT INTO messages VALUES (:message, :chat, '[]', NULL, 0, :now, :now)",
    "UPDATE messages SET response_messages = :answer, is_completed = 1, updated_at = :now WHERE id = :message",
    "UPDATE chats SET title = 'View Revenue', updated_at = :now WHERE id = :chat",
    "INSERT INTO messages_to_files VALUES (:message, :file, :now)",
)
ANSWER = '[{"id":"00000000-0000-4000-8000-000000000000","type":"text","message":"' + "x" * 400 + '"}]'


def _chat() -> list[tuple[str, dict[str, str]]]:
    known = {name: str(uuid4()) for name in ("chat", "message", "user", "file")} | {"now": "2026-01-01", "answer": ANSWER}
    return [(sql, {name: value for name, value in known.items() if f":{name}" in sql}) for sql in ROWS]


async def straightforward(path: Path, chats: int) -> float:
    """Chats a second with `databases`, one `execute` a row, as its documentation shows it."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.executescript(SCHEMA)
    async with Database(f"sqlite+aiosqlite:///{path}") as connected:
        began = time.perf_counter()
        for _ in range(chats):
            for sql, values in _chat():
                await connected.execute(sql, values)
        return chats / (time.perf_counter() - began)


def batched(path: Path, chats: int) -> float:
    """Chats a second with the sqlite3 module alone, in batches: the engine's own speed."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        database.execute(f"PRAGMA {pragma}")
    database.executescript(SCHEMA)
    began = time.perf_counter()
    for _ in range(0, chats, BATCH):
        database.execute("BEGIN IMMEDIATE")
        for _ in range(BATCH):
            for sql, values in _chat():
                database.execute(sql, values)
        database.execute("COMMIT")
    took = time.perf_counter() - began
    database.close()
    return chats / took


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        print(f"databases, one execute a row: {asyncio.run(straightforward(Path(folder) / 'a.db', 200)):.0f} chats/s")
        print(f"sqlite3 in batches of {BATCH}: {batched(Path(folder) / 'b.db', 10_000):.0f} chats/s")
