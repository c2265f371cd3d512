"""What all tests of the page share: one browser, since a process can have only one, and a folder with the tests' world."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.client import TIMEOUT_S
from tests.support.page import browser
from tests.support.server import world

__all__ = ["browser"]  # the fixture

expect.set_options(timeout=1000 * TIMEOUT_S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return world(tmp_path)
