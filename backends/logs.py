"""What the log looks like: one line for each event, with the ids of what it is about, and never a token.

Whoever logs uses the standard `logging`; `bind_contextvars` adds ids to all further lines of a task and of those it starts.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import Processor

__all__ = ["WithoutQuery", "bind_contextvars", "log_config"]


class WithoutQuery(logging.Filter):
    """Cuts the query string off the paths that uvicorn logs: it can hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("uvicorn") and isinstance(record.args, tuple):
            record.args = tuple(_without_query(argument) for argument in record.args)
        return True


def _without_query(argument: object) -> object:
    # Whatever it looks like: of an upgrade with an absolute URL uvicorn logs a path that begins with "http%3A//".
    return argument.partition("?")[0] if isinstance(argument, str) else argument


def log_config(level: str) -> dict[str, Any]:
    """For `logging.config`: our own lines from `level` on, uvicorn's from INFO on at most, others' warnings; all to stderr.

    Never uvicorn's DEBUG: there it logs handshakes with their headers, tokens included. JSON unless stderr is a terminal.
    """
    quiet = logging.getLevelName(max(logging.INFO, logging.getLevelNamesMapping()[level]))
    formatter = {"()": ProcessorFormatter, "foreign_pre_chain": _facts(), "processors": _rendering(sys.stderr.isatty())}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"without_query": {"()": WithoutQuery}},
        "formatters": {"line": formatter},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["without_query"]}},
        # Not on the root logger: it is the embedding program's. What others warn of reaches stderr by Python's last resort.
        "loggers": {
            "threadcast": {"level": level, "handlers": ["stderr"]},
            "uvicorn": {"level": quiet, "handlers": ["stderr"]},
        },
    }


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
    event.pop("color_message", None)  # uvicorn's, of the same line
    return event


def _rendering(terminal: bool) -> list[Processor]:
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]  # rich's would show variables
        if terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    return [ProcessorFormatter.remove_processors_meta, *last]
