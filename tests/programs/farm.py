"""Several workers as a program of its own: `python -m tests.programs.farm FOLDER`, with `THREADCAST_*` as a server's.

Each has a database and a broker to itself, which `serve --workers` does not allow: here the supervisor alone is looked at.
With a file FOLDER/broken no further worker gets as far as serving.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from socket import socket

import anyio

from backends.listening import sockets_on
from backends.workers import serve_together
from cli import work
from settings import load_settings
from tests.support.house import SECRET
from tests.support.settling import load_world

COUNT = 2


def work_alone(folder: Path, listening: socket, ready: Callable[[], None]) -> None:
    """As a server that shares nothing with the other."""
    if (folder / "broken").exists():
        sys.exit(3)
    settings = replace(load_settings(), database_url=f"sqlite+aiosqlite:///{folder}/{os.getpid()}.db")
    anyio.run(load_world, settings)
    work(settings, SECRET, listening, ready)


if __name__ == "__main__":
    sys.exit(
        serve_together(
            partial(work_alone, Path(sys.argv[1])), sockets_on("127.0.0.1", 0, COUNT), "INFO", partial(print, "ready")
        )
    )
