"""The README is true: what the program knows by name stands in it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields

import pytest
from starlette.routing import Route

from backends.metrics import CLOSE_CODES, Metrics
from handlers.http.console import CLIENT, FILES
from handlers.routes import ROUTES
from schemas.errors import WsErrorCode
from schemas.events import WsEvent
from server import create_app
from settings import PREFIX, Settings, load_settings
from tests.support.documents import PEERS_OWN, PROTOCOL, README, SETTINGS
from tests.support.house import SECRET
from tests.support.program import ROOT

PAGES = {"README": README, "protocol": PROTOCOL, "settings": SETTINGS}
PATHS_OVER_HTTP = [route.path for route in create_app(load_settings({}), SECRET).routes if isinstance(route, Route)]
PAGE_FILES = {file.name for file in FILES.iterdir()} - {*CLIENT}
NAMES = [
    *(("settings", f"`{PREFIX}{field.name.upper()}` |") for field in fields(Settings)),
    *(
        ("settings", f"`{family.name}{'_total' if family.type == 'counter' else ''}`")
        for family in Metrics().registry.collect()
    ),
    *((page, f"`{path}` | `{route.event.value}`") for path, route in ROUTES.items() for page in ("README", "protocol")),
    *(("protocol", f"`{code.value}` |") for code in WsErrorCode),
    *(("protocol", f"| {code} |") for code in CLOSE_CODES if code not in PEERS_OWN),
    *(("protocol", event.value) for event in WsEvent),
    *(("settings", f"`{path}`") for path in PATHS_OVER_HTTP if "api" not in path and path[1:] not in PAGE_FILES),
]


@pytest.mark.parametrize(("page", "name"), NAMES)
def test_the_page_has_it(page: str, name: str) -> None:
    assert name in PAGES[page]


def test_no_setting_is_named_that_is_not_there() -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", README + PROTOCOL + SETTINGS))
    assert named == {PREFIX + field.name.upper() for field in fields(Settings)}


def test_each_page_that_is_linked_is_there() -> None:
    for page in (ROOT / "README.md", *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_map_shows_the_house_as_it_is() -> None:
    rooms = re.findall(r"^([\w.]+/?) {2,}", README.split("## How it is built")[1], re.MULTILINE)
    assert [room for room in rooms if not (ROOT / room).exists()] == []
    python = {f"{path.name}/" for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert set(rooms) >= python


def walked() -> Iterator[tuple[str, int]]:
    """The modules that one post passes, and how often it comes into each from another one; then how many classes it passes."""
    command = [sys.executable, "-m", "tests.programs.walk"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    yield from ((module, int(times)) for module, times in re.findall(r"^(\S+\.py) entered (\d+) times", said, re.MULTILINE))
    yield "classes", int(re.findall(r"(\d+) classes", said)[0])


def test_the_way_of_a_post_is_as_short_as_the_readme_has_it() -> None:
    named = set(re.findall(r"`([\w/]+\.py)`", README.split("To follow it in the code")[1].split("## ")[0]))
    passed = dict(walked())
    assert passed.pop("classes") <= 45
    assert passed["handlers/post_chat.py"] <= 2
    assert passed.keys() | {"handlers/routes.py"} == named  # which is a table, so nothing runs there
    assert len(passed) <= 22
    assert not [module for module in passed if re.search("nodes|redis|postgres", module)]
