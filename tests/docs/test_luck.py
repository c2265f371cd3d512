"""`make luck`: it finds the test that fails now and then, and leaves no busy loop behind, however it ends."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.program import ROOT

NOW_AND_THEN = """
from pathlib import Path

def test_that_has_luck_once():
    before = Path(__file__).with_suffix(".before")
    assert not before.exists(), "its luck has run out"
    before.touch()

def test_that_needs_no_luck():
    pass
"""
KILLED = """
import os, signal
from tests.programs.luck import busy
with busy(2):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run it until nobody has its output open any more: neither the program nor a busy loop of it."""
    environ = os.environ | {"PYTEST_XDIST_AUTO_NUM_WORKERS": "0"}  # two tests need no processes, which take longer than they
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environ, capture_output=True, text=True)


def test_a_test_that_fails_now_and_then_is_counted_and_told(tmp_path: Path) -> None:
    (file := tmp_path / "test_luck.py").write_text(NOW_AND_THEN)
    ended = run("-m", "tests.programs.luck", "--times", "2", "--loops", "1", str(file))
    (row,) = (line.split("│") for line in ended.stdout.splitlines() if "│" in line)
    assert "test_that_has_luck_once" in row[1]
    assert row[2].strip() == "1 of 2"
    assert "its luck has run out" in row[3]
    assert ended.returncode == 1


def test_tests_that_need_no_luck_pass(tmp_path: Path) -> None:
    (file := tmp_path / "test_luck.py").write_text(NOW_AND_THEN)
    ended = run("-m", "tests.programs.luck", "--times", "1", "--loops", "1", str(file))
    assert "2 tests, 1 times beside 1 busy loops: 0 failed" in ended.stdout
    assert ended.returncode == 0


def test_the_busy_loops_end_with_the_program_that_is_killed() -> None:
    assert run("-c", KILLED).returncode == -9
