"""Resuming: whoever was cut is told the rest, once and in order, or is told that it cannot be."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.agent_events import ResponseChunk
from backends.frame import Frame
from backends.resume import ResumeLimits, ResumeLog
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import fold, unsettled
from tests.support.house import House, open_house, settings_in
from tests.support.redis import RedisServer
from tests.support.telling import Tab, delta, told
from tests.support.world import uuid


def written(log: ResumeLog, chunks: list[tuple[int, str]]) -> list[Frame]:
    frames = [delta(part, text) for part, text in chunks]
    for frame in frames:
        log.number(frame)
        log.keep(frame)
    return frames


CHUNKS = st.lists(st.tuples(st.integers(1, 2), st.text(st.characters(codec="ascii"), max_size=3)), max_size=40)
LIMITS = st.builds(ResumeLimits, st.integers(1, 50), st.integers(300, 20_000), st.just(60.0))


@given(CHUNKS, LIMITS, st.integers(0, 45))
def test_from_any_place_a_client_gets_all_that_followed_or_is_told_that_it_cannot(
    chunks: list[tuple[int, str]], limits: ResumeLimits, since: int
) -> None:
    log = ResumeLog(limits)
    frames = written(log, chunks)
    resumption = log.resume(f"{log.epoch}:{since}")
    if resumption.recovered:
        assert resumption.offset == since
        assert told(frames[:since] + resumption.frames) == told(frames)
        offsets = [frame.offset for frame in resumption.frames]
        assert offsets == sorted(set(offsets))
        assert all(since < offset <= log.offset for offset in offsets)
    else:
        assert (resumption.offset, resumption.frames) == (len(frames), [])
    assert len(log._frames) <= limits.entries
    assert log._size <= limits.size or len(log._frames) <= 1
    assert log._size == sum(Frame(frame.message).size for frame in log._frames)


def test_a_late_comer_gets_one_accumulated_delta() -> None:
    log = ResumeLog(ResumeLimits(1000, 2**20, 60))
    written(log, [(1, f"{number} ") for number in range(600)])
    (one,) = log.resume(f"{log.epoch}:0").frames
    assert told([one]) == {str(uuid(1)): "".join(f"{number} " for number in range(600))}
    assert one.offset == 600


def test_a_log_over_its_limit_joins_before_it_forgets() -> None:
    log = ResumeLog(ResumeLimits(10, 2**20, 60))
    written(log, [(1, f"{number} ") for number in range(100)])
    assert log.resume(f"{log.epoch}:0").recovered
    assert log.resume(f"{log.epoch}:99").recovered
    assert not log.resume(f"{log.epoch}:50").recovered  # in the middle of what was joined


@pytest.fixture(params=["memory", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = "memory://" if request.param == "memory" else request.getfixturevalue("redis").url
    return replace(settings_in(tmp_path), broker_url=url)


@pytest.mark.parametrize("flush_ms", [0, 10])
async def test_tabs_cut_again_and_again_miss_nothing_and_get_nothing_twice(settings: Settings, flush_ms: int) -> None:
    agent = ScriptedAgent(*(ResponseChunk(f"{number} ") for number in range(300)))
    agent.gate = anyio.Event()
    async with open_house(replace(settings, flush_ms=flush_ms), agent) as house:
        tabs = [Tab(house) for _ in range(8)]
        for tab in tabs[1:]:
            await tab.read(0)
        await tabs[0].read(3, {"prompt": "Count"})

        async def storm(number: int, tab: Tab) -> None:
            for turn in range(10):
                await tab.read((number * turn) % 7)

        async with anyio.create_task_group() as tasks:
            for number, tab in enumerate(tabs):
                tasks.start_soon(storm, number, tab)
        agent.gate.set()
        for tab in tabs:
            await tab.read(None)
            assert unsettled(tab.chat()) == unsettled(tab.frames[-1]["payload"])


async def test_a_tab_that_comes_late_joins_the_running_stream_from_the_logs_beginning(settings: Settings) -> None:
    agent = ScriptedAgent(*(ResponseChunk(f"{number} ") for number in range(600)))
    agent.gate = anyio.Event()
    async with open_house(settings, agent) as house:
        first, late = Tab(house), Tab(house)
        await first.read(1 + 2 + 599, {"prompt": "Count"})  # the beginning, the title, and all deltas but the held one
        late.place = f"{first.resumed[0]['epoch']}:0"
        agent.gate.set()
        await late.read(None)
        assert unsettled(late.chat()) == unsettled(late.frames[-1]["payload"])
        assert len(late.frames) < 12  # the deltas came as one, or as two around each frame of the title


async def test_a_restarted_server_has_another_epoch_unless_redis_has_kept_it(settings: Settings) -> None:
    async with open_house(settings) as house:
        tab = Tab(house)
        await tab.read(None, {"prompt": "Hi"})
    async with open_house(settings) as house:
        tab.house = house
        await tab.read(0)
        kept = settings.broker_url != "memory://"
        assert [resumed["recovered"] for resumed in tab.resumed] == [True, kept]
        assert (tab.resumed[0]["epoch"] == tab.resumed[1]["epoch"]) is kept


@pytest.mark.parametrize("flush_ms", [0, 10])
async def test_a_tab_that_is_cut_on_one_server_goes_on_on_another(tmp_path: Path, redis: RedisServer, flush_ms: int) -> None:
    both = replace(settings_in(tmp_path), broker_url=redis.url, flush_ms=flush_ms)
    agent = ScriptedAgent(*(ResponseChunk(f"{number} ") for number in range(300)))
    agent.gate = anyio.Event()
    async with open_house(both, agent) as here, open_house(both) as there, there.connect() as plain:
        tab = Tab(here)
        await tab.read(3, {"prompt": "Count"})
        for turn in range(20):
            tab.house = (there, here)[turn % 2]
            await tab.read(turn % 7)
        agent.gate.set()
        tab.house = there
        await tab.read(None)
        for chat in (tab.chat(), fold(await plain.stream())):
            assert unsettled(chat) == unsettled(tab.frames[-1]["payload"])


async def test_without_since_no_frame_is_numbered_and_none_is_of_the_stream_route(house: House) -> None:
    tab = Tab(house)
    await tab.read(0)  # the user has a log
    async with house.connect() as client:
        frames = await client.post(prompt="Hi")
    assert {frame["route"] for frame in frames} == {"/chats/post"}
    assert not any("offset" in frame for frame in frames)
