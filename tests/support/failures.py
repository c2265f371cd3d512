"""What a client may not see of a failure, and a database that fails."""

import re

import pytest

from tests.support.client import Frame
from tests.support.database import opened
from tests.support.house import House

LEAKS = re.compile(r"sqlite|sql|traceback|\.py|/|exception|error:|insert|update|disk|no such|secret detail", re.IGNORECASE)


def assert_internal(frame: Frame, caplog: pytest.LogCaptureFixture) -> None:
    """An end that says nothing but a reference, under which the log has the traceback."""
    assert frame["route"] == "/chats/post"
    assert frame["event"] == "postThread"
    assert frame["error"]["code"] == "INTERNAL_SERVER_ERROR"
    assert not LEAKS.search(frame["error"]["message"])
    (reference,) = re.findall(r"[0-9a-f]{12}", frame["error"]["message"])
    (record,) = [record for record in caplog.records if reference in record.getMessage()]
    assert record.exc_info


def break_database(house: House, when: str) -> None:
    """Let the database itself refuse a statement, such as `UPDATE ON messages`."""
    with opened(house.database) as connection:
        connection.execute(f"CREATE TRIGGER broken BEFORE {when} BEGIN SELECT RAISE(ABORT, 'secret detail of a table'); END")


def mend_database(house: House) -> None:
    with opened(house.database) as connection:
        connection.execute("DROP TRIGGER broken")
