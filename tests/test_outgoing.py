"""What waits for Redis: bounded, its deltas joined first, its ends kept longest."""

from hypothesis import given
from hypothesis import strategies as st

from backends.frame import Frame
from backends.outgoing import Backlog, Order, Outgoing
from schemas.events import WsEvent
from schemas.frames import WsResponseMessage, WsSendMethod
from tests.test_broker import said
from tests.test_resume import delta, told


def filled(bound: int, messages: list[tuple[str, WsResponseMessage]]) -> Backlog:
    backlog = Backlog(bound)
    for number, (user, message) in enumerate(messages, 1):
        backlog.append(Outgoing(number, user, WsSendMethod.ALL, None, Frame(message)))
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
    backlog = filled(10**9, [(user, delta(part, text).message) for user, part, text in words])
    assert backlog.shrink() == set()
    left = all_of(backlog)
    for user in "xy":
        before = [delta(part, text) for who, part, text in words if who == user]
        assert told([each.frame for each in left if each.user_id == user]) == told(before)
    numbers = [each.number for each in left]
    assert numbers == sorted(set(numbers))


def test_deltas_go_before_others_and_ends_last_and_the_oldest_first() -> None:
    end = said("end")
    end.event = WsEvent.POST_THREAD
    messages = [
        ("x", end),
        ("y", said("other")),
        ("x", delta(1, "a").message),
        ("x", said("between")),
        ("x", delta(1, "b").message),
    ]
    sizes = [each.size for each in all_of(filled(10**9, messages))]
    for bound, left, losers in (
        (2 * sum(sizes), [1, 2, 3, 4, 5], set()),
        (2 * (sum(sizes) - 1), [1, 2, 4, 5], {"x"}),
        (2 * (sizes[0] + sizes[3]), [1, 4], {"x", "y"}),
        (2 * sizes[0], [1], {"x", "y"}),
        (0, [], {"x", "y"}),
    ):
        backlog = filled(bound, messages)
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
