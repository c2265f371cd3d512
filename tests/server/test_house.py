"""The house of the README: imports point down only, and each library is let in at one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.program import ROOT

ROOMS = ("schemas", "settings", "backends", "handlers", "server", "cli")  # from the ground up
OUTSIDE = ("tests", "benchmarks", "clients", "conformance", "examples")
PRODUCT = sorted(path for room in ROOMS for path in [ROOT / f"{room}.py", *(ROOT / room).rglob("*.py")] if path.exists())

CLIENTS = sorted(path for room in ("benchmarks", "clients", "conformance") for path in (ROOT / room).glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

OPENERS = ("backends/__init__.py", "handlers/services.py")  # the one file of a room that opens it with the settings

# Where a library may be imported; what is not listed here may be imported anywhere above the schemas.
DOORS = {
    "databases": {"backends/sqlite.py", "backends/postgres/storage.py", "backends/postgres/pool.py"},
    "aiosqlite": {"backends/sqlite.py"},
    "sqlite3": {"backends/sqlite.py", "backends/sqlite_file.py"},
    "asyncpg": {"backends/postgres/storage.py", "backends/postgres/pool.py"},
    "jwt": {"backends/auth.py"},
    "httpx2": {"backends/agents/completions.py"},
    "limits": {"backends/limits.py", "backends/redis/limits.py", "settings.py"},
    "pydantic_ai": {"backends/agents/pydantic_ai.py"},
    "pydantic_core": {"backends/agents/pydantic_ai.py"},
    "langgraph": {"backends/agents/langgraph.py"},
    "langchain_core": {"backends/agents/langgraph.py"},
    "agents": {"backends/agents/openai_agents.py"},
    "redis": {
        "backends/redis/link.py",
        "backends/redis/wire.py",
        "backends/redis/broker.py",
        "backends/redis/limits.py",
        "backends/redis/open.py",
        "backends/redis/forget.py",
    },
    "uvicorn": {"backends/hosting.py", "backends/http_protocol.py", "backends/socket_protocol.py"},
    "click": {"cli.py"},
    # The environment is read by the settings; the others make private files.
    "os": {"settings.py", "backends/agents/own.py", "handlers/dev.py", "backends/sqlite.py", "backends/sqlite_file.py"},
}


def imports(source: str) -> Iterator[str]:
    """The modules that a source text imports, wherever in it."""
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not is_start(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield ("." * node.level) + (node.module or "")


def is_start(node: ast.stmt) -> bool:
    """Whether this is `if __name__ == "__main__":`, which nobody comes to who imports the file."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def defects(path: str, source: str) -> list[str]:
    """What the file at this path imports and may not."""
    room = path.split("/")[0].removesuffix(".py")
    found = []
    for module in imports(source):
        top = module.split(".")[0]
        above = top in ROOMS and ROOMS.index(top) > ROOMS.index(room)
        sees_settings = top == "settings" and room in ("backends", "handlers") and path not in OPENERS
        foreign = room == "schemas" and top not in ("schemas", "msgspec") and top in ("sqlalchemy", "starlette", "anyio")
        sql = top in ("sqlalchemy", "alembic") and room != "backends"
        if above or sees_settings or foreign or sql or top in OUTSIDE or path not in DOORS.get(top, {path}) or not top:
            found.append(f"{path} imports {module}")
    return found


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_is_below_it(path: Path) -> None:
    assert defects(str(path.relative_to(ROOT)), path.read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("schemas/chats.py", "import settings"),
        ("schemas/chats.py", "from starlette.config import Config"),
        ("settings.py", "from backends import storage"),
        ("backends/storage.py", "from settings import Settings"),
        ("backends/agent.py", "def late():\n    from handlers.runs import Run"),
        ("handlers/runs.py", "from server import create_app"),
        ("handlers/runs.py", "from settings import Settings"),
        ("handlers/runs.py", "import sqlalchemy as sa"),
        ("handlers/runs.py", "import jwt"),
        ("handlers/runs.py", "from . import services"),
        ("backends/chats.py", "import databases"),
        ("server.py", "from tests.support.world import ALICE"),
    ],
)
def test_an_import_that_points_up_is_found(path: str, source: str) -> None:
    assert len(defects(path, source)) == 1


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_programs_outside_know_the_server_by_its_wire_only(path: Path) -> None:
    assert [module for module in imports(path.read_text()) if module.split(".")[0] in ROOMS] == []


def test_every_file_says_which_room_it_is() -> None:
    silent = [path for path in PRODUCT if "versions" not in path.parts and not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_is_imported(path: Path) -> None:
    modules = [module for module in imports(path.read_text()) if module.startswith("tests.")]
    assert [module for module in modules if module.rpartition(".")[2].startswith("test_")] == []


def test_the_conformance_check_needs_nothing_of_ours() -> None:
    found = {
        module.split(".")[0] for path in CLIENTS if path.parent.name == "conformance" for module in imports(path.read_text())
    }
    assert found & {"tests", "benchmarks", "clients"} == set()
