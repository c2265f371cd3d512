"""What waits for readers is bounded, and a reader is judged by what it takes and not by how large a frame is."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import UUID, uuid4

import anyio
import anyio.lowlevel
import pytest

from backends.agent_events import ResponseChunk
from backends.frame import LARGE_BYTES, Frame
from backends.metrics import Traffic
from handlers.connection import TOO_SLOW, Connection
from handlers.outboxes import ANSWERS, BEHIND_LOOKS, Outboxes, ServerBehind, TooMuchWaits
from schemas.chats import TextResponse
from schemas.errors import WsError, WsErrorCode
from schemas.events import GeneratingResponseMessage, WsEvent
from schemas.frames import SentBy, WsResponseMessage, WsSendMethod
from schemas.users import AuthenticatedUser
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import TIMEOUT_S
from tests.support.house import open_house
from tests.support.waiting import connections, refused, until
from tests.support.world import ALICE, BOB, uuid

MANY = 10**9
MIB = 2**20


def frame(size: int) -> Frame:
    """A frame of exactly so many bytes that cannot be joined."""
    error = WsError(WsErrorCode.BAD_REQUEST, "")
    message = WsResponseMessage("/", "error", None, SentBy(ALICE, "Alice"), error, WsSendMethod.ALL)
    message.error = WsError(WsErrorCode.BAD_REQUEST, "x" * (size - Frame(message).size))
    return Frame(message)


def delta(text: str) -> Frame:
    payload = GeneratingResponseMessage(TextResponse(uuid(4), None, text, False), uuid(5), uuid(6), "in_progress")
    sent_by = SentBy(ALICE, "Alice")
    return Frame(
        WsResponseMessage("/chats/post", WsEvent.GENERATING_RESPONSE_MESSAGE, payload, sent_by, None, WsSendMethod.ALL)
    )


def outbox(outboxes: Outboxes, user_id: UUID = ALICE) -> Connection:
    user = AuthenticatedUser(user_id, "alice@acme.example", "Alice", None, 0)
    made = Connection(user, "", 1, Traffic(), outboxes.share_of(user_id), joins=True, numbered=False)
    made.share.members.add(made)
    return made


class Pipe:
    """A line of which a test decides how much the peer takes of it."""

    heard_at = 0.0

    def __init__(self) -> None:
        self.unsent = 0
        self.sent: list[int] = []
        self.on_room: Callable[[], None] = lambda: None
        self.lost: Callable[[], None] = lambda: None

    async def answers(self, seconds: float) -> bool:
        return True

    def end(self) -> bool:
        return False

    def send_frame(self, frame: Frame, numbered: bool) -> bool:
        self.unsent += frame.size
        self.sent.append(frame.size)
        return False

    def close(self, code: int, reason: str) -> None:
        pass

    def drop(self) -> None:
        pass

    def when_lost(self, callback: Callable[[], None]) -> None:
        self.lost = callback

    def take(self, size: int = 0) -> None:
        """The peer takes so many bytes, or all."""
        self.unsent -= size or self.unsent
        if not self.unsent:
            self.on_room()


def opened(connection: Connection) -> Pipe:
    """The line on which the connection is open now."""
    pipe = Pipe()
    connection.open(pipe)
    return pipe


async def test_a_reader_that_takes_what_it_is_given_is_not_too_slow_however_much_waits() -> None:
    connection = outbox(Outboxes(2000, MANY, MANY))
    pipe = opened(connection)
    for _ in range(3):
        connection.put(frame(100_000))
    assert connection.behind == 200_000
    for _ in range(3 * BEHIND_LOOKS):
        connection.look()
        connection.put(frame(1000))
        pipe.take(1)
    for sent in (2, 3):
        pipe.take()
        assert len(pipe.sent) == sent
        connection.look()
    assert connection._closing is None
    for _ in range(BEHIND_LOOKS + 1):
        connection.look()
    assert connection._closing == TOO_SLOW


async def test_a_reader_that_takes_nothing_is_closed_once_more_than_the_bound_waits_behind_what_is_sent() -> None:
    connection = outbox(Outboxes(2000, MANY, MANY))
    pipe = opened(connection)
    connection.put(frame(5000))
    connection.put(frame(1000))
    connection.put(frame(1000))
    for _ in range(3 * BEHIND_LOOKS):
        connection.look()
    assert connection._closing is None  # exactly full is still good
    connection.put(frame(400))
    assert connection._closing == TOO_SLOW
    assert (connection.waiting, connection.share.bytes, connection.share.outboxes.bytes) == (0, 0, 0)
    connection.put(frame(400))
    assert connection.waiting == 0
    assert connection.share.leaving == connection.share.outboxes.leaving == 5000  # which lie in the transport
    pipe.lost()
    assert connection.share.leaving == connection.share.outboxes.leaving == 0


async def test_a_reader_that_stops_in_the_middle_of_a_large_frame_is_closed_by_a_look_alone() -> None:
    connection = outbox(Outboxes(2000, MANY, MANY))
    opened(connection)
    for _ in range(4):
        connection.put(frame(LARGE_BYTES))
    await until(lambda: connection._closing)  # with the looks that the outboxes take by themselves
    assert connection._closing == TOO_SLOW


async def test_what_waits_of_one_text_is_one_frame_and_counts_by_its_characters() -> None:
    outboxes = Outboxes(2000, MANY, MANY)
    connection = outbox(outboxes)
    for _ in range(300):
        connection.put(delta("ö\n"))  # four bytes each, as JSON
    (waiting,) = connection._frames
    assert waiting.message == delta("ö\n" * 300).message
    assert connection.waiting == waiting.size == delta("ö\n" * 300).size == outboxes.bytes


async def test_what_waits_is_not_joined_across_another_frame() -> None:
    connection = outbox(Outboxes(MANY, MANY, MANY))
    for each in (delta("a"), delta("b"), frame(400), delta("c")):
        connection.put(each)
    assert [waiting.size for waiting in connection._frames] == [delta("ab").size, 400, delta("c").size]


async def test_a_text_that_waits_is_joined_up_to_a_size_so_that_no_delta_copies_all_of_it() -> None:
    connection = outbox(Outboxes(MANY, MANY, MANY))
    for _ in range(20):
        connection.put(delta("x" * 10_000))
    assert [waiting.size // 10_000 for waiting in connection._frames] == [7, 7, 6]


async def test_a_frame_that_waits_for_many_counts_once_and_until_the_last_has_sent_it() -> None:
    outboxes = Outboxes(MANY, MANY, MANY)
    tabs = [outbox(outboxes) for _ in range(3)]
    first = opened(tabs[0])
    second = opened(tabs[1])
    shared = frame(5000)
    for tab in tabs:
        tab.put(shared)
    assert [tab.waiting for tab in tabs] == [5000] * 3
    assert outboxes.bytes == tabs[0].share.bytes == 5000
    first.take()
    second.take()
    assert tabs[0].waiting == tabs[1].waiting == 0
    assert outboxes.bytes == 5000
    tabs[2].close(TOO_SLOW)
    assert (outboxes.bytes, tabs[0].share.bytes, shared.holders) == (0, 0, 0)


async def test_of_a_user_for_whom_too_much_waits_those_go_that_are_furthest_behind() -> None:
    outboxes = Outboxes(1000, 20_000, MANY)
    far, near, fine = (outbox(outboxes) for _ in range(3))
    other = outbox(outboxes, BOB)
    for connection, frames in ((far, 9), (near, 5), (fine, 1), (other, 8)):
        for _ in range(frames):
            connection.put(frame(1000))
    fine.put(frame(4000))
    assert (far._closing, near._closing, fine._closing, other._closing) == (None,) * 4
    assert far.share.bytes == 19_000
    near.put(frame(2000))
    assert (far._closing, near._closing, fine._closing, other._closing) == (TOO_SLOW, None, None, None)
    assert far.share.bytes == 12_000


async def test_a_frame_larger_than_a_user_may_have_waiting_is_sent_all_the_same_and_no_answer_beside_it() -> None:
    outboxes = Outboxes(1000, 20_000, MANY)
    connection = outbox(outboxes)
    connection.put(frame(50_000))
    connection.put(frame(1000))
    assert connection._closing is None
    with pytest.raises(TooMuchWaits):
        outboxes.check(ALICE)
    outboxes.check(BOB)


async def test_of_a_process_in_which_too_much_waits_the_largest_go_and_the_last_stays() -> None:
    outboxes = Outboxes(1000, MANY, 200_000)
    slow = [outbox(outboxes, uuid(number)) for number in range(3)]
    for connection, size in zip(slow, (100_000, 50_000, 30_000), strict=True):
        connection.put(frame(size))
    slow[2].put(frame(30_000))
    assert [connection._closing for connection in slow] == [TOO_SLOW, None, None]
    slow[1].put(frame(300_000))
    assert [connection._closing for connection in slow] == [TOO_SLOW, TOO_SLOW, None]
    slow[2].put(frame(300_000))
    assert slow[2]._closing is None
    with pytest.raises(ServerBehind):
        outboxes.check(ALICE)


async def test_what_a_connection_resumes_with_does_not_count_against_it() -> None:
    connection = outbox(Outboxes(2000, MANY, MANY))
    connection.go_on([frame(1500) for _ in range(10)])
    connection.put(frame(400))
    assert connection._closing is None


async def test_a_chat_larger_than_the_bound_is_posted_in_by_a_reader_that_reads(settings: Settings) -> None:
    small = replace(settings, outbox_bytes=50_000)
    agent = ScriptedAgent(*(ResponseChunk("word " * 4000) for _ in range(8)))
    async with open_house(small, agent) as house, house.connect() as client:
        chat: dict[str, str] = {}
        for _ in range(4):
            frames = await client.post(prompt="x" * 31_000, **chat)
            assert frames[-1]["event"] == "complete"
            chat = {"chat_id": frames[-1]["payload"]["id"]}
        assert len(frames[-1]["payload"]["messages"]) == 4


LONG = ScriptedAgent(*(ResponseChunk("x" * 50_000) for _ in range(10)))  # half a megabyte


async def test_what_a_connection_asks_for_and_does_not_read_is_bounded_and_the_rest_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.outboxes.WAIT_S", 0.1)
    # Not closed for being slow, or on a busy machine nobody would be left to be refused.
    bounded = replace(settings, outbox_bytes=2**30, outbox_bytes_per_user=8_000_000)
    async with open_house(bounded, LONG) as house, house.connect() as good, house.connect() as stuck:
        id = str(uuid4())
        chat_id = (await good.post(prompt="Go", message_id=id))[-1]["payload"]["id"]
        await stuck.stream()
        stuck.socket.transport.pause_reading()
        outboxes = house.services.connections.outboxes
        for _ in range(40):
            await stuck.send({"id": chat_id}, "/chats/get")
        await until(lambda: refused(house) > 0 and not house.services.requests)
        assert 2_000_000 < outboxes.bytes < 2_000_000 + ANSWERS * 600_000

        await good.send({"page_token": 0, "page_size": 10}, "/chats/list")
        answer = await good.frame()
        assert (answer["event"], answer["error"]["code"]) == ("getChatsList", "TOO_MANY_REQUESTS")
        assert (await good.refusal({"prompt": "Go", "message_id": id}))["code"] == "TOO_MANY_REQUESTS"  # a retry
        async with house.connect(BOB) as other:
            assert (await other.post(prompt="Go"))[-1]["event"] == "complete"

        stuck.socket.transport.resume_reading()
        answers = [await stuck.frame() for _ in range(40)]
        assert {answer["event"] for answer in answers} == {"getChat"}
        assert {answer["error"]["code"] for answer in answers if answer["error"]} == {"TOO_MANY_REQUESTS"}
        await until(lambda: outboxes.bytes == 0)
        await good.send({"id": chat_id}, "/chats/get")
        assert (await good.frame())["payload"]["id"] == chat_id


async def test_what_many_do_not_read_is_in_memory_once(settings: Settings) -> None:
    async with open_house(replace(settings, outbox_bytes=2**30), LONG) as house, AsyncExitStack() as stack:
        good, *stuck = [await stack.enter_async_context(house.connect()) for _ in range(4)]
        for each in stuck:
            each.socket.transport.pause_reading()
        outboxes, behind = house.services.connections.outboxes, list[Connection]()
        while len(behind) < len(stuck):
            await good.post(prompt="Go")
            behind = [each for each in house.services.connections if len(each._frames) > 10]
        held = {frame for each in behind for frame in (each._current, *each._frames) if frame}
        await until(lambda: outboxes.bytes == sum(frame.size for frame in held))
        assert sum(each.waiting for each in behind) > 2 * outboxes.bytes
        for each in stuck:
            each.socket.transport.abort()
        await until(lambda: connections(house) == 1 and not outboxes.bytes)


async def test_whoever_is_closed_in_the_turn_in_which_its_line_has_drained_lets_go_of_its_frame_once() -> None:
    boxes = Outboxes(1000, MANY, MANY)
    first, second = outbox(boxes), outbox(boxes)
    line = opened(first)
    opened(second)
    shared = frame(5000)
    first.put(shared)
    second.put(shared)
    line.take()
    first.close(TOO_SLOW)
    assert (first.waiting, shared.holders, boxes.bytes) == (0, 1, 5000)


async def test_what_lies_in_a_closed_connections_transport_counts_until_it_is_lost_whoever_else_has_read_it() -> None:
    boxes = Outboxes(1000, MANY, MANY)
    stuck, good = outbox(boxes), outbox(boxes)
    line = opened(stuck)
    other = opened(good)
    shared = frame(1_000_000)
    stuck.put(shared)
    good.put(shared)
    stuck.close(TOO_SLOW)
    other.take()
    assert good.waiting == 0
    assert (boxes.bytes, boxes.leaving) == (0, 1_000_000)
    line.lost()
    assert (boxes.bytes, boxes.leaving) == (0, 0)


async def test_when_too_much_waits_those_that_take_nothing_are_closed_before_one_that_does() -> None:
    boxes = Outboxes(MIB, 64 * MIB, 8 * MIB)
    stuck, good = [outbox(boxes, uuid(number)) for number in range(8)], outbox(boxes, uuid(100))
    for each in [*stuck, good]:
        opened(each)
    for each in stuck:
        for _ in range(15):
            each.put(frame(MIB // 16))
    for each in [*stuck, *stuck]:
        each.look()
    good.put(frame(2 * MIB))  # the end of an answer, to one that has taken all that it was given
    assert good._closing is None
    assert [each._closing for each in stuck].count(TOO_SLOW) >= 1


@pytest.mark.parametrize("how", ["read", "lost"])
async def test_whoever_waits_for_room_goes_on_as_soon_as_there_is_some(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.outboxes.WAIT_S", 1000.0)
    boxes = Outboxes(MIB, 400_000, MANY)
    full, good = outbox(boxes), outbox(boxes)
    line = opened(full)
    opened(good)
    for _ in range(20):
        full.put(frame(10_000))  # each too small to count as progress
    with anyio.fail_after(TIMEOUT_S):
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                async with boxes.room(ALICE):
                    pass

            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            if how == "lost":
                full.close(TOO_SLOW)
                line.lost()
            while full.waiting:
                line.take()
                await anyio.lowlevel.checkpoint()
