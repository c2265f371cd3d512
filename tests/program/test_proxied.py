"""A server behind two nginx in a row, as a company's own often stands before ours: streams come piece by piece all the same.

The nearer one has deploy/nginx.conf, the other one nothing but defaults, so it buffers. The agent goes on only after its first
words have come through both: if they were held back, the tests would wait in vain.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import fold, unsettled
from tests.support.events import listening, posting
from tests.support.house import House, open_house
from tests.support.nginx import DEFAULTS, nginx, ours
from tests.support.waiting import until

WORDS = "generatingResponseMessage"


@contextmanager
def proxied(house: House, folder: Path) -> Iterator[str]:
    """The URL of the server behind both."""
    port = int(house.url.split(":")[2].split("/")[0])
    with nginx(folder / "inner", ours(), port) as inner, nginx(folder / "outer", DEFAULTS, inner) as outer:
        yield house.url.replace(str(port), str(outer))


async def test_a_post_is_streamed_while_it_is_answered(settings: Settings, tmp_path: Path) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house:
        with proxied(house, tmp_path) as url:
            async with posting(house, {"prompt": "one"}, url=url) as events:
                assert events.status == 200
                heard = await events.until(WORDS)
                agent.let_go("one")
                heard += await events.stream()
                assert await events.event() is None
            assert unsettled(fold(heard)) == unsettled(heard[-1]["payload"])
            async with posting(house, {}, url=url) as refused:
                assert (refused.status, (await refused.refusal())["code"]) == (400, "BAD_REQUEST")


async def test_events_come_one_by_one_and_go_on_after_the_last(settings: Settings, tmp_path: Path) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as socket:
        with proxied(house, tmp_path) as url:
            async with listening(house, url=url) as events:
                await events.until("resumed")
                await socket.send({"prompt": "one"})
                heard = await events.until(WORDS)
            await until(lambda: len(house.services.connections) == 1)  # the proxies have passed on that the client went
            agent.let_go("one")
            async with listening(house, events.last_id, url=url) as events:
                (resumed,) = await events.until("resumed")
                assert resumed["payload"]["recovered"]
                heard += await events.stream()
            assert unsettled(fold(heard)) == unsettled(heard[-1]["payload"])


async def test_a_post_whose_stream_was_cut_goes_on_as_events(settings: Settings, tmp_path: Path) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house:
        with proxied(house, tmp_path) as url:
            async with posting(house, {"prompt": "one"}, url=url) as events:
                heard = await events.until(WORDS)
            agent.let_go("one")
            async with listening(house, events.last_id, url=url) as rest:
                await rest.until("resumed")
                heard += await rest.stream()
            assert unsettled(fold(heard)) == unsettled(heard[-1]["payload"])
