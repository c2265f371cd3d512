"""A server behind which an agent of one's own answers keeps the protocol, rule by rule."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs.conform import command, seeded
from tests.support.postgres import free_port
from tests.support.program import ROOT, serving

REMOTE = "over AG-UI"
TALKERS = "tests.agents.talkers"
UVICORN = "import sys, uvicorn; uvicorn.run(sys.argv[1], port=int(sys.argv[2]), log_level='info')"


@contextmanager
def remote(folder: Path) -> Iterator[str]:
    """The address of the example of Pydantic AI, in a process of its own."""
    port = str(free_port())
    command = ("-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {UVICORN}", f"{TALKERS}.of_pydantic_ai:app", port)
    with serving(folder, command=command):
        yield f"ag-ui:http://127.0.0.1:{port}/agent"


@pytest.mark.parametrize(
    "name",
    [
        "examples.agents.everything:answer",
        f"{TALKERS}.of_pydantic_ai:agent",
        f"{TALKERS}.of_langgraph:graph",
        f"{TALKERS}.of_openai_agents:agent",
        REMOTE,
    ],
)
def test_the_server_of_an_agent_keeps_the_protocol(tmp_path: Path, name: str) -> None:
    if name == REMOTE:
        with remote(tmp_path) as address:
            check(tmp_path, address)
    else:
        check(tmp_path, name)


def check(folder: Path, agent: str) -> None:
    with seeded(folder, AGENT=agent, RATE_LIMIT="100000/minute", PING_SECONDS="1") as program:
        checked = subprocess.run(command(folder, program.url), cwd=ROOT, capture_output=True, text=True)
        assert program.stop() == 0
    assert checked.returncode == 0, checked.stdout
    assert "Traceback" not in program.log
