"""The services that the lifespan hands to every handler."""

from dataclasses import dataclass

from backends import Backends, models_of
from backends.storage import Probe
from handlers.cluster import Alone, Cluster
from handlers.connections import Connections
from handlers.outboxes import Outboxes
from handlers.runs import Runs
from handlers.tasks import Gate, Requests, Tasks
from settings import VERSION, Settings


@dataclass(frozen=True)
class Timeouts:
    """Time limits of an agent, in seconds."""

    first_token: float
    between_tokens: float
    run: float


@dataclass(frozen=True)
class Services:
    """The server, as handlers see it. Tasks that outlive a connection, such as runs, are started in `tasks`."""

    backends: Backends
    tasks: Tasks
    timeouts: Timeouts
    models: tuple[str, ...]  # that a post may name
    version: str  # of the program, as its documents say
    flush_seconds: float  # the window in which deltas are joined; 0: each is a frame of its own
    max_frame_bytes: int  # and of a body over HTTP
    chat_bytes: int  # a larger chat takes no more messages
    frames_per_second: int  # that one connection may send
    ping_seconds: float  # a resumable connection that has got nothing for so long gets a heartbeat
    connections: Connections
    requests: Requests
    posts: Gate  # a post is inside from its arrival until its stream has been sent
    runs: Runs
    cluster: Cluster  # this node among those that share the database
    probe: Probe  # of the database


def services_of(settings: Settings, backends: Backends, tasks: Tasks) -> Services:
    """The server that the settings ask for. The wing for several nodes is imported only where there are several."""
    outboxes = Outboxes(settings.outbox_bytes, settings.outbox_bytes_per_user, settings.outbox_bytes_in_all)
    runs = Runs(settings.max_runs_per_user, backends.run_quota)
    timeouts = Timeouts(settings.first_token_seconds, settings.between_tokens_seconds, settings.run_seconds)
    cluster: Cluster = Alone(backends.storage, runs)
    if backends.shared:
        from handlers.nodes.cluster import Several

        cluster = Several(backends, tasks, timeouts, runs, outboxes)
    return Services(
        backends,
        tasks,
        timeouts,
        models=models_of(settings),
        version=VERSION,
        flush_seconds=settings.flush_ms / 1000,
        max_frame_bytes=settings.max_frame_bytes,
        chat_bytes=settings.chat_bytes,
        frames_per_second=settings.frames_per_second,
        ping_seconds=settings.ping_seconds,
        connections=Connections(
            settings.max_connections, settings.max_connections_per_user, backends.connection_quota, outboxes
        ),
        requests=Requests(settings.max_requests_per_user + settings.max_runs_per_user),
        posts=Gate(),
        runs=runs,
        cluster=cluster,
        probe=Probe(backends.storage),
    )
