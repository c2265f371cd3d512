"""Every code block of the README is run, in its order, by a newcomer with a copy of the repository and nothing else.

What is not run here, and why: `make install` and `make test`, by which this is run; they are only asked what they would do. The
JavaScript block is for a browser, and in `test_page.py`.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.documents import BLOCKS
from tests.support.house import SECRET
from tests.support.postgres import Postgres, free_port
from tests.support.program import ROOT, environment

PORTS = ("8000", "8001")  # of the README; a newcomer may have something there
SHIFTED = ("Makefile", "settings.py", "clients/terminal.py", "tests/programs/model.py")
SERVES = re.compile(r"make run|make model|server\.py serve")
READY, READY_IN_DEV = re.compile(r"running on|is listening on"), re.compile(r"Ctrl-C stops it")


class Newcomer:
    """In a copy of the repository, with the tests' own `.venv`, and ports that are free."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.ports = {port: str(free_port()) for port in PORTS}
        files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
        for file in files.stdout.split():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, folder / file)
        for file in SHIFTED:
            (folder / file).write_text(self.shifted((folder / file).read_text()))
        # So that `make` does not install this copy into what the tests run in.
        for file in ("setup.cfg", "pyproject.toml", "clients/python/pyproject.toml"):
            os.utime(folder / file, (0, 0))
        (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
        kept = environment(folder)
        self.env = {name: value for name, value in kept.items() if not name.startswith("THREADCAST_")}
        self.env["PYTHONUNBUFFERED"] = "1"
        self.chat = self.token = ""
        self._serving: subprocess.Popen[str] | None = None

    def shifted(self, text: str) -> str:
        """With ports that are free."""
        return re.sub(r"\b(8000|8001)\b", lambda found: self.ports[found[0]], text)

    def does(self, command: str) -> str:
        """Run it to its end, or, when it serves, until it does. What it printed."""
        command = self.shifted(re.sub(r"CHAT=<[^>]+>", f"CHAT={self.chat}", command))
        if SERVES.search(command):
            return self._starts(command)
        if command.startswith(("make install", "make test")):
            command = command.replace("make", "make -n")
        ran = subprocess.run(["bash", "-ec", command], cwd=self.folder, env=self.env, capture_output=True, text=True)
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        if found := re.search(r"^chat ([\w-]{36})", ran.stdout, re.MULTILINE):
            self.chat = found[1]
        return ran.stdout

    def _starts(self, command: str) -> str:
        self.ends()  # one server at a time
        process = self.begins(command)
        printed = ""
        assert process.stdout
        for line in process.stdout:
            printed += line
            if (READY_IN_DEV if "make run" in command else READY).search(line):
                break
        else:
            raise AssertionError(f"{command}\n{printed}")
        Thread(target=process.stdout.read).start()  # a pipe that nobody reads would hold it up when it is full
        if "make model" not in command:
            self._serving = process
        if found := re.search(r"#token=([\w.-]+)", printed):
            self.token = found[1]
        return printed

    def begins(self, command: str) -> "subprocess.Popen[str]":
        """Run it beside what else runs. It is gone when the test ends."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        shell = subprocess.Popen(["bash", "-ec", command], cwd=self.folder, env=self.env, start_new_session=True, **pipes)
        process: subprocess.Popen[str] = self._stack.enter_context(shell)
        self._stack.callback(_end, process)
        return process

    def ends(self) -> None:
        """Ctrl-C, where the server runs."""
        if self._serving:
            _end(self._serving)


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        subprocess.run(["kill", "-INT", "--", f"-{process.pid}"], check=True)
        process.wait()


def commands(block: str) -> Iterator[str]:
    """Of a shell block, without what is only said."""
    for line in block.replace("\\\n", "").splitlines():
        if command := re.sub(r"\s+#.*", "", line).strip():
            yield command


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    with ExitStack() as stack:
        yield Newcomer(tmp_path, stack)


def shells() -> list[str]:
    return [text for language, text in BLOCKS if language == "sh"]


def test_there_is_no_block_of_a_kind_that_nobody_runs() -> None:
    assert {language for language, _ in BLOCKS} == {"sh", "python", "js", "json", "mermaid", ""}
    assert [language for language, _ in BLOCKS].count("") == 1  # the map, which test_readme.py reads


def test_run_it_and_talk_to_it(newcomer: Newcomer) -> None:
    run_it, chats, *_ = shells()
    assert "/#token=" in newcomer.does(run_it.strip())
    answers = [newcomer.does(command) for command in commands(chats)]
    assert len(answers) == 4
    assert all("messages, titled" in answer for answer in answers)
    (program,) = (text for language, text in BLOCKS if language == "python")
    newcomer.env["TOKEN"] = newcomer.token
    (newcomer.folder / "talk.py").write_text(newcomer.shifted(program))
    assert newcomer.does(".venv/bin/python talk.py").startswith("You asked: “What is this?”")


def test_connect_a_model(newcomer: Newcomer) -> None:
    install, terminals = (block for block in shells() if "EXTRAS=openai" in block)
    newcomer.does(install.strip())
    for command in commands(terminals):
        if command.startswith("make stop"):  # while it streams
            streaming = newcomer.begins(newcomer.shifted('make chat PROMPT="Hello"'))
            assert streaming.stdout
            newcomer.chat = next(found[1] for line in streaming.stdout if (found := re.search(r"^chat ([\w-]{36})", line)))
            newcomer.does(command)
            assert "messages, titled" in streaming.stdout.read()
            assert streaming.wait() == 0
        elif command.startswith("make chat"):
            assert "stand-in for a model" in newcomer.does(command)
        else:
            newcomer.does(command)


def test_scale_it(newcomer: Newcomer, postgres: Postgres) -> None:
    (people,) = (text for language, text in BLOCKS if language == "json")
    (newcomer.folder / "people-and-assets.json").write_text(people)
    earnest = list(commands(next(block for block in shells() if "server.py load" in block)))
    on_postgres = list(commands(next(block for block in shells() if "server.py migrate" in block)))
    with postgres.database() as url:
        for command in [*earnest, *on_postgres, *earnest]:  # on SQLite, and then on PostgreSQL
            if found := re.match(r"export (\w+)=(.*)", command):
                newcomer.env[found[1]] = str(SECRET) if found[2] == "..." else url
            else:
                newcomer.does(command)
        newcomer.ends()


def test_check_a_server(newcomer: Newcomer) -> None:
    newcomer.env |= {"THREADCAST_OFFLINE_DELAY_MS": "4", "THREADCAST_RATE_LIMIT": "10000/minute"}  # or it would take minutes
    newcomer.does("make run")
    (block,) = (block for block in shells() if "conformance" in block)
    *_, said = (newcomer.does(command) for command in commands(block))
    assert ", 0 failed, " in said


def test_work_on_it(newcomer: Newcomer) -> None:
    assert "pytest" in newcomer.does(shells()[-1].strip())


def test_all_shell_blocks_are_run_by_one_of_these() -> None:
    assert len(shells()) == 8
