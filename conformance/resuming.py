"""Section 6: numbered frames, and going on after a cut."""

from collections.abc import Iterable

from conformance.assets import BOB
from conformance.requests import BOBS
from conformance.room import LONG_PROMPT, Room
from conformance.rule import Rule, expect, expect_equal, expect_same_lists
from conformance.shapes import HEARTBEAT, RESUMED, expect_shapes
from conformance.telling import difference, expect_adds_up, retold
from conformance.wire import LIST, Heard, Line, Payload

FOREIGN = ("0123456789abcdef:0", "nonsense", ":", "0:x")


async def first_frame(room: Room) -> None:
    async with room.open(since="") as line:
        payload = await resumed(line)
        expect_equal(payload["recovered"], True, "recovered of a connection from now on")
        await line.expect_nothing()


async def resumed(line: Line) -> Payload:
    """What the first frame of a connection with `since` says."""
    heard = await line.hear()
    expect_equal((heard.route, heard.event, heard.error), ("/stream", "resumed", None), "the first frame")
    expect_shapes(RESUMED, [heard.payload], "resumed")
    payload: Payload = heard.payload
    return payload


async def numbered(room: Room) -> None:
    for name, recording in await room.recordings():
        for heard in recording.numbered[1:]:
            expect_equal(list(heard.frame)[-1], "offset", f"the last key of a {heard.event} of {name}")
        expect_increasing(recording.numbered[1:], recording.numbered[0].payload["offset"])
    async with room.open(BOB, since="") as line:
        begin = (await resumed(line))["offset"]
        frames = [await line.answer({}, LIST, id="x"), await line.answer(7, id="x"), *await line.post(BOBS)]
        for heard in frames:
            expect_equal(list(heard.frame)[-1], "offset", f"the last key of a {heard.event}")
        expect_increasing(frames, begin)


def expect_increasing(frames: Iterable[Heard], after: int) -> None:
    """Go on only if the offsets are whole numbers that grow from after this one."""
    for heard in frames:
        offset = heard.frame.get("offset")
        expect(isinstance(offset, int) and offset > after, f"the offset {offset} after {after}")
        after = int(str(offset))


async def same_numbers(room: Room) -> None:
    async with room.open(BOB, since="") as one, room.open(BOB, since="") as two:
        await one.hear()
        await two.hear()
        stream = [heard.raw for heard in await one.post(BOBS)]
        expect([heard.raw for heard in await two.rest_with_end()] == stream, "two connections have different numbers")


async def without_since(room: Room) -> None:
    for name, recording in await room.recordings():
        for heard in recording.sender + recording.other:
            expect("offset" not in heard.frame, f"a {heard.event} of {name} has an offset")
            expect(heard.route != "/stream", f"there came {heard.route} {heard}")


async def after_a_cut(room: Room) -> None:
    async with room.open() as beside:
        async with room.open(since="") as cut:
            epoch = (await resumed(cut))["epoch"]
            await cut.ask({"prompt": LONG_PROMPT}, id="cut")
            before = [await cut.hear(), await cut.hear()]
            cut.socket.transport.abort()
        async with room.open(since=f"{epoch}:{before[-1].frame['offset']}") as again:
            payload = await resumed(again)
            expect_equal((payload["epoch"], payload["recovered"]), (epoch, True), "epoch and recovered after a cut")
            after = await again.until_end()
            await again.expect_nothing()
        expect_increasing(before + after, 0)
        expect_adds_up(before + after)
        told = await beside.rest_with_end()
    expect_equal([heard.label for heard in told if heard.is_end], ["cut"], "the ends on a connection that was not cut")
    expect_same_story(before + after, told)


def expect_same_story(frames: list[Heard], told: list[Heard]) -> None:
    """Go on only if both are told the same, once."""
    (whole, texts), (other, other_texts) = retold(frames), retold(told)
    expect_same_lists(whole, other, "what was told with and without a cut")
    for id in texts | other_texts:
        one, two = texts.get(id, ""), other_texts.get(id, "")
        expect(one == two, f"with and without a cut: {difference(one, two)}")


async def missed_streams(room: Room) -> None:
    async with room.open(BOB, since="") as line, room.open(BOB) as other:
        start = await resumed(line)
        line.socket.transport.abort()
        told = [*await other.post(BOBS, id="one"), *await other.post(BOBS, id="two")]
    for _ in range(2):  # whoever was cut again before the end asks again
        async with room.open(BOB, since=f"{start['epoch']}:{start['offset']}") as line:
            expect_equal((await resumed(line))["recovered"], True, "recovered")
            missed = [await line.hear() for _ in told]
            expect_same_lists([heard.unnumbered for heard in missed], [str(heard.raw) for heard in told], "what was missed")
            expect_increasing(missed, start["offset"])
            await line.expect_nothing()


async def nothing_missed(room: Room) -> None:
    async with room.open(BOB, since="") as line:
        epoch = (await resumed(line))["epoch"]
        offset = (await line.post(BOBS))[-1].frame["offset"]
    async with room.open(BOB, since=f"{epoch}:{offset}") as line:
        payload = await resumed(line)
        expect_equal((payload["epoch"], payload["recovered"]), (epoch, True), "epoch and recovered")
        await line.expect_nothing()
        expect_increasing(await line.post(BOBS), offset)


async def foreign(room: Room) -> None:
    for since in FOREIGN:
        async with room.open(BOB, since=since) as line:
            expect_equal((await resumed(line))["recovered"], False, f"recovered of since={since}")
            await line.expect_nothing()
    async with room.open(BOB, since=FOREIGN[0]) as line:
        await line.hear()
        await line.post(BOBS)


async def heartbeat(room: Room) -> None:
    async with room.open(BOB, since="") as line:
        before = await resumed(line)
        line.leaves_out_heartbeats = False
        heard = await line.hear()
        expect(heard.is_heartbeat, f"on a quiet connection there came {heard.route} {heard}")
        expect_shapes(HEARTBEAT, [heard.payload], "heartbeat")
        expect_equal(heard.frame.get("send_method"), "SenderOnly", "its send_method")
        expect("offset" not in heard.frame, "a heartbeat has an offset")
    async with room.open(BOB, since=f"{before['epoch']}:{before['offset']}") as again:
        expect_equal(await resumed(again), before, "what resumes from before the heartbeat")
        await again.expect_nothing()


RULES = [
    Rule("6.1", "With an empty `since` the first frame is a resumed with epoch, offset and recovered: true.", first_frame),
    Rule("6.2", "With `since` each frame has an offset as its last key, which always grows.", numbered),
    Rule("6.3", "A frame has the same number on all connections of the user.", same_numbers),
    Rule("6.4", "Without `since` no frame has an offset, and none is of /stream.", without_since),
    Rule("6.5", "After a cut in the middle of a stream all that was missed follows, once and in order.", after_a_cut),
    Rule("6.6", "Streams that were missed whole follow byte for byte.", missed_streams),
    Rule("6.7", "Who has missed nothing is told nothing, and goes on.", nothing_missed),
    Rule("6.8", "With a foreign epoch recovered is false, nothing of the past follows, and the connection works.", foreign),
    Rule("6.9", "With `since` and nothing else to tell there comes a heartbeat, without an offset.", heartbeat),
]
