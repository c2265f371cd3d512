"""The broker's contract, run against each implementation: who hears what, in which order, and that nothing is kept."""

from uuid import UUID

import pytest

from backends.broker import Broker, MemoryBroker
from schemas.frames import WsSendMethod
from tests.world import ALICE, BOB


class Ear:
    """A subscriber that remembers."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.heard: list[str] = []

    def put(self, frame: str) -> None:
        self.heard.append(frame)


@pytest.fixture(params=[MemoryBroker])
def broker(request: pytest.FixtureRequest) -> Broker:
    made: Broker = request.param()
    return made


@pytest.mark.parametrize(
    ("method", "hearers"),
    [(WsSendMethod.ALL, {"a", "b", "c"}), (WsSendMethod.ALL_BUT_SENDER, {"a", "c"}), (WsSendMethod.SENDER_ONLY, {"b"})],
)
def test_a_frame_reaches_those_of_its_user_that_it_is_for(broker: Broker, method: WsSendMethod, hearers: set[str]) -> None:
    mine, other = [Ear("a"), Ear("b"), Ear("c")], Ear("d")
    with (
        broker.subscribe(ALICE, mine[0]),
        broker.subscribe(ALICE, mine[1]),
        broker.subscribe(ALICE, mine[2]),
        broker.subscribe(BOB, other),
    ):
        broker.publish(ALICE, "frame", method, "b")
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
    with broker.subscribe(ALICE, ear):
        broker.publish(ALICE, "x", method, sender)
    assert ear.heard == heard


def test_frames_keep_their_order_and_end_with_the_subscription(broker: Broker) -> None:
    ear = Ear("a")
    broker.publish(ALICE, "too early", WsSendMethod.ALL, None)
    with broker.subscribe(ALICE, ear):
        for number in range(100):
            broker.publish(ALICE, str(number), WsSendMethod.ALL, None)
    broker.publish(ALICE, "too late", WsSendMethod.ALL, None)
    assert ear.heard == [str(number) for number in range(100)]


def test_a_subscription_ends_also_when_its_block_fails(broker: Broker) -> None:
    ear, other = Ear("a"), Ear("b")
    with broker.subscribe(ALICE, other):
        with pytest.raises(ZeroDivisionError), broker.subscribe(ALICE, ear):
            raise ZeroDivisionError
        broker.publish(ALICE, "x", WsSendMethod.ALL, None)
    assert (ear.heard, other.heard) == ([], ["x"])


def test_nothing_is_kept_of_users_who_have_gone() -> None:
    broker = MemoryBroker()
    for number in range(100):
        with broker.subscribe(UUID(int=number), Ear("a")), broker.subscribe(UUID(int=number), Ear("b")):
            pass
    assert broker._subscribers == {}
