"""uvicorn as we have it: no token in a log, whatever the level and whatever becomes of the connection."""

import logging
import logging.config
from collections.abc import Iterator

import pytest

from backends.hosting import WithoutQuery, log_config

LINES = [  # as uvicorn logs them
    ('%s - "WebSocket %s" [accepted]', ("127.0.0.1:5", "/api/v1/ws?authentication=eyJ.secret.x")),
    ('%s - "WebSocket %s" 403', ("127.0.0.1:5", "/api/v1/ws?a=b&authentication=eyJ.secret.x")),
    ('%s - "WebSocket %s" %d', ("127.0.0.1:5", "/api/v1/ws?authentication=eyJ.secret.x", 401)),
    ('%s - "WebSocket %s" [accepted]', ("127.0.0.1:5", "http%3A//x/api/v1/ws?authentication=eyJ.secret.x")),
    ('%s - "%s %s HTTP/%s" %d', ("127.0.0.1:5", "POST", "/api/v1/chats?authentication=eyJ.secret.x", "1.1", 200)),
]


@pytest.fixture
def restored() -> Iterator[None]:
    """The loggers as they were before."""
    names = ("threadcast", "uvicorn", "uvicorn.error", "uvicorn.access")
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).handlers[:]) for name in names}
    yield
    for name, (level, handlers) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).handlers[:] = handlers


@pytest.mark.parametrize(("message", "arguments"), LINES)
def test_a_logged_path_has_no_query(message: str, arguments: tuple[object, ...]) -> None:
    record = logging.LogRecord("uvicorn.error", logging.INFO, __file__, 1, message, arguments, None)
    assert WithoutQuery().filter(record)
    assert "secret" not in record.getMessage()
    assert "/api/v1/" in record.getMessage()


@pytest.mark.parametrize(("level", "uvicorns"), [("DEBUG", "INFO"), ("INFO", "INFO"), ("ERROR", "ERROR")])
def test_uvicorn_never_logs_handshakes(restored: None, level: str, uvicorns: str) -> None:
    logging.config.dictConfig(log_config(level))
    assert logging.getLogger("threadcast").isEnabledFor(logging.getLevelNamesMapping()[level])
    assert logging.getLevelName(logging.getLogger("uvicorn.error").getEffectiveLevel()) == uvicorns
