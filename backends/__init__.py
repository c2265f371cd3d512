"""With what: everything that is replaced when going from embedded to scaled, or from one provider to another.

Each file holds an interface and its embedded implementation. `open_backends` is the only place that chooses, and this file
the only one in here that sees the settings.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import anyio.to_thread
from starlette.datastructures import Secret

from backends.agent import Agent, AgentUnavailable, OfflineAgent
from backends.auth import Authenticator
from backends.broker import Broker, MemoryBroker
from backends.limits import MemoryRateLimit, RateLimit
from backends.metrics import Metrics
from backends.migrations import migrate_sqlite
from backends.resume import ResumeLimits
from backends.storage import Storage, open_sqlite
from settings import Settings, SettingsError


@dataclass(frozen=True)
class Backends:
    """What the handlers work with."""

    storage: Storage
    broker: Broker
    agent: Agent
    rate_limit: RateLimit
    auth: Authenticator
    metrics: Metrics


@asynccontextmanager
async def open_storage(settings: Settings, metrics: Metrics | None = None) -> AsyncIterator[Storage]:
    """The database alone, its schema up to date: all that the command line needs."""
    await anyio.to_thread.run_sync(migrate_sqlite, settings.database_path)
    async with open_sqlite(settings.database_path, (metrics or Metrics()).committed) as storage:
        yield storage


def open_agent(settings: Settings) -> Agent:
    """The agent of the settings. Raises SettingsError, with what to install or set, when it cannot be had."""
    if settings.agent == "offline":
        return OfflineAgent(settings.offline_words, settings.offline_delay_ms)
    if settings.model is None:
        raise SettingsError("THREADCAST_MODEL must be set to a model's name for THREADCAST_AGENT=openai")
    try:
        from backends.openai import OpenAIAgent
    except ModuleNotFoundError:
        raise SettingsError("THREADCAST_AGENT=openai needs the extra: pip install 'threadcast[openai]'") from None
    try:
        return OpenAIAgent(settings.model, settings.title_model or settings.model, settings.context_chars)
    except AgentUnavailable as error:
        raise SettingsError(str(error)) from None


@asynccontextmanager
async def open_backends(settings: Settings, secret: Secret) -> AsyncIterator[Backends]:
    """Everything that the settings ask for, until the block ends."""
    agent, metrics = open_agent(settings), Metrics()
    async with open_storage(settings, metrics) as storage, aclosing(agent):
        yield Backends(
            storage=storage,
            broker=MemoryBroker(ResumeLimits(settings.resume_entries, settings.resume_bytes, settings.resume_seconds)),
            agent=agent,
            rate_limit=MemoryRateLimit(settings.rate_limit),
            auth=Authenticator(secret, storage),
            metrics=metrics,
        )
