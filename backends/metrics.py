"""The metrics of this process, as Prometheus reads them at `/metrics`. They are counts and times only: no id, no text."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0

from schemas.chats import Usage
from schemas.errors import ThreadcastError
from schemas.events import ThreadEvent

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0

RUN_ENDS = ("completed", "stopped", "full", "interrupted", "failed", "lost")
OUTCOMES = ("started", "recovered", "lost")
LIMITS = ("posts", "runs", "turns", "frames", "connections", "connections_per_user", "requests", "outboxes", "model")
AGENT_FAILURES = ("busy", "too_long", "filtered", "misconfigured", "broken", "timeout", "other")
CUTS = ("silent", "head", "body", "invalid", "room")
CLOSE_CODES = (1000, 1001, 1002, 1005, 1006, 1007, 1009, 1011, 1012, 4001, 4008, 4029, 4401, 4503)
BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
MODELS = 100  # names; each is kept for as long as the process lives
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Traffic:
    """Counts that change with every frame. They are plain numbers, since the library's counter costs as much as a frame."""

    def __init__(self) -> None:
        self.frames = 0
        self.bytes = 0
        self.joined = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the counts to the registry."""
        yield CounterMetricFamily("threadcast_frames_sent", "Frames sent, over all connections.", self.frames)
        yield CounterMetricFamily("threadcast_sent_bytes", "Bytes of the frames sent.", self.bytes)
        yield CounterMetricFamily("threadcast_deltas_joined", "Deltas that were joined to one before them.", self.joined)


class Metrics:
    """All metrics, in a registry of their own, so that several servers fit into one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.traffic = Traffic()
        registry.register(self.traffic)
        self.connections = Gauge("threadcast_connections", "Open connections.", registry=registry)
        self.sockets_unheard = Gauge(
            "threadcast_sockets_unheard", "Open sockets without a request that is being answered.", registry=registry
        )
        self.sockets_cut = Counter(
            "threadcast_sockets_cut", "Sockets cut off before a whole request, by reason.", ["reason"], registry=registry
        )
        self.broker_connected = Gauge(
            "threadcast_broker_connected", "Whether other nodes hear this one; 1 if there can be none.", registry=registry
        )
        self.outbox_bytes = Gauge("threadcast_outbox_bytes", "Bytes that wait for connections to read them.", registry=registry)
        self.runs = Gauge("threadcast_runs", "Posts by state, and agents that were left behind.", ["state"], registry=registry)
        self.runs_ended = Counter("threadcast_runs_ended", "Runs, by how they ended.", ["end"], registry=registry)
        self._models: set[str] = set()  # whose tokens are counted by name
        self.agent_failures = Counter("threadcast_agent_failures", "Agents that failed, by kind.", ["kind"], registry=registry)
        self.model_tokens = Counter(
            "threadcast_model_tokens",
            "Tokens of the models' answers, as their servers count them.",
            ["model", "kind"],
            registry=registry,
        )
        self.first_token_seconds = Histogram(
            "threadcast_first_token_seconds",
            "From the agent's start to its first token.",
            ["model"],
            registry=registry,
            buckets=BUCKETS_S,
        )
        self.closes = Counter("threadcast_closes", "Closed connections, by code.", ["code"], registry=registry)
        self.resumes = Counter("threadcast_resumes", "Connections with since=, by outcome.", ["outcome"], registry=registry)
        self.refusals = Counter("threadcast_refusals", "What a limit has refused.", ["limit"], registry=registry)
        self.first_event_seconds = Histogram(
            "threadcast_first_event_seconds", "From a post to its first event.", registry=registry, buckets=BUCKETS_S
        )
        self.complete_seconds = Histogram(
            "threadcast_complete_seconds", "From a post to its complete.", registry=registry, buckets=BUCKETS_S
        )
        self.commit_seconds = Histogram(
            "threadcast_commit_seconds", "How long a commit takes.", registry=registry, buckets=BUCKETS_S
        )
        self.commit_batch_size = Histogram(
            "threadcast_commit_batch_size", "Writes in one commit.", registry=registry, buckets=BATCH_SIZES
        )
        self.latencies = {
            ThreadEvent.INITIALIZE_CHAT: self.first_event_seconds,
            ThreadEvent.COMPLETED: self.complete_seconds,
        }
        for family, labels in (
            (self.runs_ended, RUN_ENDS),
            (self.agent_failures, AGENT_FAILURES),
            (self.resumes, OUTCOMES),
            (self.refusals, LIMITS),
            (self.sockets_cut, CUTS),
            (self.closes, (*CLOSE_CODES, "other")),
        ):
            for label in labels:
                family.labels(label)  # so that each is exported, as 0, before it first happens

    def refused(self, error: Exception) -> None:
        """Count a refusal, if it was by a limit."""
        if isinstance(error, ThreadcastError) and error.limit:
            self.refusals.labels(error.limit).inc()

    def failed(self, error: Exception) -> None:
        """Count an agent's failure by its kind."""
        kind = "timeout" if isinstance(error, TimeoutError) else getattr(error, "kind", "other")
        self.agent_failures.labels(kind).inc()

    def used(self, usage: Usage) -> None:
        """Count an answer's tokens. Thoughts are also output. Agents name their models, so those beyond MODELS count as one."""
        model = usage.model if usage.model in self._models or len(self._models) < MODELS else "other"
        self._models.add(model)
        for kind, count in (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("reasoning", usage.reasoning_tokens),
        ):
            if count and count > 0:
                self.model_tokens.labels(model, kind).inc(count)

    def closed(self, code: int) -> None:
        """Count a closed connection by its code. Clients may send any code, so unknown ones are counted as one."""
        self.closes.labels(code if code in CLOSE_CODES else "other").inc()

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
