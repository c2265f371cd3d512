"""Our own server before `python -m conformance`, as anybody would check theirs: `make conformance` runs it.

Server and checker are processes of their own; what the rules need is loaded from the file that the checker prints.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from conformance.assets import BOB_EMAIL, load_file
from tests.support.program import ROOT, Program, run, serving

ALICE_EMAIL = "alice@conformance.example"
EXPIRES_S = 8
CHECKER = (sys.executable, "-m", "conformance")


@contextmanager
def seeded(folder: Path, **settings: str) -> Iterator[Program]:
    """A server that has all that the rules need."""
    (folder / "assets.json").write_text(load_file())
    loaded = run(folder, "load", "assets.json")
    if loaded.returncode:
        raise RuntimeError(loaded.stderr)
    with serving(folder, **settings) as program:
        yield program


def token(folder: Path, email: str, *options: str) -> str:
    """A token of the user."""
    return run(folder, "token", email, *options).stdout.strip()


@cache
def tokens(folder: Path) -> tuple[str, str]:
    """Those of the two users."""
    return token(folder, ALICE_EMAIL), token(folder, BOB_EMAIL)


def command(folder: Path, url: str, *options: str) -> list[str]:
    """What checks the server at the URL, whose users are those of the folder's database."""
    return [*CHECKER, url, *tokens(folder), *options]


def command_for_all(folder: Path, url: str) -> list[str]:
    """The same with the options without which some rules are not checked. To be run at once: a token in it ends soon."""
    all_but_one = command(folder, url, "--limits", "--api-key", token(folder, ALICE_EMAIL, "--aud", "api"))
    return [*all_but_one, "--expiring", token(folder, ALICE_EMAIL, "--ttl", str(EXPIRES_S))]


def main() -> int:
    """Check it with its default limits, and return the checker's exit code."""
    with tempfile.TemporaryDirectory() as name, seeded(folder := Path(name)) as program:
        return subprocess.run(command_for_all(folder, program.url), cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
