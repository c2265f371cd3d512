"""The hostile proxy itself, by a plain client: each fault does what it says, and without any it changes nothing."""

import json
from typing import Any
from uuid import UUID

import anyio
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from tests.support.client import TIMEOUT_S, is_end
from tests.support.crowd import ask, token_of
from tests.support.hostile import Fault, Hostile
from tests.support.over_http import request_at
from tests.support.paced import said

PROMPT = "words=10 pause=1 title=About_it n=1"


def opened(hostile: Hostile, user: UUID, since: str = "") -> connect:
    headers = {"Authorization": f"Bearer {token_of(user)}"}
    url = f"ws://127.0.0.1:{hostile.port}/api/v1/ws?since={since}"
    return connect(url, additional_headers=headers, max_size=None, max_queue=None, ping_interval=None, proxy=None)


async def stream(socket: ClientConnection) -> list[dict[str, Any]]:
    """All frames up to an end, or that of the line."""
    frames: list[dict[str, Any]] = []
    with anyio.fail_after(TIMEOUT_S):
        try:
            while not frames or not is_end(frames[-1]):
                frames.append(json.loads(await socket.recv()))
        except ConnectionClosed:
            pass
    return [frame for frame in frames if frame["event"] != "heartbeat"]


async def posted(hostile: Hostile, user: UUID, *faults: Fault) -> tuple[list[dict[str, Any]], int | None]:
    hostile.ways.clear()
    hostile.history = [faults]
    async with opened(hostile, user) as socket:
        await socket.send(json.dumps({"route": "/chats/post", "payload": {"prompt": PROMPT}}))
        frames = await stream(socket)
    return frames, socket.close_code


def offsets(frames: list[dict[str, Any]]) -> list[int]:
    return [frame["offset"] for frame in frames if "offset" in frame]


def texts(frames: list[dict[str, Any]]) -> str:
    parts = (frame["payload"]["response_message"] for frame in frames if frame["event"] == "generatingResponseMessage")
    return "".join(part.get("message_chunk") or "" for part in parts)


async def test_without_a_fault_all_goes_through_in_order(hostile: Hostile, user: UUID) -> None:
    frames, _ = await posted(hostile, user)
    assert texts(frames) == said(PROMPT)
    assert offsets(frames) == list(range(1, len(frames)))  # all but `resumed`


@pytest.mark.parametrize("kind", ["pieces", "bytes", "pause", "unknown"])
async def test_what_is_cut_into_pieces_slowed_or_made_strange_is_whole(hostile: Hostile, user: UUID, kind: str) -> None:
    frames, _ = await posted(hostile, user, *(Fault(kind, at, 5) for at in range(5)))
    assert texts(frames) == said(PROMPT)
    assert sum(frame["event"] == "weather" for frame in frames) == (5 if kind == "unknown" else 0)
    assert any("novelty" in frame for frame in frames) == (kind == "unknown")


async def test_frames_are_doubled_swapped_dropped_and_stripped(hostile: Hostile, user: UUID) -> None:
    base = 0
    for kind, wanted in {
        "double": [1, 2, 3, 3, 4, 5],
        "swap": [1, 2, 4, 3, 5, 6],
        "drop": [1, 2, 4, 5, 6, 7],
        "bare": [1, 2, 4, 5, 6, 7],
    }.items():
        found = offsets((await posted(hostile, user, Fault(kind, 3)))[0])
        assert [offset - base for offset in found[:6]] == wanted, kind
        assert found[6:] == list(range(base + wanted[-1] + 1, max(found) + 1))
        base = max(found)


async def test_a_cut_comes_within_a_frame_and_a_resumption_has_the_rest(hostile: Hostile, user: UUID) -> None:
    frames, code = await posted(hostile, user, Fault("cut", 5, 500))
    assert (len(frames), code) == (5, 1006)
    epoch = frames[0]["payload"]["epoch"]
    async with opened(hostile, user, f"{epoch}:{frames[-1]['offset']}") as socket:
        rest = await stream(socket)
    assert rest[0]["payload"]["recovered"] is True
    assert texts(frames + rest) == said(PROMPT)
    assert len(hostile.ways) == 2


@pytest.mark.parametrize("code", [1000, 1011, 1012, 4001, 4008, 4029, 4503])
async def test_it_closes_with_each_code_at_once_and_later(hostile: Hostile, user: UUID, code: int) -> None:
    frames, closed = await posted(hostile, user, Fault("close", 3, code))
    assert (len(frames), closed) == (3, code)
    hostile.ways.clear()
    hostile.history = [[Fault("shut", 0, code)]]
    async with opened(hostile, user) as socket:
        assert await stream(socket) == []
    assert socket.close_code == code


async def test_going_away_is_told_and_then_closed_with_1012(hostile: Hostile, user: UUID) -> None:
    frames, code = await posted(hostile, user, Fault("going", 3))
    assert (frames[-1]["event"], code) == ("goingAway", 1012)


async def test_another_epoch_is_told_in_resumed(hostile: Hostile, user: UUID) -> None:
    frames, _ = await posted(hostile, user, Fault("epoch"))
    assert frames[0]["payload"]["epoch"] == "another"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_it_refuses_upgrades(hostile: Hostile, user: UUID, status: int) -> None:
    hostile.history = [[Fault("refuse", 0, status)]]
    with pytest.raises(InvalidStatus) as refused:
        await opened(hostile, user)
    assert refused.value.response.status_code == status
    assert ("retry-after" in refused.value.response.headers) == (status in (429, 503))
    hostile.ways.clear()
    hostile.history, hostile.blocked = (), status
    with pytest.raises(InvalidStatus):
        await opened(hostile, user)


async def test_it_answers_an_upgrade_with_nonsense_or_never(hostile: Hostile, user: UUID) -> None:
    hostile.history = [[Fault("wrong")], [Fault("hang")]]
    with pytest.raises(InvalidHandshake):
        await opened(hostile, user)
    with anyio.move_on_after(0.3) as waited:
        await opened(hostile, user)
    assert waited.cancelled_caught


@pytest.mark.parametrize(("fault", "heard"), [(Fault("deaf"), 0), (Fault("mute", 4), 4), (Fault("orphan", 4), 5)])
async def test_a_half_open_line_stays_open_and_silent(hostile: Hostile, user: UUID, fault: Fault, heard: int) -> None:
    hostile.history = [[fault]]
    async with opened(hostile, user) as socket:
        await socket.send(json.dumps({"route": "/chats/post", "payload": {"prompt": PROMPT}}))
        for _ in range(heard):
            await socket.recv()
        with anyio.move_on_after(1.5) as waited:  # longer than a heartbeat takes
            await socket.recv()
        assert waited.cancelled_caught
        await (await opened(hostile, user)).close()  # the next is served
        socket.transport.abort()


async def test_a_request_is_lost_on_its_way_in_or_its_answer_on_its_way_out(hostile: Hostile, user: UUID, port: int) -> None:
    frames, code = await posted(hostile, user, Fault("lose", 0))
    assert ([frame["event"] for frame in frames], code) in ((["resumed"], 1006), ([], 1006))
    assert await ask(port, user, "/chats/list", {}) == []
    await posted(hostile, user, Fault("unanswered", 0))
    assert len(await ask(port, user, "/chats/list", {})) == 1


async def test_http_goes_through_and_can_be_lost_unanswered_refused_or_cut(hostile: Hostile, user: UUID, port: int) -> None:
    async def post() -> tuple[int, Any]:
        body = json.dumps({"prompt": PROMPT}).encode()
        status, answer, _ = await request_at(hostile.port, body, token_of(user))
        return status, answer

    hostile.posts = [[], [Fault("lose")], [Fault("unanswered")], [Fault("refuse", 0, 503)]]
    assert (await post())[0] == 200
    for _ in range(2):
        with pytest.raises((ConnectionError, IndexError, ValueError)):
            await post()
    assert (await post())[0] == 503
    await anyio.sleep(0.3)
    assert len(await ask(port, user, "/chats/list", {})) == 2
    assert hostile.http == ["POST /api/v1/chats"] * 4


async def test_a_stream_of_events_is_cut_or_silent_until_its_client_goes(hostile: Hostile, user: UUID) -> None:
    target = "/api/v1/events?since="
    hostile.history = [[Fault("bytes", 0), Fault("cut", 1, 500)], [Fault("mute", 0)]]
    await request_at(hostile.port, b"", token_of(user), "GET", target)
    with anyio.move_on_after(1) as waited:
        await request_at(hostile.port, b"", token_of(user), "GET", target)
    assert waited.cancelled_caught
    assert hostile.ways == [target, target]
    with anyio.fail_after(TIMEOUT_S):
        while hostile.lines:
            await hostile.happened.wait()
