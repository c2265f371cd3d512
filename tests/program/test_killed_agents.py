"""`kill -9` while an agent uses a tool, and while it waits for its user: the message says so, and nothing is done twice."""

import json
import signal
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from websockets.sync.client import ClientConnection

from tests.support.client import TIMEOUT_S, is_end
from tests.support.database import rows
from tests.support.program import run, serving
from tests.support.server import opened_socket, world

AGENT = """
import asyncio
from threadcast import ApprovalNeeded, Remembered, ToolInput, ToolStarted

async def answer(task):
    if task.approvals:
        with open("deleted", "a") as file:
            file.write(f"{task.state} {task.approvals[0].approved}\\n")
        yield ToolStarted("call", "Deleting", "delete")
        await asyncio.sleep(3600)
    yield "I look. "
    if task.prompt == "look":
        yield ToolStarted("1", "Looking", "look")
        yield ToolInput("1", "half of it")
        await asyncio.sleep(3600)
    yield Remembered("a plan")
    yield ApprovalNeeded("call", "Delete it?")
"""


def post(socket: ClientConnection, **payload: Any) -> None:
    socket.send(json.dumps({"route": "/chats/post", "payload": payload}))


def end_of(socket: ClientConnection) -> dict[str, Any]:
    """The frame that ends a stream."""
    while not is_end(frame := json.loads(socket.recv(timeout=TIMEOUT_S))):
        pass
    return dict(frame)


def wait_until_stored(database: Path, text: str) -> None:
    """Wait for the checkpoint that has this text."""
    give_up = time.monotonic() + TIMEOUT_S
    while not any(text in row["reasoning_messages"] for row in rows(database, "SELECT reasoning_messages FROM messages")):
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_kill_in_the_middle_of_a_tool_leaves_a_message_that_says_so(tmp_path: Path) -> None:
    token = run(world(tmp_path), "token", "alice@acme.example").stdout.strip()
    (tmp_path / "mine.py").write_text(AGENT)
    with serving(tmp_path, AGENT="mine:answer") as program, opened_socket(program, token) as socket:
        post(socket, prompt="look")
        wait_until_stored(tmp_path / "threadcast.db", "half of it")
        program.stop(signal.SIGKILL)
    with serving(tmp_path, AGENT="mine:answer"):
        (row,) = rows(tmp_path / "threadcast.db", "SELECT * FROM messages")
    assert (row["is_completed"], row["final_reasoning_message"], row["finish_reason"]) == (1, "Interrupted", "interrupted")
    (step,) = json.loads(row["reasoning_messages"])
    assert (step["title"], step["message"], step["status"]) == ("Looking", "half of it", "failed")
    assert json.loads(row["response_messages"])[0]["message"] == "I look. "


def test_a_question_outlives_a_kill_and_what_was_approved_is_done_once(tmp_path: Path) -> None:
    token = run(world(tmp_path), "token", "alice@acme.example").stdout.strip()
    (tmp_path / "mine.py").write_text(AGENT)
    message_id, yes = str(uuid4()), [{"id": "call", "approved": True}]
    with serving(tmp_path, AGENT="mine:answer") as program, opened_socket(program, token) as socket:
        post(socket, prompt="delete")
        chat_id = end_of(socket)["payload"]["id"]
        program.stop(signal.SIGKILL)
    with serving(tmp_path, AGENT="mine:answer") as program, opened_socket(program, token) as socket:
        post(socket, chat_id=chat_id, approvals=yes, message_id=message_id)
        wait_until_stored(tmp_path / "threadcast.db", "Deleting")
        program.stop(signal.SIGKILL)
    with serving(tmp_path, AGENT="mine:answer") as program, opened_socket(program, token) as socket:
        post(socket, chat_id=chat_id, approvals=yes, message_id=message_id)
        chat = end_of(socket)["payload"]
        assert chat["messages"][message_id]["final_reasoning_message"] == "Interrupted"
        post(socket, chat_id=chat_id, approvals=yes)
        assert end_of(socket)["error"]["message"] == "approvals[0].id: already answered"
    assert (tmp_path / "deleted").read_text() == "a plan True\n"
