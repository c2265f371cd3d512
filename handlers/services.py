"""The services that the lifespan hands to every handler."""

from dataclasses import dataclass

from backends import Backends
from backends.storage import Probe
from handlers.cluster import Cluster
from handlers.connections import Connections
from handlers.runs import Runs
from handlers.tasks import Gate, Requests, Tasks


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
    version: str  # of the program, as its documents say
    flush_seconds: float  # for which deltas are gathered to be joined; 0: each is a frame of its own
    max_frame_bytes: int  # and of a body over HTTP
    chat_bytes: int  # past which a chat takes no more
    frames_per_second: int  # that one connection may send
    ping_seconds: float  # after which a connection that can resume gets a heartbeat, if it got nothing else
    connections: Connections
    requests: Requests
    posts: Gate  # each is inside from its arrival until its stream has been sent
    runs: Runs
    cluster: Cluster  # this node among those that share the database
    probe: Probe  # of the database
