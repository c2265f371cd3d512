"""The program as a user starts it: `python server.py ...` in a process and a folder of its own."""

import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from tests.support.client import TIMEOUT_S
from tests.support.house import SECRET

ROOT = Path(__file__).parent.parent.parent
STOP_S = 120  # for what hangs: a program that drains may take its time
SERVE = (str(ROOT / "server.py"), "serve", "--port", "0")


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Nothing of the tester's own settings, the tests' secret, and a database in the folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THREADCAST_")}
    own = {"JWT_SECRET": str(SECRET), "DATABASE_URL": f"sqlite+aiosqlite:///{folder}/threadcast.db"}
    return kept | {f"THREADCAST_{name}": value for name, value in (own | settings).items()}


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, str(ROOT / "server.py"), *arguments],
        cwd=folder,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
    )


def _limit(descriptors: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))


class Program:
    """A serving process; `url` is where it listens and `log` what it has said so far. `descriptors`: how many it may have."""

    def __init__(
        self, folder: Path, *arguments: str, command: Sequence[str] = SERVE, descriptors: str = "", **settings: str
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command, *arguments],
            cwd=folder,
            env=environment(folder, **settings),
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=partial(_limit, int(descriptors)) if descriptors else None,
            start_new_session=True,  # a Ctrl-C is for the tests, which stop what they have started
        )
        self.log = ""
        self._heard = threading.Condition()
        assert self.process.stderr
        for line in self.process.stderr:
            self.log += line
            if found := re.search(r"running on http://([^ ]+)", line):
                self.url = f"ws://{found[1]}/api/v1/ws"
                self._listening = threading.Thread(target=self._listen, args=(self.process.stderr,))
                self._listening.start()
                return
        raise AssertionError(f"it did not start:\n{self.log}")

    def _listen(self, stderr: IO[str]) -> None:
        """A pipe that nobody reads would hold the program up when it is full."""
        for line in stderr:
            with self._heard:
                self.log += line
                self._heard.notify_all()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until the log has this so many times."""
        with self._heard:
            assert self._heard.wait_for(lambda: self.log.count(text) >= times, timeout=TIMEOUT_S), self.log

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        self.process.wait(timeout=STOP_S)
        self._listening.join()
        self.output, _ = self.process.communicate()
        return self.process.returncode


@contextmanager
def serving(
    folder: Path, *arguments: str, command: Sequence[str] = SERVE, descriptors: str = "", **settings: str
) -> Iterator[Program]:
    """A serving process, which is gone when the block ends."""
    program = Program(folder, *arguments, command=command, descriptors=descriptors, **settings)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.stop(signal.SIGKILL)
