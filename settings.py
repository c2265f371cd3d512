"""The only reader of the environment. Everything else is handed a `Settings`, whose fields are the table of all settings."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit

from limits import parse_many
from starlette.config import Config
from starlette.datastructures import Secret

from schemas.requests import LARGEST_POST_BYTES

T = TypeVar("T")

VERSION = "0.1.0"

PREFIX = "THREADCAST_"
MIN_SECRET_CHARACTERS = 32  # HS256 needs a key of 256 bits, RFC 7518 section 3.2
MIB = 2**20
ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d+)?")  # as browsers write it
ROOT_PATH = re.compile(r"(?!/api(/|$))(/[\w~-][\w.~-]*)*", re.ASCII)


class SettingsError(Exception):
    """A setting has a value that it may not have; the message names both."""


class Parser(NamedTuple, Generic[T]):
    """A kind of value: `read` turns a text into one or raises ValueError, `allowed` says what is allowed, after "must be"."""

    read: Callable[[str], T]
    allowed: str


class Setting(NamedTuple):
    """A setting as its documentation has it. `shown` stands for the default where that is empty."""

    default: str
    parser: Parser[object]
    meaning: str
    shown: str


def _setting(default: object, parser: Parser[T], meaning: str, shown: str = "none", secret: bool = False) -> T:
    row = Setting(str(default), cast(Parser[object], parser), meaning, shown)
    return cast(T, field(metadata={"row": row}, repr=not secret))


def _whole(low: int, high: int, of: str = "") -> Parser[int]:
    def read(raw: str) -> int:
        if not low <= int(raw) <= high:
            raise ValueError(raw)
        return int(raw)

    return Parser(read, f"a whole number{of and ' of '}{of} from {low} to {high}")


def _choice(*allowed: str) -> Parser[str]:
    words = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
    return Parser(lambda raw: allowed[allowed.index(raw)], words)


def _optional(parser: Parser[T], allowed: str = "") -> Parser[T | None]:
    return Parser(lambda raw: parser.read(raw) if raw else None, allowed or parser.allowed)


def _frame_bytes(raw: str) -> int:
    """A bound below the largest valid post counts as that: a post that is within its own limits would close the connection."""
    return max(_whole(1024, 16 * MIB).read(raw), LARGEST_POST_BYTES)


def _database_url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme in ("postgresql", "postgresql+asyncpg"):
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        named = all(host.hostname for host in hosts) or "host" in parse_qs(parts.query)
        at_a_host = named and all(host.port != 0 for host in hosts)  # `port` raises ValueError for a bad one
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


def _names(raw: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in raw.split(",")) if raw else ()
    if not all(names):
        raise ValueError(raw)
    return names


def _json_object(raw: str) -> dict[str, Any]:
    found = json.loads(raw or "{}")
    if not isinstance(found, dict) or found.keys() & OURS:
        raise ValueError("no parameters")
    return found


def _headers(raw: str) -> dict[str, str]:
    found = json.loads(raw or "{}")
    if not isinstance(found, dict):
        raise ValueError("no headers")
    for name, value in found.items():
        if not isinstance(value, str) or not (name and name.isascii() and value.isascii() and (name + value).isprintable()):
            raise ValueError("no header")
    return found


def _agent(raw: str) -> str:
    module, colon, path = raw.partition(":")
    is_name = colon and all(part.isidentifier() for part in (*module.split("."), *path.split(".")))
    if raw.startswith(AG_UI):
        if "@" in urlsplit(_url(raw.removeprefix(AG_UI))).netloc:
            raise ValueError("a password")
    elif raw not in ("offline", "openai") and not is_name:
        raise ValueError(raw)
    return raw


def _file(raw: str) -> str:
    try:
        return _text(Path(raw).read_text(encoding="utf-8").strip())
    except OSError:
        raise ValueError("not readable") from None


def _origins(raw: str) -> tuple[str, ...]:
    origins = _names(raw)
    for origin in origins:
        if origin != "*" and not ORIGIN.fullmatch(_url(origin)):
            raise ValueError(origin)
    if "*" in origins and len(origins) > 1:
        raise ValueError(raw)
    return origins


def _named_origins(raw: str) -> tuple[str, ...]:
    if "*" in (origins := _origins(raw)):
        raise ValueError("all of them")
    return origins


def _root_path(raw: str) -> str:
    if not ROOT_PATH.fullmatch(raw):
        raise ValueError(raw)
    return raw


def _login_url(raw: str) -> str:
    if not (raw.isascii() and raw.isprintable()) or " " in raw or "@" in urlsplit(_url(raw)).netloc:
        raise ValueError("no page for everybody")
    return raw


def _url(raw: str) -> str:
    parts = urlsplit(raw)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or parts.fragment:
        raise ValueError("no address")
    return raw


OURS = {"messages", "stream", "model"}  # of a request to a model: what no parameter may change
PARAMETERS = Parser(_json_object, f"a JSON object without {', '.join(sorted(OURS))}")
HEADERS = Parser(_headers, "a JSON object of header names and texts")
AG_UI = "ag-ui:"  # what stands before the address of an agent that speaks AG-UI
AGENT = Parser(
    _agent,
    "offline or openai, ag-ui:https://host/path (what lets you in belongs into THREADCAST_AG_UI_HEADERS), or the name of an "
    "agent of your own, such as package.module:object",
)
URL = Parser(_url, "an address such as http://127.0.0.1:8080/v1")
OPENAI_URL = "https://api.openai.com/v1"

DATABASE_URL = Parser(
    _database_url,
    "sqlite+aiosqlite:///relative/file, sqlite+aiosqlite:////absolute/file or postgresql+asyncpg://user@host/database",
)
BROKER_URL = Parser(_broker_url, "memory://, redis://host:port/number, rediss://... or unix:///path/of/a/socket")
SECRET = Parser(_secret, f"at least {MIN_SECRET_CHARACTERS} characters long")
RATE = Parser(_rate, "a rate such as 60/minute or 5/second")
HOST = Parser(_text, "an address or a host name")
MODEL = _optional(Parser(_text, "a model's name"))
TEXT = _optional(Parser(_text, "a text"))
COUNT = _whole(1, 1_000_000)
WORDS = _optional(COUNT, f"{COUNT.allowed}, or empty")
BYTES = _whole(1024, 2**30, "bytes")
SECONDS = _whole(1, 3600, "seconds")
DAY = _whole(1, 86_400, "seconds")


@dataclass(frozen=True)
class Settings:
    """All settings of a process. A field has its variable's name without `THREADCAST_`, in lower case."""

    broker_url: str = _setting(
        "memory://",
        BROKER_URL,
        "what several servers hear each other by: `redis://user:password@host:port/number` (another number is another "
        "service), "
        "`rediss://` or `unix:///path`; needs the extra `redis`",
        secret=True,
    )
    database_url: str = _setting(
        "sqlite+aiosqlite:///var/threadcast.db",
        DATABASE_URL,
        "three slashes for a relative path, four for an absolute one; or `postgresql+asyncpg://user:password@host/database`, "
        "with `?sslmode=` and the like as libpq has them, and of several hosts (`host1:5432,host2:5432`) the one that "
        "takes writes",
        secret=True,
    )
    jwt_secret: Secret | None = _setting(
        "", _optional(SECRET), "signs tokens, at least 32 characters", "none; required without `--dev`"
    )
    host: str = _setting("127.0.0.1", HOST, "where to listen")
    port: int = _setting(8000, _whole(0, 65535), "0 takes a free port")
    root_path: str = _setting(
        "",
        Parser(
            _root_path,
            "a path such as /chat: it begins with /, does not end with one, has only letters, digits and - . _ ~, and is not "
            "below /api, where the server's own paths are",
        ),
        "the path below which a proxy shows all of the server, such as `/chat`; the proxy may strip it or pass it on",
    )
    agent: str = _setting(
        "offline",
        AGENT,
        "what answers: `offline` is built in, needs no network, and says only what the server has; `openai` is a model; "
        "`package.module:object` is an agent of your own; `ag-ui:https://...` is one that speaks AG-UI",
        secret=True,
    )
    ag_ui_headers: dict[str, str] = _setting(
        "", HEADERS, 'HTTP headers of a request to an agent over AG-UI, such as `{"Authorization": "Bearer ..."}`', secret=True
    )
    model: str | None = _setting("", MODEL, "the model's name", "none; required for `openai`")
    title_model: str | None = _setting("", MODEL, "the model that makes the titles", "`THREADCAST_MODEL`")
    models: tuple[str, ...] = _setting(
        "",
        Parser(_names, "names of models with commas between them"),
        "further models, with commas between them: a post may name one of them, or the first, as its `model`",
    )
    system_prompt: str | None = _setting("", TEXT, "what the model is told to be", "an assistant; of a data team, with assets")
    system_prompt_file: str | None = _setting(
        "", _optional(Parser(_file, "a text file in UTF-8 that can be read and is not empty")), "a file that has it"
    )
    system_role: str = _setting(
        "system",
        _choice("system", "developer", "none"),
        "who says so; `none`, for models that know no system: it stands before the first question",
    )
    model_parameters: dict[str, Any] = _setting(
        "", PARAMETERS, 'what else a request to the model has, such as `{"temperature": 0.2}`'
    )
    model_headers: dict[str, str] = _setting(
        "", HEADERS, 'HTTP headers of a request to the model, such as `{"X-Team": "data"}`', secret=True
    )
    titles: str = _setting(
        "model", _choice("model", "words"), "who makes titles: the model, or nobody, and a title is the prompt's first words"
    )
    title_prompt: str | None = _setting("", TEXT, "what the model is told of titles", "at most eight words")
    title_parameters: dict[str, Any] = _setting("", PARAMETERS, "what else a request for a title has")
    title_base_url: str | None = _setting("", _optional(URL), "the server that makes titles", "`OPENAI_BASE_URL`", secret=True)
    title_api_key: str | None = _setting("", TEXT, "its key", "`OPENAI_API_KEY`", secret=True)
    context_chars: int = _setting(
        100_000,
        _whole(1000, 10_000_000, "characters"),
        "characters that a model gets of definitions and earlier turns; the oldest turns are left out first, assets never",
    )
    first_token_seconds: int = _setting(
        120, SECONDS, "how long an agent may take to begin; each sign of life begins this time anew"
    )
    between_tokens_seconds: int = _setting(30, SECONDS, "how long it may pause")
    run_seconds: int = _setting(600, DAY, "how long it may take altogether")
    deleted_days: int = _setting(
        30, _whole(0, 36_500, "days"), "how long a deleted chat is kept, where nobody sees it, before it is erased"
    )
    offline_words: int | None = _setting("", WORDS, "the offline agent's answer has exactly so many words")
    offline_delay_ms: int = _setting(20, _whole(0, 60_000, "milliseconds"), "the offline agent's pause before each chunk")
    flush_ms: int = _setting(
        10,
        _whole(0, 1000, "milliseconds"),
        "for so long deltas of one text are gathered and sent as one; 0 sends each by itself",
    )
    chat_bytes: int = _setting(
        16 * MIB,
        _whole(MIB, 2**30, "bytes"),
        "what the messages of a chat may have, as JSON in UTF-8 and 512 bytes for each; a post that finds no room is a "
        "`BAD_REQUEST`, and an answer that fills the chat ends there",
    )
    outbox_bytes: int = _setting(
        MIB,
        BYTES,
        "what may wait for a connection behind the frame that is being sent; past it, one that takes nothing for a second is "
        "closed with 4008",
    )
    outbox_bytes_per_user: int = _setting(64 * MIB, BYTES, "what may wait for all of a user's connections to one process")
    outbox_bytes_in_all: int = _setting(256 * MIB, _whole(1024, 2**40, "bytes"), "the same for all users of one process")
    resume_entries: int = _setting(
        1000,
        COUNT,
        "frames that are kept per user for connections that resume; past it, old deltas are joined, then forgotten; in "
        "Redis the "
        "oldest are forgotten",
    )
    resume_bytes: int = _setting(MIB, BYTES, "the same in bytes")
    resume_seconds: int = _setting(120, DAY, "for so long they are kept after the user's last connection has gone")
    rate_limit: str = _setting(
        "60/minute",
        RATE,
        "posts per user, on all servers that share a Redis; one that is a `BAD_REQUEST` or is refused by this limit "
        "does not count",
    )
    frames_per_second: int = _setting(100, COUNT, "frames that one connection may send; one that is too many is refused")
    max_connections: int = _setting(
        10_000,
        COUNT,
        "of all users, and at most one for every second file descriptor (`ulimit -n`); the next upgrade is refused with 503",
    )
    max_connections_per_user: int = _setting(20, COUNT, "on all servers that share a Redis; the next is closed with 4029")
    max_runs_per_user: int = _setting(
        8, COUNT, "posts of a user that may be answered or wait at once, on all servers that share a Redis"
    )
    max_requests_per_user: int = _setting(
        60,
        COUNT,
        "requests of a user, over sockets and HTTP, that one process may have open beside "
        "`THREADCAST_MAX_RUNS_PER_USER` posts; "
        "the next is refused with `TOO_MANY_REQUESTS`",
    )
    max_frame_bytes: int = _setting(
        512 * 1024,
        Parser(_frame_bytes, _whole(1024, 16 * MIB, "bytes").allowed),
        f"the largest frame, or body over HTTP, that a client may send; less than {LARGEST_POST_BYTES} counts as "
        f"{LARGEST_POST_BYTES}, which is the largest valid post",
    )
    drain_seconds: int = _setting(20, _whole(0, 3600, "seconds"), "how long runs may go on when the server is told to stop")
    ping_seconds: int = _setting(
        15,
        SECONDS,
        "how often a connection is pinged; and after how long a connection with `since` that got no frame gets a heartbeat",
    )
    pong_seconds: int = _setting(10, SECONDS, "how long it may take to answer; then it is closed with 1011")
    cors_origins: tuple[str, ...] = _setting(
        "",
        Parser(_origins, "origins such as https://app.example with commas between them, or *"),
        "the origins, with commas between them, whose pages may call `/api/v1` over HTTP, or `*` for all",
        "none",
    )
    frame_ancestors: tuple[str, ...] = _setting(
        "",
        Parser(_named_origins, "origins such as https://app.example with commas between them"),
        "the origins, with commas between them, whose pages may have the page in a frame",
    )
    login_url: str | None = _setting(
        "",
        _optional(Parser(_login_url, "an address such as https://app.example/login, without a user and without #")),
        "where people sign in: the page sends them there with `return_to`; see [page.md](page.md)",
        "none: the page asks for a token",
    )
    log_level: str = _setting("INFO", _choice("DEBUG", "INFO", "WARNING", "ERROR"), "the log has no lines below this level")

    @property
    def on_postgres(self) -> bool:
        """Whether the database is PostgreSQL, which several servers may share; else it is SQLite."""
        return self.database_url.startswith("postgresql")

    @property
    def is_shared(self) -> bool:
        """Whether several servers, or workers, can be one service: they hear each other and have the same chats."""
        return self.on_postgres and self.broker_url != "memory://"

    @property
    def ag_ui_url(self) -> str | None:
        """Where the agent is that speaks AG-UI; None for any other."""
        return self.agent.removeprefix(AG_UI) if self.agent.startswith(AG_UI) else None

    @property
    def database_path(self) -> Path:
        """The file that a SQLite URL, and no other, names: three slashes for a relative path, four for an absolute one."""
        return Path(unquote(urlsplit(self.database_url).path[1:]))


def openai_server(environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """The address and the key of the model's server, in the variables that OpenAI's own client has. Raises SettingsError."""
    try:
        url = URL.read(environ.get("OPENAI_BASE_URL") or OPENAI_URL)
    except ValueError:
        raise SettingsError(f"OPENAI_BASE_URL must be {URL.allowed}") from None
    key = environ.get("OPENAI_API_KEY")
    if not key:
        raise SettingsError("OPENAI_API_KEY must be set; a server that needs no key takes any")
    return url, key


def rows() -> Iterator[tuple[str, Setting]]:
    """All settings: each variable's name without the prefix, and what there is to know of it."""
    return ((_name(each), each.metadata["row"]) for each in fields(Settings))


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read `THREADCAST_*` from `environ`. Raises SettingsError, which never quotes a value: it could be a secret."""
    config = Config(environ=environ, env_prefix=PREFIX)
    values: dict[str, Any] = {}
    for name, row in rows():
        try:
            values[name.lower()] = row.parser.read(config(name, default="") or row.default)  # an empty variable counts as unset
        except ValueError:
            raise SettingsError(f"{PREFIX}{name} must be {row.parser.allowed}") from None
    return Settings(**values)


def unknown(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """A warning for each `THREADCAST_*` variable that is no setting."""
    names = [PREFIX + name for name, _ in rows()]
    for name in sorted(environ.keys() - set(names)):
        if name.startswith(PREFIX):
            nearest = get_close_matches(name, names, 1, 0)
            yield f"{name} is no setting, so it changes nothing; the nearest one is {nearest[0]}"


def _name(setting: "Field[object]") -> str:
    return setting.name.upper()
