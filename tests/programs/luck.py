"""`make luck`: run the tests again and again on a busy machine, and print which failed how often. Exits with 1 when any did.

A test that passes only while its machine is quiet fails here: the test's fault, or the product's, but never bad luck.
"""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.support.program import ROOT

ROUND_S = 3600  # far beyond the whole suite: each test has a time limit of its own
STOP_S = 60  # for pytest to stop what its fixtures have started
LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    for _ in range(10**6): pass"
PYTEST = (sys.executable, "-m", "pytest", "-c", str(ROOT / "setup.cfg"))
AGENTS = "tests/agents"  # not here, since they need a venv of their own
PAGE = "tests/page"  # apart: the browser's driver runs an event loop where the other tests start theirs


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep so many processes computing until the block ends, or this process does, however it ends."""
    command = [sys.executable, "-c", LOOP, str(os.getpid())]
    processes = [subprocess.Popen(command) for _ in range(loops)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def rooms() -> Iterator[str]:
    """The folders of all other tests."""
    found = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    return iter(sorted(found - {PAGE, AGENTS}))


def play(files: Sequence[str], report: Path) -> None:
    """Run these tests once. Where pytest does not end by itself, it is ended with all that it has started."""
    environ = os.environ | {"CI": "true"}  # a test whose program is missing has failed
    processes = "logical" if files[0].startswith(PAGE) else "auto"
    command = [*PYTEST, "-n", processes, f"--junitxml={report}", *files]
    process = subprocess.Popen(command, cwd=ROOT, env=environ, start_new_session=True)
    try:
        process.wait(ROUND_S)
    finally:
        if process.poll() is None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def results(report: Path) -> Iterator[tuple[str, str | None]]:
    """Each test of the report, with the first line of its error if it failed."""
    for case in ElementTree.parse(report).iter("testcase"):
        errors = [*case.findall("failure"), *case.findall("error")]
        yield (
            f"{case.get('classname')}::{case.get('name')}",
            errors[0].get("message", "").partition("\n")[0] if errors else None,
        )


@click.command(help=__doc__)
@click.argument("files", nargs=-1)
@click.option("--times", default=10, show_default=True, help="How often each test is run.")
@click.option("--loops", default=3, show_default=True, help="How many busy loops run beside the tests.")
def main(files: Sequence[str], times: int, loops: int) -> None:
    runs, failed, said = Counter[str](), Counter[str](), dict[str, str]()
    with busy(loops), tempfile.TemporaryDirectory() as folder:
        for number, part in itertools.product(range(times), [files] if files else [[PAGE], [*rooms()]]):
            play(part, report := Path(folder) / f"{number} {len(part)}.xml")
            for test, error in results(report):
                runs[test] += 1
                if error is not None:
                    failed[test] += 1
                    said[test] = error
    table = Table("test", "failed", "its error, the last time")
    for test, count in failed.most_common():
        table.add_row(test, f"{count} of {runs[test]}", escape(said[test][:300]))
    Console().print(
        table if failed else "", f"{len(runs)} tests, {times} times beside {loops} busy loops: {len(failed)} failed"
    )
    sys.exit(1 if failed or not runs else 0)


if __name__ == "__main__":
    main()
