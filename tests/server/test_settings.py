"""Settings: what is allowed, and that what is not stops the start by name, without quoting what could be a secret."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from settings import Settings, SettingsError, load_settings, unknown
from tests.programs.settings_table import PAGE, page

SECRET = "s" * 32


def test_the_defaults_are_those_of_the_readme() -> None:
    settings = load_settings({})
    assert settings == Settings(
        database_url="sqlite+aiosqlite:///var/threadcast.db",
        broker_url="memory://",
        jwt_secret=None,
        host="127.0.0.1",
        port=8000,
        root_path="",
        agent="offline",
        rate_limit="60/minute",
        frames_per_second=100,
        max_frame_bytes=524_288,
        max_connections=10_000,
        max_connections_per_user=20,
        max_runs_per_user=8,
        max_requests_per_user=60,
        log_level="INFO",
        cors_origins=(),
        frame_ancestors=(),
        login_url=None,
        deleted_days=30,
        offline_words=None,
        offline_delay_ms=20,
        model=None,
        title_model=None,
        models=(),
        system_prompt=None,
        system_prompt_file=None,
        system_role="system",
        model_parameters={},
        model_headers={},
        ag_ui_headers={},
        titles="model",
        title_prompt=None,
        title_parameters={},
        title_base_url=None,
        title_api_key=None,
        context_chars=100_000,
        flush_ms=10,
        chat_bytes=16_777_216,
        outbox_bytes=1_048_576,
        outbox_bytes_per_user=67_108_864,
        outbox_bytes_in_all=268_435_456,
        resume_entries=1000,
        resume_bytes=1_048_576,
        resume_seconds=120,
        first_token_seconds=120,
        between_tokens_seconds=30,
        run_seconds=600,
        drain_seconds=20,
        ping_seconds=15,
        pong_seconds=10,
    )


def test_the_page_has_the_table_of_all_settings() -> None:
    assert PAGE.read_text() == page(PAGE.read_text())


def test_a_variable_that_is_no_setting_is_named_with_the_nearest_one_and_not_with_its_value() -> None:
    environ = {"THREADCAST_PROT": "secret", "THREADCAST_MAX_CONNECTION": "1", "THREADCAST_PORT": "1", "PATH": "/"}
    assert list(unknown(environ)) == [
        "THREADCAST_MAX_CONNECTION is no setting, so it changes nothing; the nearest one is THREADCAST_MAX_CONNECTIONS",
        "THREADCAST_PROT is no setting, so it changes nothing; the nearest one is THREADCAST_PORT",
    ]


def test_an_empty_value_counts_as_not_set() -> None:
    assert load_settings({f"THREADCAST_{field.name.upper()}": "" for field in fields(Settings)}) == load_settings({})


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("PORT", "0", 0),
        ("PORT", "65535", 65535),
        ("HOST", "::1", "::1"),
        ("AGENT", "openai", "openai"),
        ("AGENT", "ag-ui:http://127.0.0.1:8002/", "ag-ui:http://127.0.0.1:8002/"),
        ("AGENT", "ag-ui:https://agent.example/run?v=1", "ag-ui:https://agent.example/run?v=1"),
        ("AG_UI_HEADERS", '{"x-key": "s3cret"}', {"x-key": "s3cret"}),
        ("RATE_LIMIT", "5 per second", "5 per second"),
        ("MAX_FRAME_BYTES", "1024", 400_384),
        ("MAX_FRAME_BYTES", "400385", 400_385),
        ("LOG_LEVEL", "DEBUG", "DEBUG"),
        ("OFFLINE_WORDS", "1", 1),
        ("OFFLINE_DELAY_MS", "0", 0),
        ("MODEL", "gpt", "gpt"),
        ("ROOT_PATH", "/chat", "/chat"),
        ("ROOT_PATH", "/a-b/c_d.e~f/7", "/a-b/c_d.e~f/7"),
        ("ROOT_PATH", "/apis", "/apis"),
        ("CORS_ORIGINS", "https://[::1]:1, http://a-b.example", ("https://[::1]:1", "http://a-b.example")),
        ("FRAME_ANCESTORS", "https://app.example, http://localhost:1", ("https://app.example", "http://localhost:1")),
        ("LOGIN_URL", "https://app.example/login?x=1&y=%20'\"<", "https://app.example/login?x=1&y=%20'\"<"),
        ("DATABASE_URL", "sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
        ("BROKER_URL", "memory://", "memory://"),
        ("BROKER_URL", "redis://host", "redis://host"),
        ("BROKER_URL", "rediss://user:password@host:6380/3", "rediss://user:password@host:6380/3"),
        ("BROKER_URL", "unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("DATABASE_URL", "postgresql://user:p@host:1/db?sslmode=require", "postgresql://user:p@host:1/db?sslmode=require"),
        ("DATABASE_URL", "postgresql+asyncpg://user@/db?host=/run/x", "postgresql+asyncpg://user@/db?host=/run/x"),
        ("DATABASE_URL", "postgresql://user:p@a:1,b:2/db", "postgresql://user:p@a:1,b:2/db"),
    ],
)
def test_a_good_value_is_taken(name: str, raw: str, value: Any) -> None:
    assert getattr(load_settings({f"THREADCAST_{name}": raw}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "raw", "allowed"),
    [
        ("JWT_SECRET", "s" * 31, "at least 32 characters"),
        ("PORT", "65536", "from 0 to 65535"),
        ("PORT", "-1", "from 0 to 65535"),
        ("PORT", "eighty", "from 0 to 65535"),
        ("ROOT_PATH", "chat", "a path such as /chat"),
        ("ROOT_PATH", "/chat/", "does not end with one"),
        ("ROOT_PATH", "/", "does not end with one"),
        ("ROOT_PATH", "//chat", "a path such as /chat"),
        ("ROOT_PATH", "/a/../b", "a path such as /chat"),
        ("ROOT_PATH", "/chät", "only letters, digits"),
        ("ROOT_PATH", "/chat\n", "only letters, digits"),
        ("ROOT_PATH", "/%63hat", "only letters, digits"),
        ("ROOT_PATH", "/api", "not below /api"),
        ("ROOT_PATH", "/api/v1", "not below /api"),
        ("CORS_ORIGINS", "https://App.example", "origins such as https://app.example"),
        ("FRAME_ANCESTORS", "*", "origins such as https://app.example"),
        ("FRAME_ANCESTORS", "https://app.example/", "origins such as https://app.example"),
        ("FRAME_ANCESTORS", "https://user:password@app.example", "origins such as https://app.example"),
        ("FRAME_ANCESTORS", "https://app.example; script-src *", "origins such as https://app.example"),
        ("FRAME_ANCESTORS", "'self'", "origins such as https://app.example"),
        ("LOGIN_URL", "/login", "an address such as https://app.example/login"),
        ("LOGIN_URL", "javascript:alert(1)", "an address such as https://app.example/login"),
        ("LOGIN_URL", "https://user:password@app.example/", "without a user"),
        ("LOGIN_URL", "https://app.example/#x", "without #"),
        ("LOGIN_URL", "https://app.example/\nlogin", "an address such as https://app.example/login"),
        ("LOGIN_URL", "https://app.example/lo gin", "an address such as https://app.example/login"),
        ("AGENT", "oracle", "offline or openai"),
        ("AGENT", "ag-ui:", "ag-ui:https://host/path"),
        ("AGENT", "ag-ui:ws://agent.example/", "ag-ui:https://host/path"),
        ("AGENT", "ag-ui:https://", "ag-ui:https://host/path"),
        ("AGENT", "ag-ui:https://agent.example/#x", "ag-ui:https://host/path"),
        ("AGENT", "ag-ui:https://user:password@agent.example/", "belongs into THREADCAST_AG_UI_HEADERS"),
        ("AG_UI_HEADERS", '{"x-password": 1}', "a JSON object of header names and texts"),
        ("RATE_LIMIT", "often", "60/minute"),
        ("RATE_LIMIT", "0/minute", "60/minute"),
        ("DATABASE_URL", "sqlite:///a#b.db", "sqlite+aiosqlite:///"),
        ("RATE_LIMIT", "1/second;5/minute", "60/minute"),
        ("MAX_FRAME_BYTES", "1023", "from 1024"),
        ("LOG_LEVEL", "info", "DEBUG, INFO, WARNING or ERROR"),
        ("OFFLINE_WORDS", "0", "from 1"),
        ("OFFLINE_DELAY_MS", "1.5", "whole number of milliseconds"),
        ("CONTEXT_CHARS", "999", "from 1000"),
        ("FLUSH_MS", "1001", "from 0 to 1000"),
        ("FIRST_TOKEN_SECONDS", "0", "from 1 to 3600"),
        ("BETWEEN_TOKENS_SECONDS", "3601", "from 1 to 3600"),
        ("RUN_SECONDS", "x", "from 1 to 86400"),
        ("DRAIN_SECONDS", "-1", "from 0 to 3600"),
        ("PING_SECONDS", "0", "from 1 to 3600"),
        ("PONG_SECONDS", "0", "from 1 to 3600"),
        ("FRAMES_PER_SECOND", "0", "from 1 to 1000000"),
        ("MAX_CONNECTIONS", "0", "from 1 to 1000000"),
        ("MAX_CONNECTIONS_PER_USER", "0", "from 1 to 1000000"),
        ("MAX_RUNS_PER_USER", "0", "from 1 to 1000000"),
        ("MAX_REQUESTS_PER_USER", "0", "from 1 to 1000000"),
        ("CHAT_BYTES", "1048575", "from 1048576 to 1073741824"),
        ("BROKER_URL", "redis://:password@", "redis://host:port"),
        ("BROKER_URL", "redis://user:password@host:port/0", "redis://host:port"),
        ("BROKER_URL", "redis://:password@host/zero", "redis://host:port"),
        ("BROKER_URL", "redis://:pass#word@host/0", "redis://host:port"),
        ("BROKER_URL", "kafka://:password@host", "memory://"),
        ("BROKER_URL", "redis://[password", "memory://"),
        ("BROKER_URL", "host:6379", "memory://"),
        ("DATABASE_URL", "postgresql://user:password@host", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgresql://user:password@host/", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgresql://user:password@host:port/db", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgresql://user:pass#word@password/db", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgresql:///db", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgresql://user:password@a:1,b:port/db", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgresql://user:password@a:1,/db", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgresql+psycopg://user:password@host/db", "postgresql+asyncpg://"),
        ("DATABASE_URL", "postgresql://[user:password@host/db", "postgresql+asyncpg://"),
        ("DATABASE_URL", "sqlite+aiosqlite://", "sqlite+aiosqlite:///"),
        ("DATABASE_URL", "sqlite+aiosqlite:///:memory:", "sqlite+aiosqlite:///"),
        ("DATABASE_URL", "sqlite+aiosqlite:///x.db?mode=ro", "sqlite+aiosqlite:///"),
    ],
)
def test_a_bad_value_is_refused_by_its_name_and_not_quoted(name: str, raw: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({f"THREADCAST_{name}": raw})
    assert str(refused.value).startswith(f"THREADCAST_{name} must be ")
    assert allowed in str(refused.value)
    assert "password" not in str(refused.value)
    assert "sss" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_the_secret_does_not_show() -> None:
    settings = load_settings({"THREADCAST_JWT_SECRET": SECRET})
    assert str(settings.jwt_secret) == SECRET
    assert SECRET not in repr(settings)
    assert "password" not in repr(load_settings({"THREADCAST_BROKER_URL": "redis://:password@host"}))
    url = "postgresql://user:password@host/db"
    assert "password" not in repr(load_settings({"THREADCAST_DATABASE_URL": url}))


def test_the_database_is_one_of_two() -> None:
    assert load_settings({"THREADCAST_DATABASE_URL": "postgresql://user@host/db"}).on_postgres
    assert load_settings({"THREADCAST_DATABASE_URL": "postgresql+asyncpg://user@host/db"}).on_postgres
    assert not load_settings({}).on_postgres


def test_three_slashes_are_a_relative_path_and_four_an_absolute_one() -> None:
    assert load_settings({"THREADCAST_DATABASE_URL": "sqlite+aiosqlite:///a/b.db"}).database_path == Path("a/b.db")
    assert load_settings({"THREADCAST_DATABASE_URL": "sqlite+aiosqlite:////a/b.db"}).database_path == Path("/a/b.db")
    assert load_settings({"THREADCAST_DATABASE_URL": "sqlite:////my%20folder/b.db"}).database_path == Path("/my folder/b.db")
