"""SQLite's database as a file: made for its owner only, and looked at first. What is wrong is told in words."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from backends.storage import NothingStored, Unusable

# Primary result codes, sqlite.org/rescode.html, of errors that pass by themselves, or when somebody makes room.
SQLITE_OUTAGES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}

OWNER_ONLY = 0o600  # SQLite gives its `-wal` and `-shm` the same


def told(error: sqlite3.OperationalError) -> Exception:
    """The error as all storages tell it."""
    return NothingStored() if error.sqlite_errorcode & 0xFF in SQLITE_OUTAGES else error


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Raise Unusable for whatever the block finds wrong with the file, except a lock of another process."""
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise Unusable(f"{error.filename or path}: {error.strerror}") from None
    except (sqlite3.Error, DBAPIError) as error:
        raise Unusable(f"{path}: {error.orig if isinstance(error, DBAPIError) else error}") from None


def prepare(path: Path) -> None:
    """Make the folder and the file where there is none. Raises Unusable, or OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise Unusable(f"{path} is a directory and no database")
    # An existing file is never opened here: closing it would drop the locks that this process' connections have on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    if not os.access(path, os.R_OK | os.W_OK):
        raise Unusable(f"{path} is read-only for this user")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise Unusable(f"{path.parent} is read-only for this user, and SQLite makes files beside the database")


@contextmanager
def sole_server(path: Path) -> Iterator[None]:
    """Hold the lock that says that a server serves this database: a second one would end the first one's runs as dead.

    Raises BlockingIOError when another process holds it. The lock is the kernel's and dies with the process.
    """
    prepare(path)
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
