"""What waits for Redis: bounded, its deltas joined first, its ends kept longest."""

import math

from hypothesis import given
from hypothesis import strategies as st

from backends.frame import Frame
from backends.lease import Lease
from backends.redis.backlog import Backlog
from backends.redis.outgoing import MARK, Order, Outgoing
from schemas.events import WsEvent
from schemas.frames import WsSendMethod
from tests.support.telling import delta, said, told


def filled(bound: int, frames: list[tuple[str, Frame]]) -> Backlog:
    backlog = Backlog(bound)
    for number, (user, frame) in enumerate(frames, 1):
        backlog.append(Outgoing(number, user, WsSendMethod.ALL, None, frame))
    return backlog


def never(outgoing: Outgoing) -> None:
    raise AssertionError(outgoing)


def all_of(backlog: Backlog) -> list[Outgoing]:
    taken = backlog.take(10**6, 10**9, never)
    assert (len(backlog), backlog._size) == (0, 0)
    return [each for each in taken if isinstance(each, Outgoing)]


WORDS = st.lists(
    st.tuples(st.sampled_from("xy"), st.integers(1, 2), st.text(st.characters(codec="ascii"), max_size=3)), max_size=60
)


@given(WORDS)
def test_joining_changes_no_text_and_keeps_the_order(words: list[tuple[str, int, str]]) -> None:
    backlog = filled(10**9, [(user, delta(part, text)) for user, part, text in words])
    assert backlog.shrink() == set()
    left = all_of(backlog)
    for user in "xy":
        before = [delta(part, text) for who, part, text in words if who == user]
        assert told([each.frame for each in left if each.user_id == user]) == told(before)
    numbers = [each.number for each in left]
    assert numbers == sorted(set(numbers))


def test_deltas_go_before_others_and_ends_last_and_the_oldest_first() -> None:
    end = said("end", event=WsEvent.POST_THREAD)
    frames = [
        ("x", end),
        ("y", said("other")),
        ("x", delta(1, "a")),
        ("x", said("between")),
        ("x", delta(1, "b")),
    ]
    sizes = [each.size for each in all_of(filled(10**9, frames))]
    for bound, left, losers in (
        (2 * sum(sizes), [1, 2, 3, 4, 5], set()),
        (2 * (sum(sizes) - 1), [1, 2, 4, 5], {"x"}),
        (2 * (sizes[0] + sizes[3]), [1, 4], {"x", "y"}),
        (2 * sizes[0], [1], {"x", "y"}),
        (0, [], {"x", "y"}),
    ):
        backlog = filled(bound, frames)
        assert backlog.shrink() == losers
        assert [each.number for each in all_of(backlog)] == left


def test_orders_are_dropped_and_nothing_else() -> None:
    backlog = filled(10**9, [("x", said("1"))])
    order = Order(("PING",))
    backlog.append(order)
    assert backlog.drop_orders() == [order]
    assert [each.number for each in all_of(backlog)] == [1]


def test_a_batch_has_a_number_and_a_size() -> None:
    backlog = filled(10**9, [("x", said("x" * 1000)) for _ in range(10)])
    assert len(backlog.take(3, 10**6, never)) == 3
    assert len(backlog.take(10, 2000, never)) == 2
    assert len(backlog) == 5


def test_a_batch_has_a_little_of_each_user_first_and_then_what_is_left_of_the_oldest() -> None:
    large = [("x", said(f"{number}".ljust(40_000))) for number in range(40)]
    backlog = filled(10**9, [*large, ("y", said("1")), ("z", said("1")), ("y", said("2"))])
    batch = [each for each in backlog.take(500, 2**20, never) if isinstance(each, Outgoing)]
    assert [each.user_id for each in batch[:5]] == ["x", "y", "z", "y", "x"]
    assert 2**20 <= sum(each.size for each in batch) < 2**20 + 50_000
    rest = all_of(backlog)
    for user in "xyz":  # each in its order
        numbers = [each.number for each in (*batch, *rest) if each.user_id == user]
        assert numbers == sorted(numbers)


def test_a_large_frame_waits_for_others_but_not_for_ever() -> None:
    backlog = filled(10**9, [("x", said("x" * 2_000_000)), *((f"{number}", said("y" * 50_000)) for number in range(100))])
    batch = [each for each in backlog.take(500, 2**20, never) if isinstance(each, Outgoing)]
    assert [each.user_id for each in batch[:2]] == ["0", "1"]
    assert batch[-1].user_id == "x"


def test_what_is_unsure_behind_a_large_frame_is_passed_over_when_that_is_gone_and_not_before() -> None:
    lease = Lease()
    lease.renew(-math.inf)
    backlog = filled(10**9, [("x", said("x" * 60_000)), ("x", said("y" * 60_000)), ("x", said("z" * 60_000))])
    backlog.append(Outgoing(4, "x", WsSendMethod.ALL, None, said("unsure"), lease))
    assert [each.number for each in backlog.take(1, 1, never) if isinstance(each, Outgoing)] == [1]
    assert [each.number for each in backlog.take(500, 80_000, never) if isinstance(each, Outgoing)] == [2, 3]
    passed: list[Outgoing] = []
    assert backlog.take(500, 10**6, passed.append) == []
    assert [each.number for each in passed] == [4]


def test_one_user_is_shrunk_alone_and_what_goes_is_theirs() -> None:
    frames = [
        *(("x", delta(1, f"{number} ")) for number in range(10)),
        ("y", said("y" * 10_000)),
        *(("x", said(f"{number}".ljust(10_000))) for number in range(10)),
    ]
    backlog = filled(100_000, frames)
    order = Order(("PING",))
    backlog.append(order)
    backlog.append(Outgoing(99, "x", WsSendMethod.SENDER_ONLY, "sender", MARK))
    assert backlog.shrink_user("x")
    taken = backlog.take(500, 10**9, never)
    left = [each for each in taken if isinstance(each, Outgoing)]
    assert order in taken
    assert [each.frame.message.error.message[0] for each in left if each.frame.message.error] == ["y", "8", "9"]
    assert (len(backlog), backlog._size) == (0, 0)


def test_joining_is_enough_for_many_words() -> None:
    backlog = filled(20_000, [("x", delta(1, f"{number} ")) for number in range(100)])
    assert not backlog.shrink_user("x")
    (whole,) = all_of(backlog)
    assert told([whole.frame]) == told([delta(1, f"{number} ") for number in range(100)])


def test_in_an_outage_those_lose_first_who_have_more_than_a_share() -> None:
    few = [(f"{number}", said("y" * 1000)) for number in range(10)]
    backlog = filled(100_000, [*few, *(("x", said("x" * 30_000)) for _ in range(4))])
    assert backlog.is_over
    assert backlog.shrink() == {"x"}
    assert [each.user_id for each in all_of(backlog)] == [*(user for user, _ in few), "x"]
