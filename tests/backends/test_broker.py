"""The broker's contract, run against each implementation: who hears what, in which order, and that nothing is kept."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from backends.broker import Broker, MemoryBroker
from schemas.frames import WsSendMethod
from tests.support.redis import LIMITS, node
from tests.support.telling import Ear, said
from tests.support.waiting import until
from tests.support.world import ALICE, BOB


@pytest.fixture(params=["memory", "redis"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        yield MemoryBroker(LIMITS)
    else:
        async with node(request.getfixturevalue("redis").url) as made:
            yield made


async def hears(broker: Broker, *ears: Ear) -> None:
    """Wait until each has heard all that was published for it so far."""
    for ear in ears:
        broker.publish(ALICE, said("now", WsSendMethod.SENDER_ONLY), ear.id)
    for ear in ears:
        await until(lambda ear=ear: ear.heard[-1:] == ["now"])  # type: ignore[misc]
        ear.heard.pop()
        ear.offsets.pop()


@pytest.mark.parametrize(
    ("method", "hearers"),
    [(WsSendMethod.ALL, {"a", "b", "c"}), (WsSendMethod.ALL_BUT_SENDER, {"a", "c"}), (WsSendMethod.SENDER_ONLY, {"b"})],
)
async def test_a_frame_reaches_those_of_its_user_that_it_is_for(
    broker: Broker, method: WsSendMethod, hearers: set[str]
) -> None:
    mine, other = [Ear("a"), Ear("b"), Ear("c")], Ear("d")
    async with (
        broker.subscribe(ALICE, mine[0], None),
        broker.subscribe(ALICE, mine[1], ""),
        broker.subscribe(ALICE, mine[2], None),
        broker.subscribe(BOB, other, None),
    ):
        broker.publish(ALICE, said("frame", method), "b")
        await hears(broker, *mine)
    assert {ear.id for ear in mine if ear.heard == ["frame"]} == hearers
    assert {ear.id for ear in mine if not ear.heard} == {"a", "b", "c"} - hearers
    assert other.heard == []


@pytest.mark.parametrize(
    ("method", "heard"),
    [(WsSendMethod.ALL, ["x"]), (WsSendMethod.ALL_BUT_SENDER, ["x"]), (WsSendMethod.SENDER_ONLY, [])],
)
@pytest.mark.parametrize("sender", [None, "gone"])
@pytest.mark.parametrize("since", [None, ""])
async def test_without_its_sender_a_frame_for_the_sender_reaches_nobody(
    broker: Broker, method: WsSendMethod, heard: list[str], sender: str | None, since: str | None
) -> None:
    ear = Ear("a")
    async with broker.subscribe(ALICE, ear, since):
        broker.publish(ALICE, said("x", method), sender)
        await hears(broker, ear)
    assert ear.heard == heard


@pytest.mark.parametrize("since", [None, ""])
async def test_frames_keep_their_order_and_end_with_the_subscription(broker: Broker, since: str | None) -> None:
    ear = Ear("a")
    broker.publish(ALICE, said("too early"), None)
    await broker.flush()
    async with broker.subscribe(ALICE, ear, since):
        for number in range(100):
            broker.publish(ALICE, said(str(number)), None)
        await hears(broker, ear)
    broker.publish(ALICE, said("too late"), None)
    await broker.flush()
    assert ear.heard == [str(number) for number in range(100)]
    assert ear.offsets == sorted(ear.offsets)
    assert since is None or len(set(ear.offsets)) == 100


@pytest.mark.parametrize("since", [None, ""])
async def test_a_subscription_ends_also_when_its_block_fails(broker: Broker, since: str | None) -> None:
    ear, other = Ear("a"), Ear("b")
    async with broker.subscribe(ALICE, other, since):
        with pytest.raises(ZeroDivisionError):
            async with broker.subscribe(ALICE, ear, since):
                raise ZeroDivisionError
        broker.publish(ALICE, said("x"), None)
        await hears(broker, other)
    assert (ear.heard, other.heard) == ([], ["x"])


async def test_who_resumes_is_given_exactly_what_came_between(broker: Broker) -> None:
    first, second = Ear("a"), Ear("b")
    async with broker.subscribe(ALICE, first, "") as start:
        assert start
        assert (start.recovered, start.frames) == (True, [])
        broker.publish(ALICE, said("1"), None)
        broker.publish(ALICE, said("only for a", WsSendMethod.SENDER_ONLY), "a")
        await until(lambda: len(first.heard) == 2)
    broker.publish(ALICE, said("2"), None)
    async with broker.subscribe(ALICE, second, f"{start.epoch}:{first.offsets[0]}") as resumed:
        broker.publish(ALICE, said("3"), None)
        await hears(broker, second)
    assert resumed
    assert resumed.recovered
    assert [frame.message.error.message for frame in resumed.frames if frame.message.error] == ["2"]
    assert [frame.offset for frame in resumed.frames] == [start.offset + 3]
    assert (second.heard, second.offsets) == (["3"], [start.offset + 4])


async def test_offset_0_is_the_beginning_of_the_log(broker: Broker) -> None:
    async with broker.subscribe(ALICE, Ear("a"), "") as start:
        for text in "123":
            broker.publish(ALICE, said(text), None)
        assert start
        async with broker.subscribe(ALICE, Ear("b"), f"{start.epoch}:0") as late:
            assert late
            assert (late.offset, late.recovered) == (0, True)
            assert [frame.message.error.message for frame in late.frames if frame.message.error] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "since", ["other:0", "nonsense", ":", ":0", "*:0", "x:y", "{}:{}", "{}:-1", "{}:1.0", "{}:" + "9" * 40, "{}:²", "é:1"]
)
async def test_a_place_that_is_not_in_the_log_is_not_recovered(broker: Broker, since: str) -> None:
    async with broker.subscribe(ALICE, Ear("a"), "") as start:
        assert start
        async with broker.subscribe(ALICE, Ear("b"), since.format(start.epoch, start.offset + 1)) as lost:
            assert lost
            assert (lost.epoch, lost.offset, lost.recovered, lost.frames) == (start.epoch, start.offset, False, [])


@pytest.mark.parametrize("limit", ["entries", "bytes"])
async def test_a_log_that_does_not_reach_back_says_so(broker: Broker, limit: str) -> None:
    ear = Ear("a")
    text = "x" * (10 if limit == "entries" else 2000)
    async with broker.subscribe(ALICE, ear, "") as start:
        assert start
        for number in range(150):
            broker.publish(ALICE, said(f"{number}{text}"), None)
        await hears(broker, ear)
        for offset in (start.offset, 0):
            async with broker.subscribe(ALICE, Ear("b"), f"{start.epoch}:{offset}") as lost:
                assert lost
                assert (lost.recovered, lost.frames) == (False, [])
        async with broker.subscribe(ALICE, Ear("b"), f"{start.epoch}:{ear.offsets[129]}") as late:
            assert late
            assert [frame.offset for frame in late.frames] == ear.offsets[130:]


async def test_a_frame_larger_than_the_log_is_told_and_nobody_resumes_over_it(broker: Broker) -> None:
    async def recovered(offset: int) -> bool:
        async with broker.subscribe(ALICE, Ear("b"), f"{start.epoch}:{offset}") as resumption:
            assert resumption
            return resumption.recovered

    ear = Ear("a")
    async with broker.subscribe(ALICE, ear, "") as begun:
        assert begun
        start = begun
        for text in ("before", "x" * 150_000):
            broker.publish(ALICE, said(text), None)
        await hears(broker, ear)
        assert [await recovered(offset) for offset in (start.offset, *ear.offsets)] == [False, False, True]
        broker.publish(ALICE, said("after"), None)
        await hears(broker, ear)
        assert [text[:6] for text in ear.heard] == ["before", "xxxxxx", "after"]
        assert [await recovered(offset) for offset in (start.offset, *ear.offsets)] == [False, False, True, True]


async def test_a_broker_tells_nothing_to_itself(broker: Broker) -> None:
    notices: list[bytes] = []
    with broker.listen(notices.append):
        broker.tell(b"notice")
        await broker.flush()
    assert (broker.connected, notices) == (True, [])


async def test_nothing_is_kept_of_users_who_have_gone_but_their_log_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = MemoryBroker(LIMITS)
    now = 1000.0
    monkeypatch.setattr("backends.broker.time.monotonic", lambda: now)
    for number in range(100):
        async with broker.subscribe(UUID(int=number), Ear("a"), None), broker.subscribe(UUID(int=number), Ear("b"), None):
            pass
    assert broker._users == {}
    for number in range(100):
        async with broker.subscribe(UUID(int=number), Ear("a"), ""):
            pass
    assert len(broker._users) == 100
    now += LIMITS.seconds + 1
    async with broker.subscribe(BOB, Ear("a"), None):
        assert set(broker._users) == {BOB}
    assert not broker._users
    assert not broker._gone
