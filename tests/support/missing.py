"""What becomes of tests whose programs are not there."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Leave the test out, and say so; where everything has to be tested, it is an error."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
