"""A server behind which an agent of one's own answers keeps the protocol, rule by rule."""

import subprocess
from pathlib import Path

import pytest

from tests.programs.conform import command, seeded
from tests.support.program import ROOT


@pytest.mark.parametrize("name", ["examples.agents.everything:answer"])
def test_the_server_of_an_agent_keeps_the_protocol(tmp_path: Path, name: str) -> None:
    with seeded(tmp_path, AGENT=name, RATE_LIMIT="100000/minute", PING_SECONDS="1") as program:
        checked = subprocess.run(command(tmp_path, program.url), cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
