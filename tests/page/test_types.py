"""The page's JavaScript: its types, and how long its files and lines are."""

from pathlib import Path

from handlers.http.console import CLIENT, FILES
from tests.support.npm import TSC, needs_npm, runs

MOST_LINES = 250
MOST_CHARACTERS = 128

OWN = sorted(file for file in FILES.iterdir() if file.name not in CLIENT)
MODULES = [file for file in OWN if file.suffix == ".js"]


def names(files: list[Path]) -> list[str]:
    return [file.name for file in files]


def test_typescript_finds_nothing_in_it() -> None:
    needs_npm()
    runs("node", str(TSC), "--project", "tests/page")


def test_typescript_checks_each_module() -> None:
    assert names([file for file in MODULES if not file.read_text().startswith("// @ts-check\n")]) == []


def test_no_module_is_longer_than_a_person_reads_at_once() -> None:
    assert names([file for file in MODULES if len(file.read_text().splitlines()) > MOST_LINES]) == []


def test_no_line_is_longer_than_those_of_python() -> None:
    lines = [(file.name, number, line) for file in OWN for number, line in enumerate(file.read_text().splitlines(), 1)]
    assert [(name, number) for name, number, line in lines if len(line) > MOST_CHARACTERS] == []
