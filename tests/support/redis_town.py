"""Several nodes on a Redis that can be taken away."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from backends.frame import Frame
from backends.redis.broker import RedisBroker
from backends.resume import ResumeLimits
from schemas.chats import TextResponse
from schemas.events import GeneratingResponseMessage
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer, node, redis_server
from tests.support.telling import Ear, said
from tests.support.waiting import until
from tests.support.world import ALICE

ROOMY = ResumeLimits(entries=10_000, size=2**24, seconds=60)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@dataclass
class Town:
    """Two nodes, the first behind a proxy, each with a connection of Alice's that is numbered and one that is not."""

    proxy: Proxy
    nodes: tuple[RedisBroker, RedisBroker]
    ears: list[Ear]
    places: list[str]
    said: int = 0

    def say(self, count: int = 1) -> None:
        """Both nodes speak."""
        for _ in range(count):
            for name, each in zip("ab", self.nodes, strict=True):
                each.publish(ALICE, said(f"{name} {self.said}"), None)
            self.said += 1

    async def all_connected(self, connected: bool = True) -> None:
        await until(lambda: all(each.connected is connected for each in self.nodes))

    async def check(self) -> None:
        """That within 5 s everybody has heard all, each speaker's words once and in order, and offsets only increase."""
        for ear in self.ears:
            await until(lambda ear=ear: len(ear.heard) >= 2 * self.said)  # type: ignore[misc]
            for name in "ab":
                assert [text for text in ear.heard if text[0] == name] == [f"{name} {number}" for number in range(self.said)]
            offsets = [offset for offset in ear.offsets if offset]
            if ear.id.startswith("numbered"):
                assert offsets == sorted(set(offsets))
            assert not ear.is_cut
        for each in self.nodes:
            await each.flush()
            assert each.connected
            assert each._unechoed.size == 0
            assert each.wire.is_idle


@asynccontextmanager
async def town(server: RedisServer, limits: ResumeLimits = ROOMY, bound: int = 2**20) -> AsyncIterator[Town]:
    proxy = Proxy(server.port)
    async with (
        proxy.serving() as port,
        node(f"redis://127.0.0.1:{port}/0", limits, bound) as a,
        node(server.url, limits, bound) as b,
        AsyncExitStack() as stack,
    ):
        made = Town(proxy, (a, b), [], [])
        await made.all_connected()  # a first try may fail on a busy machine, and who comes meanwhile may be cut
        for broker in made.nodes:
            for since in ("", None):
                ear = Ear(f"{'plain' if since is None else 'numbered'} {len(made.ears)}")
                resumption = await stack.enter_async_context(broker.subscribe(ALICE, ear, since))
                made.ears.append(ear)
                if resumption:
                    made.places.append(f"{resumption.epoch}:{resumption.offset}")
        yield made


class Folding(Ear):
    """Puts the deltas together."""

    text = ""

    def put(self, frame: Frame) -> None:
        match frame.message.payload:
            case GeneratingResponseMessage(TextResponse(message_chunk=str(chunk))):
                self.text += chunk
            case _:
                super().put(frame)


async def away(it: Town) -> None:
    """Keep the first node from Redis."""
    it.proxy.refuses = True
    it.proxy.cut()
    await until(lambda: not it.nodes[0].connected)


async def back(it: Town) -> None:
    it.proxy.refuses = False
    await it.all_connected()
