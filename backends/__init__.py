"""Backends: everything that is replaced when a server grows from embedded to scaled, or changes a provider.

Each file holds an interface and its embedded implementation. `open_backends` is the only place that chooses between them,
and this file is the only one of the room that sees the settings.
"""

import traceback
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import ModuleType
from uuid import UUID

import anyio.to_thread
from starlette.datastructures import Secret

from backends.agent import Agent, OfflineAgent
from backends.agents.failures import Misconfigured
from backends.auth import Authenticator
from backends.broker import Broker, MemoryBroker
from backends.limits import MemoryQuota, MemoryRateLimit, Quota, RateLimit
from backends.metrics import Metrics
from backends.migrations import migrate_sqlite
from backends.resume import ResumeLimits
from backends.retention import erase_person
from backends.sqlite import open_sqlite
from backends.sqlite_file import sole_server, usable
from backends.storage import Committed, SchemaBehind, Storage, Unusable
from settings import Settings, SettingsError, openai_server


@dataclass(frozen=True)
class Backends:
    """All backends of a running server."""

    storage: Storage
    broker: Broker
    agent: Agent
    rate_limit: RateLimit
    connection_quota: Quota
    run_quota: Quota
    auth: Authenticator
    metrics: Metrics
    shared: bool  # other processes may serve the same database


def _postgres() -> ModuleType:
    try:
        from backends.postgres import storage
    except ModuleNotFoundError:
        raise SettingsError("THREADCAST_DATABASE_URL needs the extra: pip install 'threadcast[postgres]'") from None
    return storage


@contextmanager
def _usable_database() -> Iterator[None]:
    try:
        yield
    except SchemaBehind:
        raise SettingsError("the database's schema is behind this program: run `python server.py migrate`") from None
    except Unusable as error:
        raise SettingsError(f"the database of THREADCAST_DATABASE_URL cannot be used: {error}") from None


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the database for this process where only one may serve it. Raises SettingsError."""
    with ExitStack() as stack:
        if not settings.on_postgres:
            try:
                with _usable_database(), usable(settings.database_path):
                    stack.enter_context(sole_server(settings.database_path))
            except BlockingIOError:
                raise SettingsError(f"another server is running on {settings.database_path}") from None
        yield


async def migrate(settings: Settings) -> None:
    """Bring the database's schema up to date. Raises SettingsError when it cannot be reached."""
    with _usable_database():
        if settings.on_postgres:
            await _postgres().migrate_postgres(settings.database_url)
        else:
            with usable(settings.database_path):
                await anyio.to_thread.run_sync(migrate_sqlite, settings.database_path)


@asynccontextmanager
async def open_storage(settings: Settings, metrics: Metrics | None = None) -> AsyncIterator[Storage]:
    """The database alone: all that the command line needs. Raises SettingsError when it cannot be used.

    SQLite's schema is brought up to date. PostgreSQL's is not, which other servers may be using.
    """
    metrics = metrics or Metrics()
    committed = Committed(metrics.commit_batch_size.observe, metrics.commit_seconds.observe)
    async with AsyncExitStack() as stack:
        with _usable_database():
            if settings.on_postgres:
                storage = await stack.enter_async_context(_postgres().open_postgres(settings.database_url, committed))
            else:
                await migrate(settings)
                with usable(settings.database_path):
                    storage = await stack.enter_async_context(open_sqlite(settings.database_path, committed))
        yield storage


async def erase_user(settings: Settings, storage: Storage, user_id: UUID) -> None:
    """Leave nothing of a user in the database, and in Redis where there is one."""
    await erase_person(storage, user_id)
    if settings.broker_url.startswith("redis"):
        from backends.redis.forget import forget_user

        await forget_user(settings.broker_url, user_id)


@contextmanager
def _an_address() -> Iterator[None]:
    try:
        yield
    except Misconfigured as error:
        raise SettingsError(str(error)) from None


def open_agent(settings: Settings) -> Agent:
    """The agent of the settings. Raises SettingsError, with what to install or set, when it cannot be had."""
    if settings.agent == "offline":
        return OfflineAgent(settings.offline_words, settings.offline_delay_ms)
    if settings.ag_ui_url is not None:
        try:
            from backends.agents.ag_ui import open_remote
        except ModuleNotFoundError:
            raise SettingsError("THREADCAST_AGENT=ag-ui:... needs the extra: pip install 'threadcast[openai]'") from None
        with _an_address():
            return open_remote(settings.ag_ui_url, settings.ag_ui_headers)
    if settings.agent != "openai":
        return _own_agent(settings.agent)
    if settings.model is None:
        raise SettingsError("THREADCAST_MODEL must be set to a model's name for THREADCAST_AGENT=openai")
    if settings.system_prompt and settings.system_prompt_file:
        raise SettingsError("THREADCAST_SYSTEM_PROMPT and THREADCAST_SYSTEM_PROMPT_FILE must not both be set")
    try:
        from backends.agents.completions import Completions
        from backends.agents.openai import OpenAIAgent, Options
    except ModuleNotFoundError:
        raise SettingsError("THREADCAST_AGENT=openai needs the extra: pip install 'threadcast[openai]'") from None
    url, key = openai_server()
    with _an_address():
        server = titles = Completions(url, key, settings.model_headers)
        if settings.title_base_url or settings.title_api_key:
            headers = {} if settings.title_base_url else settings.model_headers  # perhaps keys of the other server
            titles = Completions(settings.title_base_url or url, settings.title_api_key or key, headers)
    options = Options(
        models=models_of(settings),
        title_model=None if settings.titles == "words" else settings.title_model or settings.model,
        context_chars=settings.context_chars,
        first_token_seconds=settings.first_token_seconds,
        system_prompt=settings.system_prompt or settings.system_prompt_file,
        system_role=settings.system_role,
        parameters=settings.model_parameters,
        title_prompt=settings.title_prompt,
        title_parameters=settings.title_parameters,
    )
    return OpenAIAgent(server, titles, options)


def _own_agent(name: str) -> Agent:
    from backends.agents.own import NoAgent, load_agent

    try:
        return load_agent(name)
    except NoAgent as error:
        raise SettingsError(f"THREADCAST_AGENT: {error}") from None
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        module, kind = name.partition(":")[0], type(error).__name__
        raise SettingsError(f"THREADCAST_AGENT: {module} cannot be imported: {kind}, as above") from None


def models_of(settings: Settings) -> tuple[str, ...]:
    """The models that a post may name, the one first that answers those that name none. Other agents have none."""
    if settings.agent != "openai" or settings.model is None:
        return ()
    return tuple(dict.fromkeys((settings.model, *settings.models)))


@dataclass(frozen=True)
class _Shared:
    """The backends that nodes share, besides the database."""

    broker: Broker
    rate_limit: RateLimit
    connection_quota: Quota
    run_quota: Quota


@asynccontextmanager
async def _open_shared(settings: Settings) -> AsyncIterator[_Shared]:
    limits = ResumeLimits(settings.resume_entries, settings.resume_bytes, settings.resume_seconds)
    if settings.broker_url == "memory://":
        yield _Shared(MemoryBroker(limits), MemoryRateLimit(settings.rate_limit), MemoryQuota(), MemoryQuota())
        return
    try:
        from backends.redis.limits import RedisRateLimit, open_redis_quota
        from backends.redis.link import open_pool
        from backends.redis.open import open_redis_broker
    except ModuleNotFoundError:
        raise SettingsError("THREADCAST_BROKER_URL=redis://... needs the extra: pip install 'threadcast[redis]'") from None
    try:
        pool, counting = open_pool(settings.broker_url), open_pool(settings.broker_url, 16, 1.0)
    except (ValueError, TypeError):
        raise SettingsError("THREADCAST_BROKER_URL has a part that is not understood") from None
    async with AsyncExitStack() as stack:
        try:
            broker = await stack.enter_async_context(open_redis_broker(pool, limits))
        except PermissionError:
            raise SettingsError("THREADCAST_BROKER_URL has a user or a password that Redis refuses") from None
        await stack.enter_async_context(aclosing(counting))
        connections = await stack.enter_async_context(open_redis_quota(counting, "connections"))
        runs = await stack.enter_async_context(open_redis_quota(counting, "runs"))
        yield _Shared(broker, RedisRateLimit(counting, settings.rate_limit), connections, runs)


@asynccontextmanager
async def open_backends(
    settings: Settings, secret: Secret, short_tokens: Mapping[str, str] | None = None
) -> AsyncIterator[Backends]:
    """Everything that the settings ask for, until the block ends. `short_tokens` has what may be sent in place of a token."""
    agent, metrics = open_agent(settings), Metrics()
    async with open_storage(settings, metrics) as storage, aclosing(agent), _open_shared(settings) as shared:
        yield Backends(
            storage=storage,
            broker=shared.broker,
            agent=agent,
            rate_limit=shared.rate_limit,
            connection_quota=shared.connection_quota,
            run_quota=shared.run_quota,
            auth=Authenticator(secret, storage, short_tokens),
            metrics=metrics,
            shared=settings.on_postgres,
        )
