"""The only reader of the environment. Everything else is handed a `Settings`."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from limits import parse_many
from starlette.config import Config
from starlette.datastructures import Secret

from schemas.requests import LARGEST_POST_BYTES

T = TypeVar("T")

VERSION = "0.1.0"

PREFIX = "THREADCAST_"
BYTES = "a whole number of bytes from 1024 to 1073741824"
MANY_BYTES = "a whole number of bytes from 1024 to 1099511627776"
COUNT = "a whole number from 1 to 1000000"
SECONDS = "a whole number of seconds from 1 to 3600"
MIN_SECRET_CHARACTERS = 32  # 256 bits of key for HS256, RFC 7518 section 3.2


class SettingsError(Exception):
    """A setting has a value that it may not have; the message names both."""


@dataclass(frozen=True)
class Settings:
    """How this process runs. Field names are the variables' names without `THREADCAST_`, in lower case."""

    database_url: str = field(repr=False)  # it may have a password
    broker_url: str = field(repr=False)  # and so may this
    jwt_secret: Secret | None
    host: str
    port: int
    agent: str
    rate_limit: str
    frames_per_second: int
    max_frame_bytes: int
    max_connections: int
    max_connections_per_user: int
    max_runs_per_user: int
    max_requests_per_user: int
    log_level: str
    offline_words: int | None
    offline_delay_ms: int
    model: str | None
    title_model: str | None
    context_chars: int
    flush_ms: int
    chat_bytes: int
    outbox_bytes: int
    outbox_bytes_per_user: int
    outbox_bytes_in_all: int
    resume_entries: int
    resume_bytes: int
    resume_seconds: int
    first_token_seconds: int
    between_tokens_seconds: int
    run_seconds: int
    drain_seconds: int
    ping_seconds: int
    pong_seconds: int

    @property
    def on_postgres(self) -> bool:
        """Whether the database is PostgreSQL, which several servers may share; else it is SQLite."""
        return self.database_url.startswith("postgresql")

    @property
    def is_shared(self) -> bool:
        """Whether several servers, or workers, can be one service: they hear each other and have the same chats."""
        return self.on_postgres and self.broker_url != "memory://"

    @property
    def database_path(self) -> Path:
        """The file that a SQLite URL, and no other, names: three slashes for a relative path, four for an absolute one."""
        return Path(unquote(urlsplit(self.database_url).path[1:]))


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        if not low <= int(raw) <= high:
            raise ValueError(raw)
        return int(raw)

    return parse


def _frame_bytes(raw: str) -> int:
    """A bound below the largest valid post counts as that: a post that is within its own limits would close the connection."""
    return max(_integer(1024, 2**24)(raw), LARGEST_POST_BYTES)


def _choice(*allowed: str) -> Callable[[str], str]:
    return lambda raw: allowed[allowed.index(raw)]


def _optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda raw: parse(raw) if raw else None


def _database_url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme in ("postgresql", "postgresql+asyncpg"):
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        named = all(host.hostname for host in hosts) or "host" in parse_qs(parts.query)
        at_a_host = named and all(host.port != 0 for host in hosts)  # a bad port is a ValueError
        if not at_a_host or parts.path in ("", "/") or parts.fragment:
            raise ValueError(raw)
        return raw
    named = parts.path[1:] not in ("", ":memory:") and not (parts.netloc or parts.query or parts.fragment)
    if parts.scheme not in ("sqlite", "sqlite+aiosqlite") or not named:
        raise ValueError(raw)
    return raw


def _broker_url(raw: str) -> str:
    parts = urlsplit(raw)
    at = {"redis": parts.hostname, "rediss": parts.hostname, "unix": parts.path}.get(parts.scheme)
    database = parts.path[1:] if parts.scheme != "unix" else ""
    if raw != "memory://" and (not at or parts.port == 0 or parts.fragment or not (database == "" or database.isdecimal())):
        raise ValueError("no broker")
    return raw


def _rate(raw: str) -> str:
    (only_one,) = parse_many(raw)
    if only_one.amount < 1:
        raise ValueError(raw)
    return raw


def _secret(raw: str) -> Secret:
    if len(raw) < MIN_SECRET_CHARACTERS:
        raise ValueError("too short")
    return Secret(raw)


def _text(raw: str) -> str:
    if not raw:
        raise ValueError("empty")
    return raw


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `THREADCAST_*` from `environ`. Raises SettingsError, which never quotes a value: it could be a secret."""
    config = Config(environ=environ, env_prefix=PREFIX)

    def read(name: str, default: str, parse: Callable[[str], T], allowed: str) -> T:
        try:
            return parse(config(name, default="") or default)  # set but empty is as good as not set
        except ValueError:
            raise SettingsError(f"{PREFIX}{name} must be {allowed}") from None

    return Settings(
        database_url=read(
            "DATABASE_URL",
            "sqlite+aiosqlite:///var/threadcast.db",
            _database_url,
            "sqlite+aiosqlite:///relative/file, sqlite+aiosqlite:////absolute/file or postgresql+asyncpg://user@host/database",
        ),
        broker_url=read(
            "BROKER_URL",
            "memory://",
            _broker_url,
            "memory://, redis://host:port/number, rediss://... or unix:///path/of/a/socket",
        ),
        jwt_secret=read("JWT_SECRET", "", _optional(_secret), f"at least {MIN_SECRET_CHARACTERS} characters long"),
        host=read("HOST", "127.0.0.1", _text, "an address or a host name"),
        port=read("PORT", "8000", _integer(0, 65535), "a whole number from 0 to 65535"),
        agent=read("AGENT", "offline", _choice("offline", "openai"), "offline or openai"),
        rate_limit=read("RATE_LIMIT", "60/minute", _rate, "a rate such as 60/minute or 5/second"),
        frames_per_second=read("FRAMES_PER_SECOND", "100", _integer(1, 1_000_000), COUNT),
        max_frame_bytes=read("MAX_FRAME_BYTES", "524288", _frame_bytes, "a whole number of bytes from 1024 to 16777216"),
        max_connections=read("MAX_CONNECTIONS", "10000", _integer(1, 1_000_000), COUNT),
        max_connections_per_user=read("MAX_CONNECTIONS_PER_USER", "20", _integer(1, 1_000_000), COUNT),
        max_runs_per_user=read("MAX_RUNS_PER_USER", "8", _integer(1, 1_000_000), COUNT),
        # Three at once of each of 20 connections, as after a restart: the list, the chat that is open, and one to spare.
        max_requests_per_user=read("MAX_REQUESTS_PER_USER", "60", _integer(1, 1_000_000), COUNT),
        log_level=read("LOG_LEVEL", "INFO", _choice("DEBUG", "INFO", "WARNING", "ERROR"), "DEBUG, INFO, WARNING or ERROR"),
        offline_words=read(
            "OFFLINE_WORDS", "", _optional(_integer(1, 1_000_000)), "a whole number from 1 to 1000000, or empty"
        ),
        offline_delay_ms=read("OFFLINE_DELAY_MS", "20", _integer(0, 60_000), "a whole number of milliseconds from 0 to 60000"),
        model=read("MODEL", "", _optional(_text), "a model's name"),
        title_model=read("TITLE_MODEL", "", _optional(_text), "a model's name"),
        context_chars=read(
            "CONTEXT_CHARS", "100000", _integer(1000, 10_000_000), "a whole number of characters from 1000 to 10000000"
        ),
        flush_ms=read("FLUSH_MS", "10", _integer(0, 1000), "a whole number of milliseconds from 0 to 1000"),
        # A quarter of what may wait for a user by default: the end of an answer is told twice, as a text and in its chat.
        chat_bytes=read("CHAT_BYTES", "16777216", _integer(2**20, 2**30), "a whole number of bytes from 1048576 to 1073741824"),
        outbox_bytes=read("OUTBOX_BYTES", "1048576", _integer(1024, 2**30), BYTES),
        # Twenty connections as far behind as they may be, and the end of an answer of 20 MB twice: as a text and in its chat.
        outbox_bytes_per_user=read("OUTBOX_BYTES_PER_USER", "67108864", _integer(1024, 2**30), BYTES),
        # A quarter of a container of 1 GiB.
        outbox_bytes_in_all=read("OUTBOX_BYTES_IN_ALL", "268435456", _integer(1024, 2**40), MANY_BYTES),
        resume_entries=read("RESUME_ENTRIES", "1000", _integer(1, 1_000_000), COUNT),
        resume_bytes=read("RESUME_BYTES", "1048576", _integer(1024, 2**30), BYTES),
        resume_seconds=read("RESUME_SECONDS", "120", _integer(1, 86_400), "a whole number of seconds from 1 to 86400"),
        first_token_seconds=read("FIRST_TOKEN_SECONDS", "30", _integer(1, 3600), SECONDS),
        between_tokens_seconds=read("BETWEEN_TOKENS_SECONDS", "30", _integer(1, 3600), SECONDS),
        run_seconds=read("RUN_SECONDS", "600", _integer(1, 86_400), "a whole number of seconds from 1 to 86400"),
        drain_seconds=read("DRAIN_SECONDS", "20", _integer(0, 3600), "a whole number of seconds from 0 to 3600"),
        ping_seconds=read("PING_SECONDS", "15", _integer(1, 3600), SECONDS),
        pong_seconds=read("PONG_SECONDS", "10", _integer(1, 3600), SECONDS),
    )
