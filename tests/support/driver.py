"""A client library in a process of its own, which does what a test says, over JSON lines. `DRIVERS` are all that there are."""

import asyncio
import itertools
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from tests.support.client import TIMEOUT_S
from tests.support.program import ROOT

DRIVERS = {
    "javascript": ["node", str(ROOT / "tests/clients/driver.mjs")],
    "python": [sys.executable, "-m", "tests.clients.driver"],
}
MOST_BYTES = 2**26  # of a line: `chats` has all that a client holds


class Refused(Exception):
    """The error that a command was answered with."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code, self.message = error.get("code"), error.get("message")
        self.error = error


class Driver:
    """One client. `await driver.says("post", ...)` is the answer to a command."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.stderr = ""
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks = [asyncio.ensure_future(each) for each in (self._read(), self._complain())]

    async def says(self, command: str, name: str = "", *, within: float = TIMEOUT_S, **more: Any) -> Any:
        """The command's answer, of a post by its `name`. Raises Refused with its error."""
        if name:
            more["as"] = name
        if "chat" in more:
            more["chatId"] = more["chat"]
        id, answer = next(self._ids), asyncio.get_running_loop().create_future()
        self._waiting[id] = answer
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"id": id, "do": command, **more}).encode() + b"\n")
        try:
            async with asyncio.timeout(within):
                return await answer
        except TimeoutError:
            raise TimeoutError(f"{command} {more} has no answer after {within} s. {self.stderr}") from None

    def will(self, command: str, name: str = "", **more: Any) -> "asyncio.Task[Any]":
        """The answer to a command that ends later."""
        doing: Coroutine[Any, Any, Any] = self.says(command, name, **more)
        task = asyncio.ensure_future(doing)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # a test that has failed asks for no more
        return task

    async def post(self, name: str, **what: Any) -> str:
        """Post; the message's id."""
        return str((await self.says("post", name, **what))["messageId"])

    async def done(self, name: str, within: float = TIMEOUT_S) -> dict[str, Any]:
        return dict(await self.says("done", name, within=within))

    async def text(self, name: str) -> str:
        return str(await self.says("text", name))

    async def live(self) -> None:
        await self.says("until", state="live")

    async def exited(self) -> int:
        """The exit code, once the process has ended by itself after the end of its input."""
        assert self.process.stdin
        self.process.stdin.close()
        with anyio.fail_after(TIMEOUT_S):
            return await self.process.wait()

    async def _read(self) -> None:
        assert self.process.stdout
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            answer = self._waiting.pop(said["id"])
            if answer.done():
                continue
            if "error" in said:
                answer.set_exception(Refused(said["error"]))
            else:
                answer.set_result(said["ok"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError(f"the driver has ended. {self.stderr}"))

    async def _complain(self) -> None:
        assert self.process.stderr
        while data := await self.process.stderr.read(65536):
            self.stderr += data.decode(errors="replace")

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def driving(kind: str) -> AsyncIterator[Driver]:
    """A client in a process, which is gone when the block ends. What it writes to stderr is a failure."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THREADCAST_")}
    process = await asyncio.create_subprocess_exec(
        *DRIVERS[kind], cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=MOST_BYTES
    )
    driver = Driver(process)
    try:
        yield driver
    finally:
        with suppress(ProcessLookupError):
            await driver.stop()
    assert driver.stderr == "", "a client writes nothing"
