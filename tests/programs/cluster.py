"""Several nodes as an operator starts them: processes of their own, on one Redis and one PostgreSQL. `make cluster`."""

import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from handlers.load_file import DEMO_FILE
from tests.programs.crowd import UNLIMITED
from tests.support import postgres
from tests.support.postgres import Postgres
from tests.support.program import Program, run, serving
from tests.support.redis import RedisServer, redis_server

DEMO_USER = "demo@threadcast.example"
PORTS = ("8001", "8002")


@dataclass(frozen=True)
class Cluster:
    """What the nodes share, and how to start one."""

    folder: Path
    redis: RedisServer
    postgres: Postgres
    settings: dict[str, str]

    @property
    def database(self) -> str:
        """Where `tests.support.database` reads."""
        return self.settings["DATABASE_URL"]

    def start(self, **settings: str) -> Program:
        """A serving node. Whoever starts one stops it."""
        return Program(self.folder, **(self.settings | settings))

    @contextmanager
    def node(self, *arguments: str, **settings: str) -> Iterator[Program]:
        """A serving node, which is gone when the block ends."""
        with serving(self.folder, *arguments, **(self.settings | settings)) as program:
            yield program


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """An empty Redis, and a PostgreSQL whose schema is up to date."""
    with redis_server() as redis, postgres.running() as database, database.database() as url:
        settings = {"DATABASE_URL": url, "BROKER_URL": redis.url, **UNLIMITED}
        migrated = run(folder, "migrate", **settings)
        assert migrated.returncode == 0, migrated.stderr
        yield Cluster(folder, redis, database, settings)


def show() -> None:
    """Two nodes with the demo data, until Ctrl-C."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as name, cluster(Path(name)) as made:
        loaded = run(made.folder, "load", str(DEMO_FILE), **made.settings)
        assert loaded.returncode == 0, loaded.stderr
        token = run(made.folder, "token", DEMO_USER, **made.settings).stdout.strip()
        pace = {"OFFLINE_DELAY_MS": "20", "RATE_LIMIT": "60/minute"}
        with made.node("--port", PORTS[0], **pace) as a, made.node("--port", PORTS[1], **pace) as b:
            console.print(f"Two nodes:\n  {a.url} (process {a.process.pid})\n  {b.url} (process {b.process.pid})")
            console.print(f"Redis: {made.redis.url}\nPostgreSQL: {made.settings['DATABASE_URL']}\n")
            console.print(f"The token of {DEMO_USER}, for a day:\n  export THREADCAST_TOKEN={token}\n", soft_wrap=True)
            console.print("Post on the first; a client of the second sees the same stream:")
            for program in (a, b):
                console.print(f'  .venv/bin/python -m clients.terminal --url {program.url} --prompt "Hello"', soft_wrap=True)
            console.print("\nOr in a browser, the one beside the other:")
            for program in (a, b):
                console.print(f"  http://{program.url.split('/')[2]}/#token={token}", soft_wrap=True)
            console.print("\nCtrl-C stops all of it.")
            with suppress(KeyboardInterrupt):
                signal.pause()
            console.print("stopping, which lets runs finish ...")
            sys.exit(max(a.stop(), b.stop()))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    show()
