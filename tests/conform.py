"""Our own server before `python -m benchmarks.conformance`, as anybody would check theirs: `make conformance` runs it.

Server and checker are processes of their own; what the rules need is loaded from the file that the checker prints.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.conformance.assets import BOB_EMAIL, load_file
from tests.program import ROOT, Program, run, serving

ALICE_EMAIL = "alice@conformance.example"
EXPIRES_S = 4
CHECKER = (sys.executable, "-m", "benchmarks.conformance")


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


def command(folder: Path, url: str, *options: str) -> list[str]:
    """What checks the server at the URL, whose users are those of the folder's database."""
    return [*CHECKER, url, token(folder, ALICE_EMAIL), token(folder, BOB_EMAIL), *options]


def everything(folder: Path) -> list[str]:
    """The options without which some rules are not checked."""
    key, expiring = token(folder, ALICE_EMAIL, "--aud", "api"), token(folder, ALICE_EMAIL, "--ttl", str(EXPIRES_S))
    return ["--api-key", key, "--expiring", expiring, "--limits"]


def main() -> int:
    """Check it with its default limits, and return the checker's exit code."""
    with tempfile.TemporaryDirectory() as name, seeded(folder := Path(name)) as program:
        return subprocess.run([*command(folder, program.url), *everything(folder)], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
