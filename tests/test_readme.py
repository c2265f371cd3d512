"""The README is true: what the program knows by name stands in it."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from backends.metrics import CLOSE_CODES, Metrics
from handlers.routes import ROUTES
from schemas.errors import WsErrorCode
from settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PEERS_OWN = (1001, 1005, 1006)  # a browser that leaves, a close without a code, a connection that was lost
NAMES = [
    *(f"`{PREFIX}{field.name.upper()}`" for field in fields(Settings)),
    *(f"`{path}` | `{route.event.value}`" for path, route in ROUTES.items()),
    *(f"`{code.value}`" for code in WsErrorCode),
    *(f"| {code} |" for code in CLOSE_CODES if code not in PEERS_OWN),
    *(f"`{family.name}{'_total' if family.type == 'counter' else ''}`" for family in Metrics().registry.collect()),
]


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_has_it(name: str) -> None:
    assert name in README


def test_the_readme_names_no_setting_that_is_not_there() -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", README))
    assert named == {PREFIX + field.name.upper() for field in fields(Settings)}


def test_the_map_shows_the_house_as_it_is() -> None:
    rooms = re.findall(r"^([\w.]+/?) {2,}", README.split("## How it is built")[1], re.MULTILINE)
    assert [room for room in rooms if not (ROOT / room).exists()] == []
    python = {f"{path.name}/" for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert set(rooms) >= python


def test_the_walk_of_a_frame_names_files_that_are_there() -> None:
    walk = README.split("To follow a frame")[1].split("in that order")[0]
    files = re.findall(r"`([\w/]+\.py)`", walk)
    assert len(files) == 12
    assert [file for file in files if not (ROOT / file).exists()] == []
