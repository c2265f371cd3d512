"""Sockets before anybody knows who they are: how much they may send, how long they may take, and how many there may be."""

import json

import anyio
import anyio.lowlevel
import pytest

from backends import http_protocol
from backends.agent_events import ResponseChunk
from backends.http_protocol import HEAD_BYTES
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import TIMEOUT_S
from tests.support.house import House, open_house
from tests.support.raw import raw
from tests.support.waiting import until

GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"
FILLER = b"x-filler: " + b"x" * 1000 + b"\r\n"
MANY = FILLER * (HEAD_BYTES // len(FILLER) + 1)
SOON_S = 0.2


def post(house: House, *headers: str, prompt: str = "Hi", length: int | None = None) -> bytes:
    """A whole `POST /api/v1/chats`, with a body of this length if it has another one than it says."""
    body = json.dumps({"prompt": prompt}).encode()
    lines = ["POST /api/v1/chats HTTP/1.1", "host: x", f"authorization: Bearer {house.token()}", *headers]
    lines.append(f"content-length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def sample(house: House, name: str, **labels: str) -> float | None:
    return house.backends.metrics.registry.get_sample_value(f"threadcast_{name}", labels)


def quick(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(http_protocol, name, SOON_S)


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([GET + MANY + b"\r\n"], 431),
        ([GET, *[FILLER] * 40], 431),
        ([GET + b"x-filler: " + b"x" * HEAD_BYTES + b"\r\n\r\n"], 431),
        ([GET + b"x-filler: ", *[b"x" * 1000] * 40], 431),
        ([GET + b"x-filler: ", b"x" * HEAD_BYTES], 431),
        ([b"GET /" + b"x" * HEAD_BYTES + b" HTTP/1.1\r\n\r\n"], 414),
        ([b"GET /healthz?", *[b"x" * 1000] * 40], 414),
        ([b"GET /api/v1/ws HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n" + MANY + b"\r\n"], 431),
        ([GET + b"transfer-encoding: chunked\r\n\r\n0\r\nx-filler: ", *[b"x" * 1000] * 40], 200),  # before it goes on
        ([b"no request\r\n\r\n"], 400),
        ([b"CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n"], 400),
    ],
)
async def test_a_head_has_a_bound_and_past_it_the_connection_ends(house: House, parts: list[bytes], status: int) -> None:
    async with raw(house) as socket:
        for part in parts:
            try:
                await socket.send(part)
            except ConnectionError:  # it has been cut off
                break
            await anyio.lowlevel.checkpoint()
        last = (await socket.end()).rpartition(b"HTTP/1.1 ")[2]
    assert last[:3] == str(status).encode() or (not last and len(parts) > 2)  # who sends on may be told by a reset only
    assert sample(house, "sockets_cut_total", reason="invalid") == 1
    await until(lambda: sample(house, "sockets_unheard") == 0)


async def test_a_head_within_the_bound_is_answered_and_each_is_counted_for_itself(house: House) -> None:
    headers = [f"x-filler-{number}: {'x' * 1000}" for number in range(30)]
    async with raw(house) as socket:
        for _ in range(3):
            await socket.send(post(house, *headers))
            assert (await socket.answer())[0] == 200
        whole = post(house, *headers)
        await socket.send(whole * 2 + whole[:100])  # a client need not wait for an answer
        assert [(await socket.answer())[0] for _ in range(2)] == [200, 200]
        await socket.send(whole[100:])
        assert (await socket.answer())[0] == 200


@pytest.mark.parametrize(
    ("sent", "said", "reason"),
    [
        (b"", b"", "silent"),
        (b"\r\n", b"", "head"),
        (b"GET /healthz HT", b"408", "head"),
        (GET, b"408", "head"),
        (b"POST /api/v1/chats HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{", b"401", "body"),
        (b"POST /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n", b"405", "body"),
    ],
)
async def test_who_does_not_send_a_whole_request_in_time_is_cut_off(
    house: House, monkeypatch: pytest.MonkeyPatch, sent: bytes, said: bytes, reason: str
) -> None:
    quick(monkeypatch, "HEAD_S", "BODY_S")
    async with raw(house) as socket:
        await socket.send(sent)
        answer = await socket.end()
    assert answer[9:12] == said or sent == b"\r\n"
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert sample(house, "sockets_cut_total", reason=reason) == 1
    await until(lambda: sample(house, "sockets_unheard") == 0)


async def test_half_a_body_is_not_waited_for_and_nothing_is_stored(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, "BODY_S")
    async with raw(house) as socket:
        await socket.send(post(house, length=1000))
        assert (await socket.end())[9:12] == b"408"
    await until(lambda: not house.server.server_state.tasks)
    assert not len(house.services.requests)


async def test_empty_lines_do_not_keep_a_connection_open(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, "HEAD_S")
    async with raw(house) as socket:
        await socket.send(GET + b"\r\n")
        assert (await socket.answer())[0] == 200
        with anyio.fail_after(TIMEOUT_S):
            while not socket.reader.at_eof():
                try:
                    await socket.send(b"\r\n")
                except ConnectionError:
                    break
                await anyio.sleep(SOON_S / 10)
    assert sample(house, "sockets_cut_total", reason="head") == 1


async def test_whoever_has_sent_a_whole_request_may_wait(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch, "HEAD_S", "BODY_S")
    agent = ScriptedAgent(ResponseChunk("one "), ResponseChunk("two"))
    agent.gate = anyio.Event()
    async with open_house(settings, agent) as house, house.connect() as client, raw(house) as socket:
        await socket.send(post(house))
        await until(lambda: len(house.services.runs) == 1)
        await anyio.sleep(2 * SOON_S)  # nothing tells of a deadline that does not come
        agent.gate.set()
        assert (await socket.answer())[0] == 200
        assert (await client.post(prompt="Hi"))[-1]["event"] == "complete"


async def test_of_too_many_that_say_nothing_the_oldest_go_and_others_come_in(settings: Settings) -> None:
    async with open_house(settings, max_unheard=5) as house, house.connect() as client, anyio.create_task_group() as tasks:
        ended: list[int] = []

        async def wait(number: int) -> None:
            async with raw(house) as socket:
                came.set()
                await socket.end()
                ended.append(number)

        for number in range(12):
            came = anyio.Event()
            tasks.start_soon(wait, number)
            await came.wait()
        await until(lambda: len(ended) == 7)
        assert sorted(ended) == list(range(7))
        assert sample(house, "sockets_unheard") == 5
        async with raw(house) as socket:
            await socket.send(post(house))
            assert (await socket.answer())[0] == 200
        async with house.connect() as newcomer:
            assert (await newcomer.post(prompt="Hi"))[-1]["event"] == "complete"
        assert (await client.post(prompt="Hi"))[-1]["event"] == "complete"
        assert sample(house, "sockets_cut_total", reason="room") == 9
        tasks.cancel_scope.cancel()


async def test_the_log_tells_of_those_that_were_cut_off_once_a_minute(house: House, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        async with raw(house) as socket:
            await socket.send(b"no request\r\n\r\n")
            await socket.end()
    assert [record.getMessage() for record in caplog.records if "cut off" in record.getMessage()] == [
        "cut off sockets before they had sent a whole request"
    ]


@pytest.mark.parametrize("protocol", ["h2c", "TLS/1.0", "foo, bar"])
@pytest.mark.parametrize("size", [0, 1, 10**9], ids=["bytewise", "head first", "at once"])
async def test_an_offer_of_another_protocol_is_ignored_and_the_body_is_whole(house: House, protocol: str, size: int) -> None:
    offer = ["connection: Upgrade, HTTP2-Settings", f"upgrade: {protocol}", "http2-settings: AAMAAABk"]
    whole = post(house, *offer, prompt="What is " + "x" * 1000)
    head = whole.index(b"\r\n\r\n") + 4
    parts = {0: [bytes((byte,)) for byte in whole], 1: [whole[:head], whole[head:]], 10**9: [whole]}[size]
    async with raw(house) as socket:
        for _ in range(2):
            for part in parts:
                await socket.send(part)
                await anyio.lowlevel.checkpoint()
            status, body = await socket.answer()
            assert status == 200
            assert "x" * 1000 in next(iter(json.loads(body)["messages"].values()))["request_message"]["request"]
        await socket.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + "\r\n".join([*offer, "", ""]).encode())
        assert (await socket.answer())[0] == 200


async def test_an_offer_of_another_protocol_is_ignored_with_a_body_in_chunks(house: House) -> None:
    body = b'{"prompt": "Hi"}'
    head = post(house, "connection: Upgrade", "upgrade: h2c").partition(b"content-length")[0]
    async with raw(house) as socket:
        await socket.send(head + b"transfer-encoding: chunked\r\n\r\n" + b"8\r\n%s\r\n" % body[:8])
        await socket.send(b"8\r\n%s\r\n0\r\n\r\n" % body[8:])
        assert (await socket.answer())[0] == 200


async def test_a_request_that_was_answered_before_its_body_was_there_is_followed_by_another(house: House) -> None:
    async with raw(house) as socket:
        await socket.send(b"POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        assert (await socket.answer())[0] == 405
        await socket.send(b'"a": "b"')
        await socket.send(post(house))
        assert (await socket.answer())[0] == 200
