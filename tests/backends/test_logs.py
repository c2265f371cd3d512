"""The log: ids on each line, and no token in it, whatever the level and whatever becomes of the connection."""

import json
import logging
import logging.config
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from structlog.contextvars import bound_contextvars
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from backends.agent_events import ResponseChunk
from backends.agents.failures import ModelBroken
from backends.logs import UNKNOWN, KnownPaths, log_config, named
from schemas.errors import BadRequest
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import TIMEOUT_S
from tests.support.house import open_house
from tests.support.over_http import request
from tests.support.raw import raw
from tests.support.world import ALICE


@pytest.fixture
def restored() -> Iterator[None]:
    """The loggers as they were before."""
    names = ("threadcast", "uvicorn", "uvicorn.error", "uvicorn.access")
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).handlers[:]) for name in names}
    yield
    for name, (level, handlers) in before.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).handlers[:] = handlers


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/v1/chats", "/api/v1/chats"),
        ("/api/v1/chats?authentication=eyJ.secret.x", "/api/v1/chats"),
        *((f"/api/v1/chats{mark}authentication=eyJ.secret.x", UNKNOWN) for mark in ("%3F", ";", "&", "%23", "/?", "/", "#")),
        ("/eyJ.secret.x", UNKNOWN),
        ("http%3A//x/api/v1/chats?authentication=eyJ.secret.x", UNKNOWN),
    ],
)
def test_only_a_known_path_is_logged(path: str, told: str) -> None:
    arguments = ("127.0.0.1:5", "POST", path, "1.1", 200)
    record = logging.LogRecord("uvicorn.access", logging.INFO, __file__, 1, '%s - "%s %s HTTP/%s" %d', arguments, None)
    assert KnownPaths({"/api/v1/chats"}).filter(record)
    assert record.getMessage() == f'127.0.0.1:5 - "POST {told} HTTP/1.1" 200'


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/a/b/api/v1/chats", "/api/v1/chats"),
        ("/api/v1/chats", "/api/v1/chats"),
        ("/a/b", "/"),
        ("/a/b/x", UNKNOWN),
        ("/a/bc", "/a/bc"),
    ],
)
def test_the_path_below_which_the_application_is_is_left_out(path: str, told: str) -> None:
    arguments = ("127.0.0.1:5", "POST", path, "1.1", 200)
    record = logging.LogRecord("uvicorn.access", logging.INFO, __file__, 1, '%s - "%s %s HTTP/%s" %d', arguments, None)
    assert KnownPaths({"/", "/api/v1/chats", "/a/bc"}, "/a/b").filter(record)
    assert record.getMessage() == f'127.0.0.1:5 - "POST {told} HTTP/1.1" 200'


def test_probes_are_logged_when_they_fail() -> None:
    for status in (200, 503):
        arguments = ("127.0.0.1:5", "GET", "/readyz", "1.1", status)
        record = logging.LogRecord("uvicorn.access", logging.INFO, __file__, 1, '%s - "%s %s HTTP/%s" %d', arguments, None)
        assert KnownPaths({"/readyz"}).filter(record) == (status != 200)


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
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("\nValueError")
    assert line["timestamp"].endswith("Z")


def test_on_a_terminal_a_line_is_for_people(
    restored: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    logging.config.dictConfig(log_config("INFO"))
    with bound_contextvars(user=str(ALICE), connection="0123456789abcdef0123456789abcdef"):
        logging.getLogger("uvicorn.error").info("hello", extra={"color_message": "hello in colour"})
        token = "eyJ." + "secret"
        try:
            raise OSError(len(token))
        except OSError:
            logging.getLogger("threadcast").exception("oh", extra={"seconds": 1.5})
    lines = [re.sub(r"\x1b\[\d*m", "", line) for line in capsys.readouterr().err.splitlines()]
    assert re.match(r"\d\d:\d\d:\d\d \[info +\] hello +connection=01234567 user=00000000$", lines[0])
    assert re.match(r"\d\d:\d\d:\d\d \[error +\] oh +connection=01234567 seconds=1.5 user=00000000$", lines[1])
    assert lines[2] == "Traceback (most recent call last):"
    assert lines[-1] == "OSError: 10"
    assert "eyJ.secret" not in str(lines)  # of a traceback only the code, no variables


PROMPT = "my secret prompt"


def quoting() -> BaseException:
    """An error as a driver, a model's client or an agent may raise it, the text of a user in all of its parts."""
    try:
        raise KeyError(PROMPT)
    except KeyError as cause:
        try:
            raise ValueError(f"this is wrong: {PROMPT}") from cause
        except ValueError as error:
            error.add_note(PROMPT)
            return ExceptionGroup(PROMPT, [error, OSError(28, "No space left on device")])


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_a_traceback_has_a_users_text_at_debug_only(
    restored: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool, level: str
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    logging.config.dictConfig(log_config(level))
    logging.getLogger("threadcast").error("oh", exc_info=quoting())
    logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=quoting())
    log = capsys.readouterr().err
    for name in ("KeyError", "ValueError", "ExceptionGroup", "OSError: [Errno 28] No space left on device"):
        assert log.count(name) >= 2
    assert (PROMPT in log) == (level == "DEBUG")


def test_an_error_is_named_with_its_status() -> None:
    refused = Refused(PROMPT)
    assert named(refused) == "tests.backends.test_logs.Refused (400)"
    assert named(refused, whole=True) == f"tests.backends.test_logs.Refused (400): {PROMPT}"
    assert named(ModelBroken("the model's stream ended without a finish_reason")).endswith(
        ": the model's stream ended without a finish_reason"
    )


class Refused(Exception):
    status_code = 400


@pytest.mark.parametrize("terminal", [True, False])
def test_control_characters_are_told_and_not_sent(
    restored: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    logging.config.dictConfig(log_config("INFO"))
    bad = "a\x1b[2J\r\nb\x9b1m\x7f\u202e\u2028c"
    try:
        raise OSError(bad)
    except OSError:
        logging.getLogger("threadcast").exception("said %s", bad, extra={"who": bad})
    log = capsys.readouterr().err
    assert not re.search(r"\x1b\[2J|[\r\x9b\x7f\u202e\u2028]", log)
    assert log.count(r"\\x9b1m" if not terminal else r"\x9b1m") == 3


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_no_token_is_logged_wherever_it_stands(
    settings: Settings, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    async with open_house(replace(settings, log_level=level)) as house:
        token = house.token()
        for mark in ("?authentication=", "%3Fauthentication=", ";authentication=", "&authentication=", "%23", "/", "/?a="):
            for path in ("/api/v1/chats", "/api/v1/ws"):
                status, _, headers = await request(house, b"{}", method="GET", path=path, query=mark + token)
                assert status in (200, 401, 404, 405)
                assert "location" not in headers
            with suppress(InvalidStatus):
                async with connect(house.url + mark + token):
                    pass
        with suppress(InvalidStatus):
            async with connect(house.url, additional_headers={"Authorization": f"Bearer {token[:-3]}"}):
                pass
        async with house.connect() as client:
            await client.post(prompt=PROMPT)
    log = capsys.readouterr().err
    assert token.split(".")[1] not in log
    assert PROMPT not in log
    assert "/api/v1/chats" in log
    assert UNKNOWN in log


async def test_what_a_client_says_it_is_sends_no_control_characters(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_house(settings) as house, raw(house) as socket:
        await socket.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-forwarded-for: \x9b31m\r\n\r\n")
        assert (await socket.answer())[0] == 200
    log = capsys.readouterr().err
    assert "\x9b" not in log
    assert "x9b31m" in log


async def test_a_connection_and_a_run_have_a_line_each(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    agent = ScriptedAgent(ResponseChunk("three "), ResponseChunk("words long"), error=None)
    async with open_house(settings, agent) as house, house.connect() as client:
        (first, *_) = await client.post(prompt=PROMPT)
        (connection,) = house.services.connections
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    chat = first["payload"]
    ids = {"user": str(ALICE), "connection": connection.id, "chat": chat["id"], "message": chat["message_ids"][0]}
    (ran,) = (line for line in lines if line.get("chat") == chat["id"])
    assert (ran["event"], ran["end"], ran["words"]) == ("run ended", "completed", 3)
    assert 0 <= ran["seconds"] < TIMEOUT_S
    assert {name: ran[name] for name in ids} == ids
    (gone,) = (line for line in lines if line.get("connection") == connection.id and "chat" not in line)
    assert (gone["event"], gone["user"], gone["code"]) == ("disconnected", str(ALICE), 1000)
    assert 0 <= gone["seconds"] < TIMEOUT_S


async def test_a_failure_has_one_line_with_its_traceback(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    agent = ScriptedAgent(error=ValueError(PROMPT))
    async with open_house(settings, agent) as house, house.connect() as client:
        (first, *_, last) = await client.post(prompt=PROMPT)
    log = capsys.readouterr().err
    (line,) = (line for line in map(json.loads, log.splitlines()) if line.get("chat") == first["payload"]["id"])
    assert line["event"] == last["error"]["message"]
    assert (line["end"], line["words"]) == ("failed", 0)
    assert line["exception"].splitlines()[-1] == "ValueError"
    assert log.count("Traceback") == 1
    assert PROMPT not in log


async def test_an_answer_that_is_refused_has_a_line_too(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    agent = ScriptedAgent(error=BadRequest("not this"))
    async with open_house(settings, agent) as house, house.connect() as client:
        (first, *_, last) = await client.post(prompt=PROMPT)
    assert last["error"]["message"] == "not this"
    lines = map(json.loads, capsys.readouterr().err.splitlines())
    (line,) = (line for line in lines if line.get("chat") == first["payload"]["id"])
    assert (line["event"], line["end"], line["words"]) == ("run ended", "failed", 0)


async def test_a_refused_connection_has_a_line(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with open_house(settings) as house:
        with pytest.raises(InvalidStatus):
            async with connect(house.url):
                pass
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["code"] for line in lines if line["event"] == "refused a connection"] == ["UNAUTHORIZED"]


def test_what_no_encoding_can_write_is_logged_all_the_same(restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(log_config("INFO"))
    record = logging.makeLogRecord({"name": "threadcast", "msg": "a \ud800 b", "odd": "\udfff", "thing": object()})
    (handler,) = logging.getLogger("threadcast").handlers
    handler.handle(record)  # straight to it: pytest's own handler would keep the surrogate for its report
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["odd"]) == ("a \\ud800 b", "\\udfff")
    assert "object at" in line["thing"]
