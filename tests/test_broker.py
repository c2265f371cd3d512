"""The broker's contract, run against each implementation: who hears what, in which order, and that nothing is kept."""

from uuid import UUID

import pytest

from backends.broker import Broker, MemoryBroker
from backends.frame import Frame
from backends.resume import ResumeLimits
from schemas.errors import WsError, WsErrorCode
from schemas.frames import SentBy, WsResponseMessage, WsSendMethod
from tests.world import ALICE, BOB


class Ear:
    """A subscriber that remembers."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.heard: list[str] = []

    def put(self, frame: Frame) -> None:
        assert frame.message.error
        self.heard.append(frame.message.error.message)


def said(text: str, method: WsSendMethod = WsSendMethod.ALL) -> WsResponseMessage:
    error = WsError(WsErrorCode.BAD_REQUEST, text)
    return WsResponseMessage("/", "error", None, SentBy(ALICE, "Alice"), error, method)


LIMITS = ResumeLimits(entries=100, size=100_000, seconds=60)


@pytest.fixture(params=[MemoryBroker])
def broker(request: pytest.FixtureRequest) -> Broker:
    made: Broker = request.param(LIMITS)
    return made


@pytest.mark.parametrize(
    ("method", "hearers"),
    [(WsSendMethod.ALL, {"a", "b", "c"}), (WsSendMethod.ALL_BUT_SENDER, {"a", "c"}), (WsSendMethod.SENDER_ONLY, {"b"})],
)
def test_a_frame_reaches_those_of_its_user_that_it_is_for(broker: Broker, method: WsSendMethod, hearers: set[str]) -> None:
    mine, other = [Ear("a"), Ear("b"), Ear("c")], Ear("d")
    with (
        broker.subscribe(ALICE, mine[0], None),
        broker.subscribe(ALICE, mine[1], ""),
        broker.subscribe(ALICE, mine[2], None),
        broker.subscribe(BOB, other, None),
    ):
        broker.publish(ALICE, said("frame", method), "b")
    assert {ear.id for ear in mine if ear.heard == ["frame"]} == hearers
    assert {ear.id for ear in mine if not ear.heard} == {"a", "b", "c"} - hearers
    assert other.heard == []


@pytest.mark.parametrize(
    ("method", "heard"),
    [(WsSendMethod.ALL, ["x"]), (WsSendMethod.ALL_BUT_SENDER, ["x"]), (WsSendMethod.SENDER_ONLY, [])],
)
@pytest.mark.parametrize("sender", [None, "gone"])
def test_without_its_sender_a_frame_for_the_sender_reaches_nobody(
    broker: Broker, method: WsSendMethod, heard: list[str], sender: str | None
) -> None:
    ear = Ear("a")
    with broker.subscribe(ALICE, ear, None):
        broker.publish(ALICE, said("x", method), sender)
    assert ear.heard == heard


def test_frames_keep_their_order_and_end_with_the_subscription(broker: Broker) -> None:
    ear = Ear("a")
    broker.publish(ALICE, said("too early"), None)
    with broker.subscribe(ALICE, ear, None):
        for number in range(100):
            broker.publish(ALICE, said(str(number)), None)
    broker.publish(ALICE, said("too late"), None)
    assert ear.heard == [str(number) for number in range(100)]


def test_a_subscription_ends_also_when_its_block_fails(broker: Broker) -> None:
    ear, other = Ear("a"), Ear("b")
    with broker.subscribe(ALICE, other, None):
        with pytest.raises(ZeroDivisionError), broker.subscribe(ALICE, ear, None):
            raise ZeroDivisionError
        broker.publish(ALICE, said("x"), None)
    assert (ear.heard, other.heard) == ([], ["x"])


def test_who_resumes_is_given_exactly_what_came_between(broker: Broker) -> None:
    first, second = Ear("a"), Ear("b")
    with broker.subscribe(ALICE, first, "") as start:
        assert start
        assert (start.recovered, start.frames) == (True, [])
        broker.publish(ALICE, said("1"), None)
        broker.publish(ALICE, said("only for a", WsSendMethod.SENDER_ONLY), "a")
    broker.publish(ALICE, said("2"), None)
    with broker.subscribe(ALICE, second, f"{start.epoch}:{start.offset + 1}") as resumed:
        broker.publish(ALICE, said("3"), None)
    assert resumed
    assert resumed.recovered
    assert [frame.message.error.message for frame in resumed.frames if frame.message.error] == ["2"]
    assert [frame.offset for frame in resumed.frames] == [start.offset + 3]
    assert second.heard == ["3"]


@pytest.mark.parametrize("since", ["other:0", "nonsense", ":", "x:y", "{}:99", "{}:-1", "{}:1.0", "{}:" + "9" * 40, "{}:²"])
def test_a_place_that_is_not_in_the_log_is_not_recovered(broker: Broker, since: str) -> None:
    with (
        broker.subscribe(ALICE, Ear("a"), "") as start,
        broker.subscribe(ALICE, Ear("b"), since.format(start and start.epoch)) as lost,
    ):
        assert start
        assert lost
        assert (lost.epoch, lost.offset, lost.recovered, lost.frames) == (start.epoch, start.offset, False, [])


def test_nothing_is_kept_of_users_who_have_gone_but_their_log_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = MemoryBroker(LIMITS)
    now = 1000.0
    monkeypatch.setattr("backends.broker.time.monotonic", lambda: now)
    for number in range(100):
        with broker.subscribe(UUID(int=number), Ear("a"), None), broker.subscribe(UUID(int=number), Ear("b"), None):
            pass
    assert broker._users == {}
    for number in range(100):
        with broker.subscribe(UUID(int=number), Ear("a"), ""):
            pass
    assert len(broker._users) == 100
    now += LIMITS.seconds + 1
    with broker.subscribe(BOB, Ear("a"), None):
        assert set(broker._users) == {BOB}
    assert not broker._users
    assert not broker._gone
