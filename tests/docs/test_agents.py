"""docs/agents.md: its first agent is put beside the server and answers, and its tables name what the module has."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import threadcast
from backends.agent import AgentTask
from settings import Settings
from tests.support.house import open_house
from tests.support.modelled import message_of, texts
from tests.support.program import ROOT

PAGE = (ROOT / "docs" / "agents.md").read_text()


async def test_the_first_agent_of_the_page_answers(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mine.py").write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name, *_ = re.findall(r"THREADCAST_AGENT=(\S+)", PAGE)
    async with open_house(replace(settings, agent=name)) as house, house.connect() as client:
        assert texts(message_of(await client.post(prompt="Hi"))) == [
            "You asked: Hi\n\nAnd this is the answer, word by word. ",
        ]
    del sys.modules["mine"]


def test_the_agent_that_asks_passes_its_own_test(tmp_path: Path) -> None:
    _, asking, testing, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "mine.py").write_text(asking)
    (tmp_path / "test_mine.py").write_text(testing)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_tables_have_the_fields_and_events_that_there_are() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    fields = set(AgentTask.__struct_fields__) - {"model"}  # which only a model has
    events = set(threadcast.__all__) - {"AgentEvent", "AgentTask", "AgentUser", "Approval", "TitleChunk", "TitleEnd"}
    assert named == fields | events
