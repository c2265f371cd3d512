"""The log: ids on each line, and no token in it, whatever the level and whatever becomes of the connection."""

import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
from structlog.contextvars import bound_contextvars

from backends.logs import WithoutQuery, log_config
from settings import Settings
from tests.agents import ScriptedAgent
from tests.conftest import open_house
from tests.world import ALICE, REVENUE

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


def test_a_line_has_the_ids_of_what_it_is_about_and_a_traceback_is_in_it(
    restored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.config.dictConfig(log_config("INFO"))
    with bound_contextvars(user="u", chat="c"):
        try:
            raise ValueError("boom")
        except ValueError:
            logging.getLogger("threadcast").exception("it went %s", "wrong", extra={"end": "failed"})
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert {name: line[name] for name in ("event", "level", "logger", "user", "chat", "end")} == {
        "event": "it went wrong",
        "level": "error",
        "logger": "threadcast",
        "user": "u",
        "chat": "c",
        "end": "failed",
    }
    assert "ValueError: boom" in line["exception"]
    assert line["timestamp"].endswith("Z")


def test_on_a_terminal_a_line_is_for_people(
    restored: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    logging.config.dictConfig(log_config("INFO"))
    with bound_contextvars(user="u"):
        logging.getLogger("uvicorn.error").info("hello", extra={"color_message": "hello in colour"})
        token = "eyJ." + "secret"
        try:
            raise ValueError(len(token))
        except ValueError:
            logging.getLogger("threadcast").exception("oh")
    line = capsys.readouterr().err
    assert "ValueError: 10" in line
    assert "eyJ.secret" not in line  # of a traceback only the code, no variables
    assert "hello" in line
    assert "user" in line
    assert "colour" not in line
    with pytest.raises(ValueError, match=r"Expecting|Extra"):
        json.loads(line)


async def test_what_happens_to_a_post_is_logged_with_its_ids(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    agent = ScriptedAgent(error=ValueError("boom"))
    async with open_house(settings, agent) as house, house.connect() as client:
        (first, *_) = await client.post(prompt="a secret prompt")
        (connection,) = house.services.connections
        await client.post(metric_id=str(REVENUE))
    log = capsys.readouterr().err
    lines = [json.loads(line) for line in log.splitlines()]
    chat = first["payload"]
    ids = {"user": str(ALICE), "connection": connection.id, "chat": chat["id"], "message": chat["message_ids"][0]}
    about = [line for line in lines if line.get("chat") == chat["id"]]
    assert len(about) == 2
    for line, event in zip(about, ("run ended", "internal error"), strict=True):
        assert line["event"].startswith(event)
        assert {name: line[name] for name in ids} == ids
    (gone,) = [line for line in lines if line["event"] == "disconnected"]
    assert (gone["user"], gone["connection"], gone["code"]) == (str(ALICE), connection.id, 1000)
    assert "secret prompt" not in log
