"""`python -m tests.clients.driver`: the Python client, driven by JSON lines, for the suite that both clients have to pass.

Each command is answered when it is done; many go on at once.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from threadcast_client import Answer, Threadcast, ThreadcastError

Command = dict[str, Any]
NAMES = {"chatId": "chat_id", "messageId": "message_id", "pageToken": "page_token", "pageSize": "page_size"}
NAMES |= {"isFavorited": "is_favorited"}


def given(command: Command, *names: str) -> dict[str, Any]:
    """These arguments of a command, by their names in Python."""
    return {NAMES.get(name, name): command[name] for name in names if name in command}


class Driver:
    """One client, and its answers by the names that the suite gives them."""

    client: Threadcast

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}

    async def do(self, command: Command) -> object:
        """Do one command. What it is answered with."""
        name = command["do"]
        if name in ("post", "read", "done", "text", "stop"):
            return await self._with_answer(name, command)
        if name in ("open", "state", "until", "connect", "close"):
            return await self._with_connection(name, command)
        return await self._with_chats(name, command)

    async def _with_answer(self, name: str, command: Command) -> object:
        if name == "post":
            fields = given(command, "prompt", "chatId", "messageId", "model", "approvals")
            if asset := command.get("asset"):
                fields["asset"] = (asset["type"], asset["id"])
            answer = self.answers[command["as"]] = self.client.post(**fields)
            return {"messageId": str(answer.message_id)}
        answer = self.answers[command["as"]]
        match name:
            case "read":
                return "".join([text async for text in answer])
            case "done":
                return await answer.done
            case "stop":
                await answer.stop()
                return None
        return answer.text

    async def _with_connection(self, name: str, command: Command) -> object:
        match name:
            case "open":
                self._open(command)
            case "until":
                await self._until(command["state"])
            case "connect":
                self.client.connect(command.get("token"))
            case "close":
                await self.client.close()
        return self.client.state

    async def _with_chats(self, name: str, command: Command) -> object:
        chats = self.client.chats
        match name:
            case "chats":
                snapshot = chats.get_snapshot()
                return {"list": snapshot.list, "chats": dict(snapshot.chats)}
            case "openChat":
                return await chats.open(command["chat"])
            case "closeChat":
                chats.close(command["chat"])
                return None
            case "list":
                return await chats.list(**given(command, "query", "pageToken", "pageSize"))
            case "update":
                return await chats.update(command["chat"], **given(command, "title", "isFavorited"))
            case "delete":
                return {"ids": await chats.delete(command["ids"])}
            case "duplicate":
                return await chats.duplicate(command["chat"], command.get("messageId"))
            case "feedback":
                return await chats.feedback(command["messageId"], command["feedback"])
            case "request":
                return await self.client.request(command["route"], command["payload"])
        raise ValueError(f"no command is called {name}")

    def _open(self, command: Command) -> None:
        tokens = list(command["tokens"])

        def token() -> str:
            return str(tokens.pop(0) if len(tokens) > 1 else tokens[0])

        options: dict[str, Any] = {"websocket": False} if command.get("sse") else {}
        if "heartbeat" in command:
            options["heartbeat"] = command["heartbeat"]
        self.client = Threadcast(command["url"], tokens[0] if command.get("plain") else token, **options)
        self.client.connect()

    async def _until(self, state: str) -> None:
        changed = asyncio.Event()
        leave = self.client.subscribe(lambda _: changed.set())
        while self.client.state != state:
            await changed.wait()
            changed.clear()
        leave()


async def answer(driver: Driver, command: Command, write: Callable[[object], None]) -> None:
    """Do a command, and write what came of it."""
    try:
        write({"id": command["id"], "ok": await driver.do(command)})
    except ThreadcastError as error:
        told = {"code": error.code, "message": error.message, "retryAfter": error.retry_after}
        write({"id": command["id"], "error": told})
    except Exception as error:
        write({"id": command["id"], "error": {"code": type(error).__name__, "message": str(error)}})


def write(line: object) -> None:
    """Write a line, in the wire's form."""
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


async def lines() -> asyncio.StreamReader:
    """What comes in."""
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main(write: Callable[[object], None] = write) -> None:
    """Read commands until there are no more. What waits for the client is then ended by the client, or never."""
    driver, reader = Driver(), await lines()
    watching = []
    async with asyncio.TaskGroup() as tasks:
        while line := await reader.readline():
            command = json.loads(line)
            task = tasks.create_task(answer(driver, command, write))
            if command["do"] == "until":
                watching.append(task)
        if hasattr(driver, "client"):
            await driver.client.close()
        for task in watching:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
