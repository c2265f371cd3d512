"""The servers that are measured side by side, and how each is started: pinned to one core, with the same work to do."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt

from benchmarks.load import Wire, close, connected

ROOT = Path(__file__).parent.parent
SERVER_CORE, CLIENT_CORE = 1, 0
ORGANIZATION = "22222222-2222-4222-8222-222222222222"
METRIC = "33333333-3333-4333-8333-333333333331"
SECRET = "a secret of the benchmark, of no use to anybody"  # noqa: S105
UNLIMITED = {
    "RATE_LIMIT": "1000000000/minute",
    "FRAMES_PER_SECOND": "1000000",
    "MAX_RUNS_PER_USER": "1000000",
    "MAX_CONNECTIONS_PER_USER": "1000000",
    "MAX_CONNECTIONS": "1000000",
    "CHAT_BYTES": str(2**26),
}


PLAIN = Wire()
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Kind:
    """A server to measure."""

    name: str
    module: str = ""  # of benchmarks.peers, Python's or, with its suffix, Node's; of Threadcast none
    flush_ms: int = 10
    wire: Wire = PLAIN
    stores: bool = False
    share: int = 1  # it is given this part of the others' words: one that is as slow would take half of the time


THREADCAST = Kind("Threadcast", stores=True)
MODELLED = Kind("Threadcast, with a model", stores=True)
UNJOINED = Kind("Threadcast, not joined", flush_ms=0, stores=True)
FLOOR = Kind("floor: bare ASGI", "floor")
PEERS = (
    Kind("FastAPI + pydantic", "fastapi_pydantic", stores=True),
    Kind("Litestar channels", "litestar_channels"),
    Kind("python-socketio", "socketio_server", wire=Wire("/socket.io/?EIO=4&transport=websocket&authentication=", True)),
    Kind("Django Channels", "django_channels", stores=True, share=10),
    Kind("aiohttp", "aiohttp_server"),
    Kind("websockets", "websockets_server"),
)
NODES = (
    Kind("Node ws", "ws_server.cjs"),
    Kind("Node socket.io", "socketio_server.cjs", wire=Wire("/socket.io/?EIO=4&transport=websocket&authentication=", True)),
    Kind("Node ws + better-sqlite3", "ws_server.cjs", stores=True),
)
MODULES = ROOT / ".venv" / "node" / "node_modules"  # where `make bench` installs what Node's peers need
ALL = (THREADCAST, UNJOINED, *PEERS, *(NODES if MODULES.joinpath("better-sqlite3").exists() else ()), FLOOR)


@dataclass(frozen=True)
class Running:
    """A server that can be talked to."""

    kind: Kind
    port: int
    pid: int
    users: list[str]  # as they authenticate themselves
    folder: Path

    def cpu_seconds(self) -> float:
        """What its threads have taken of its core so far: to the nanosecond, where proc(5)'s `stat` counts in 10 ms."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def memory_bytes(self) -> int:
        """What it holds of memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@asynccontextmanager
async def running(
    kind: Kind, words: int, delay_ms: int = 0, users: int = 1, more: Mapping[str, str] = NOTHING
) -> AsyncIterator[Running]:
    """The server, answering each post with so many words, until the block ends. `more`: variables of its environment."""
    with tempfile.TemporaryDirectory() as temporary, socket.create_server(("127.0.0.1", 0)) as reserved:
        folder, port = Path(temporary), reserved.getsockname()[1]
        reserved.close()
        environment = _environment(kind, folder, words, delay_ms) | more
        names = [f"user{number}" for number in range(users)]
        if not kind.module:
            names = await asyncio.to_thread(_load, folder, environment, users)
        with _process([*_command(kind), str(port)], environment) as pid:
            await _listens(port, kind, names[0])
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {SERVER_CORE})
            yield Running(kind, port, pid, names, folder)


@asynccontextmanager
async def modelled(words: int, delay_ms: int, users: int) -> AsyncIterator[Running]:
    """Threadcast with a model's server behind it, which runs on the client's processor."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    environment = {**os.environ, "BENCH_WORDS": str(words), "BENCH_DELAY_MS": str(delay_ms)}
    with _process([sys.executable, "-m", "benchmarks.peers.model_server", str(port)], environment):
        while not await _answers(port):  # noqa: ASYNC110 (another process has no event)
            await asyncio.sleep(0.01)
        more = {"THREADCAST_AGENT": "openai", "THREADCAST_MODEL": "m", "THREADCAST_TITLES": "words", "OPENAI_API_KEY": "none"}
        url = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1"}
        async with running(MODELLED, words, delay_ms, users, more | url) as server:
            yield server


async def started() -> tuple[float, int]:
    """Start Threadcast on a database that is there, on a server's processor: seconds until it answers, and its bytes then."""
    with tempfile.TemporaryDirectory() as temporary, socket.create_server(("127.0.0.1", 0)) as reserved:
        folder, port = Path(temporary), reserved.getsockname()[1]
        reserved.close()
        environment = _environment(THREADCAST, folder, 1, 0)
        await asyncio.to_thread(_load, folder, environment, 1)
        began = time.perf_counter()
        with _process(["taskset", "-c", str(SERVER_CORE), *_command(THREADCAST), str(port)], environment) as pid:
            while not await _answers(port):  # noqa: ASYNC110 (another process has no event)
                await asyncio.sleep(0.002)
            return time.perf_counter() - began, Running(THREADCAST, port, pid, [], folder).memory_bytes()


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[int]:
    """The id of a process that runs this until the block ends."""
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=silent, stderr=silent)  # noqa: S603
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _command(kind: Kind) -> list[str]:
    """What starts it, but for the port."""
    if kind.module.endswith(".cjs"):
        return ["node", f"benchmarks/peers/{kind.module}"]
    return [sys.executable, *(["-m", f"benchmarks.peers.{kind.module}"] if kind.module else ["server.py", "serve", "--port"])]


def _environment(kind: Kind, folder: Path, words: int, delay_ms: int) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if not name.startswith("THREADCAST_")}
    return known | _settings(kind, folder, words, delay_ms)


def _settings(kind: Kind, folder: Path, words: int, delay_ms: int) -> dict[str, str]:
    if kind.module:
        stored = {"BENCH_DATABASE": str(folder / "chats.db")} | ({"BENCH_STORE": "1"} if kind.stores else {})
        return {"BENCH_WORDS": str(words), "BENCH_DELAY_MS": str(delay_ms), "NODE_PATH": str(MODULES), **stored}
    settings = UNLIMITED | {
        "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/chats.db",
        "JWT_SECRET": SECRET,
        "OFFLINE_WORDS": str(words),
        "OFFLINE_DELAY_MS": str(delay_ms),
        "FLUSH_MS": str(kind.flush_ms),
    }
    return {f"THREADCAST_{name}": value for name, value in settings.items()}


def _load(folder: Path, environment: dict[str, str], users: int) -> list[str]:
    """Make users of Threadcast and a metric that they may see; their tokens."""
    ids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(users)]
    people = [{"id": id, "email": f"{id}@bench.example", "organization_id": ORGANIZATION} for id in ids]
    metric = {"id": METRIC, "asset_type": "metric", "name": "Revenue", "organization_id": ORGANIZATION, "created_by": ids[0]}
    metric["content"] = {"description": "All of it.", "sql": "SELECT 1", "columns": []}  # type: ignore[assignment]
    grant = {"asset_id": METRIC, "asset_type": "metric", "identity_type": "organization", "identity_id": ORGANIZATION}
    world = {"users": people, "assets": [metric], "permissions": [grant | {"role": "can_view"}]}
    (folder / "world.json").write_text(json.dumps(world))
    command = [sys.executable, "server.py", "load", str(folder / "world.json")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return [jwt.encode({"sub": id, "aud": "authenticated", "exp": 2**32}, SECRET) for id in ids]


async def _listens(port: int, kind: Kind, user: str) -> None:
    for _ in range(300):
        try:
            close(await connected(port, kind.wire, [user]))
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{kind.name} did not start")
