"""Several servers in one process, on one SQLite file, their brokers linked: what can be cut, held and lost between nodes."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
from sqlalchemy import Select

from backends import Backends
from backends.agent import Agent
from backends.broker import MemoryBroker
from backends.frame import Frame as Sent
from backends.lease import Lease
from backends.resume import ResumeLimits
from backends.storage import Change, Row, Storage
from schemas.frames import WsSendMethod
from settings import Settings
from tests.support.client import Frame, fold, is_end, unsettled
from tests.support.house import House, open_house

LIMITS = ResumeLimits(entries=1000, size=2**20, seconds=60)


class LinkedBroker(MemoryBroker):
    """Hands on to its peers what is published and told here: later, in order, and not while it is `cut`."""

    def __init__(self, peers: "list[LinkedBroker]") -> None:
        super().__init__(LIMITS)
        self.cut = False
        self.deaf = False  # notices get lost on their way, and nobody knows
        self.told: list[bytes] = []
        self.heard: Callable[[bytes], None] = lambda notice: None
        self._peers = peers
        self._on_their_way: deque[Callable[[], None]] = deque()
        self._held = False
        peers.append(self)

    def publish(self, user_id: UUID, frame: Sent, sender_id: str | None, lease: Lease | None = None) -> None:
        super().publish(user_id, frame, sender_id)

        def deliver(peer: LinkedBroker) -> None:
            if lease is None or not lease.lost:
                peer._hear(str(id(self)), user_id, frame.data, frame.method, sender_id)

        self._send(deliver)

    def _hear(self, node: str, user_id: UUID, text: bytes, method: WsSendMethod, sender_id: str | None) -> None:
        is_here = user_id in self._users and self._users[user_id].subscribers
        is_for_all = method is WsSendMethod.ALL
        if not (is_here and is_for_all) or self.streams.hear(str(user_id), node, text, sender_id):
            frame = Sent.of_data(text)
            frame.method = method
            MemoryBroker.publish(self, user_id, frame, sender_id)

    def tell(self, notice: bytes) -> bool:
        if self.cut:
            return False
        self.told.append(notice)
        if not self.deaf:
            self._send(lambda peer: peer.heard(notice))
        return True

    @contextmanager
    def listen(self, heard: Callable[[bytes], None]) -> Iterator[None]:
        self.heard = heard
        yield
        self.heard = lambda notice: None

    async def caught_up(self) -> bool:
        return not self.cut

    def hold(self) -> None:
        """Let nothing leave, until it is let go."""
        self._held = True

    def let_go(self) -> None:
        self._held = False
        while self._on_their_way:
            self._on_their_way.popleft()()

    def _send(self, deliver: "Callable[[LinkedBroker], None]") -> None:
        def arrive() -> None:
            for peer in self._peers:
                if peer is not self and not (self.cut or peer.cut):
                    deliver(peer)

        self._on_their_way.append(arrive)
        if not self._held:
            asyncio.get_running_loop().call_soon(self._arrive_next)

    def _arrive_next(self) -> None:
        if self._on_their_way and not self._held:
            self._on_their_way.popleft()()


class Cable:
    """The way to a storage: it can be cut, and what is written can be held up."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.cut = False
        self.cut_behind = False  # what is written arrives, and fails all the same
        self.blind = False  # nothing can be read
        self.gate = anyio.Event()
        self.gate.set()
        self.held = 0  # how many writes are

    def hold(self) -> None:
        self.gate = anyio.Event()

    def let_go(self) -> None:
        self.gate.set()

    @property
    def on_postgres(self) -> bool:
        return self.storage.on_postgres

    @property
    def apart(self) -> Storage:
        return self

    async def fetch_all(self, query: Select[Any], **values: Any) -> list[Row]:
        if self.cut or self.blind:
            raise OSError("the cable is cut")
        return await self.storage.fetch_all(query, **values)

    async def write(self, *changes: Change, only_if: Change | None = None) -> bool:
        self.held += 1
        try:
            await self.gate.wait()
        finally:
            self.held -= 1
        if self.cut:
            raise OSError("the cable is cut")
        done = await self.storage.write(*changes, only_if=only_if)
        if self.cut_behind:
            raise OSError("the cable was cut")
        return done


@dataclass
class Node:
    """One of the servers."""

    house: House
    broker: LinkedBroker
    cable: Cable

    def die(self) -> None:
        """Without a word: nothing that it does reaches anybody any more. To be stopped all the same."""
        self.broker.cut = self.cable.cut = True

    @property
    def lease_id(self) -> UUID:
        return self.house.services.cluster.lease.id

    def ended(self, how: str) -> float | None:
        """How many runs it says have ended so."""
        return self.house.backends.metrics.registry.get_sample_value("threadcast_runs_ended_total", {"end": how})


@asynccontextmanager
async def open_nodes(settings: Settings, agent: Agent, count: int = 2) -> AsyncIterator[list[Node]]:
    """So many servers of one database, with one agent for all of them."""
    peers: list[LinkedBroker] = []
    nodes: list[Node] = []
    async with AsyncExitStack() as stack:
        for _ in range(count):
            house = await stack.enter_async_context(open_house(settings, agent, partial(_linked, peers)))
            broker, cable = house.backends.broker, house.backends.storage
            assert isinstance(broker, LinkedBroker)
            assert isinstance(cable, Cable)
            nodes.append(Node(house, broker, cable))
        yield nodes


def _linked(peers: list[LinkedBroker], own: Backends) -> Backends:
    return replace(own, storage=Cable(own.storage), broker=LinkedBroker(peers), shared=True)


def good(frames: list[Frame]) -> dict[str, Any]:
    """The chat at the end of a stream, which adds up to it."""
    assert sum(map(is_end, frames)) == 1
    chat: dict[str, Any] = frames[-1]["payload"]
    assert unsettled(fold(frames)) == unsettled(chat)
    return chat
