"""The log: each event is a line, with the ids of what it is about, and no line has a token or a text of a user's.

Whoever logs uses the standard `logging`; `bind_contextvars` adds ids to all further lines of a task and of those it starts.
"""

import logging
import re
import sys
import traceback
from collections.abc import Collection, Iterator, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog
from structlog.contextvars import bind_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import ExcInfo, Processor

__all__ = ["WIRE", "KnownPaths", "bind_contextvars", "log_config", "named"]

WIRE = "threadcast.wire"  # the logger for errors on a connection
ID = re.compile(r"(?<=/)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(?=/|$)")  # in a path, as the application's paths have it
UNKNOWN = "(no such path)"
PROBED = {"/healthz", "/readyz", "/metrics"}  # machines ask for these every few seconds
IDS = {"user", "connection", "chat", "message", "answer", "node"}
ID_CHARACTERS = 8  # of an id that are shown to a person at a terminal
# Characters that control a terminal, or that make a line look like two lines or like another line: C0 and C1, line separators,
# and marks that change the direction of writing. And surrogates, which no encoding can write. None of them is printable.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
JSON = msgspec.json.Encoder(enc_hook=repr)
# Errors whose message is about the machine and cannot quote a user. Of all other errors only the type is logged, except at
# DEBUG: a message of a model's server, a database's driver or an agent may quote a prompt.
PLAIN = (OSError, ImportError, NameError, AttributeError)
PLAIN_MODULES = ("sqlite3", "backends.", "handlers.", "schemas.", "settings")


class KnownPaths(logging.Filter):
    """Keeps the path that uvicorn logs of a request only where it is one of the application's: any other may hold a token.

    The `root_path` that the application is below, if the request has it, is left out.
    """

    def __init__(self, paths: Collection[str], root_path: str = "") -> None:
        super().__init__()
        self._paths = paths
        self._root_path = root_path

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != "uvicorn.access" or not isinstance(record.args, tuple):
            return True
        client, method, full_path, version, status = record.args
        below = re.sub(f"^{re.escape(self._root_path)}(?=/|$)", "", str(full_path).partition("?")[0])
        path = ID.sub("{id:uuid}", below or "/")
        record.args = client, method, path if path in self._paths else UNKNOWN, version, status
        return not (path in PROBED and status == 200)


def log_config(level: str, paths: Collection[str] = (), root_path: str = "") -> dict[str, Any]:
    """The dict for `logging.config`, for stderr: our lines from `level` up, uvicorn's from INFO or higher, others' warnings.

    uvicorn's DEBUG lines are never logged, and of a connection only errors: other lines have handshakes with tokens, and
    frames. Lines are JSON unless stderr is a terminal. `paths`: only these paths of requests, below `root_path`, are shown.
    """
    quiet = logging.getLevelName(max(logging.INFO, logging.getLevelNamesMapping()[level]))
    processors = _rendering(sys.stderr.isatty(), level == "DEBUG")
    formatter = {"()": ProcessorFormatter, "foreign_pre_chain": _facts(), "processors": processors}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"known_paths": {"()": KnownPaths, "paths": frozenset(paths), "root_path": root_path}},
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["known_paths"]}},
        # Not the root logger, which belongs to the embedding program. Python's last resort prints warnings of others to stderr.
        "loggers": {
            "threadcast": {"level": level, "handlers": ["stderr"]},
            WIRE: {"level": "WARNING"},
            "uvicorn": {"level": quiet, "handlers": ["stderr"]},
            "asyncio": {"level": "WARNING", "handlers": ["stderr"]},
        },
    }


def named(error: BaseException, *, whole: bool = False) -> str:
    """The error's type, a status if it has one, and its text where that is a machine's, or all are to be told."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    for status in (getattr(error, "status_code", None), getattr(error, "sqlstate", None)):
        if isinstance(status, int | str):
            name += f" ({status})"
    is_plain = isinstance(error, PLAIN) or kind.__module__.startswith(PLAIN_MODULES)
    return f"{name}: {error}" if (whole or is_plain) and str(error) else name


def _facts() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        ExtraAdder(),
        _without_color,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _without_color(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("color_message", None)  # uvicorn's coloured copy of the line
    return event


def _rendering(terminal: bool, whole: bool) -> list[Processor]:
    def format_error(exc_info: ExcInfo) -> str:
        return "\n".join(_lines(exc_info[1], whole, set()))

    def print_error(stream: TextIO, exc_info: ExcInfo) -> None:
        stream.write("\n" + format_error(exc_info))

    last: list[Processor] = (
        [_for_people, structlog.dev.ConsoleRenderer(exception_formatter=print_error)]
        if terminal
        else [
            structlog.processors.ExceptionRenderer(format_error),
            structlog.processors.JSONRenderer(_json),
        ]
    )
    return [ProcessorFormatter.remove_processors_meta, _escaped, *last]


def _escaped(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = CONTROLS.sub(_escape, value)
    return event


def _json(event: object, **options: object) -> str:
    return msgspec.json.format(JSON.encode(event), indent=0).decode()  # with the spaces that people and greps expect


def _escape(control: re.Match[str]) -> str:
    return ascii(control[0])[1:-1]


def _for_people(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The time of the day, and ids as short as one can compare at a glance."""
    event["timestamp"] = event["timestamp"][11:19]
    event.pop("logger", None)
    for name in IDS & event.keys():
        event[name] = str(event[name])[:ID_CHARACTERS]
    return event


def _lines(error: BaseException | None, whole: bool, seen: set[int]) -> Iterator[str]:
    """A traceback as Python's, with all that led to the error, but each error's text only where `named` tells it."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    if error.__cause__ is not None:
        yield from _lines(error.__cause__, whole, seen)
        yield "\nwhich was the direct cause of this:\n"
    elif error.__context__ is not None and not error.__suppress_context__:
        yield from _lines(error.__context__, whole, seen)
        yield "\nand while that was handled, this came:\n"
    yield "Traceback (most recent call last):"
    for frame in traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__)).format():
        yield frame.rstrip("\n")
    yield CONTROLS.sub(_escape, named(error, whole=whole))  # the other lines of a traceback are code
    if isinstance(error, BaseExceptionGroup):
        for number, one in enumerate(error.exceptions, 1):
            yield f"\n{number} of {len(error.exceptions)} in it:\n"
            yield from _lines(one, whole, seen)
