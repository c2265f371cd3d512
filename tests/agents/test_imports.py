"""A framework is imported by who names an agent of it, and by nobody else."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.program import ROOT

FRAMEWORKS = ("pydantic_ai", "langgraph", "agents")
OBJECTS = {
    "plain": ("async def mine(task):\n    yield 'text'", ()),
    "pydantic_ai": ("from pydantic_ai import Agent\nmine = Agent()", ("pydantic_ai",)),
    "langgraph": (
        "from langgraph.graph import START, MessagesState, StateGraph\n"
        "builder = StateGraph(MessagesState).add_node('a', lambda state: {}).add_edge(START, 'a')\nmine = builder.compile()",
        ("langgraph",),
    ),
    "agents": ("from agents import Agent\nmine = Agent('mine')", ("agents",)),
}
LOAD = "import sys; from backends.agents.own import load_agent; load_agent('mine_here:mine'); print(*sys.modules)"


@pytest.mark.skipif(not all(map(find_spec, FRAMEWORKS)), reason="needs the extra `agents`")
@pytest.mark.parametrize("kind", OBJECTS)
def test_only_the_framework_of_the_named_object_is_imported(tmp_path: Path, kind: str) -> None:
    source, wanted = OBJECTS[kind]
    (tmp_path / "mine_here.py").write_text(source)
    run = [sys.executable, "-c", LOAD]
    ended = subprocess.run(run, cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{tmp_path}"}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    modules = ended.stdout.split()
    assert tuple(name for name in FRAMEWORKS if name in modules) == wanted
    assert [name for name in modules if name in ("backends.agents.pydantic_ai", "backends.agents.langgraph")] == [
        f"backends.agents.{name}" for name in wanted if name != "agents"
    ]
