"""What uses up what others need, and so comes last and only with `--limits`: as Bob, until the server says enough."""

import math
import socket
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from conformance.assets import BOB
from conformance.requests import BOBS, expect_error_at, goes_on
from conformance.room import Room, expect_refusal, expect_retry_after
from conformance.rule import Rule, expect, expect_equal
from conformance.wire import EVENTS, GET, LIST, POST, Line

NEEDS = "--limits"
MOST_CONNECTIONS = 1000
MOST_POSTS = 300
LONG_PROMPT = "€" * 32_000  # of 3 bytes each
LONG_CHAT = 4  # such prompts: 384 KB for each `/chats/get`
MOST_UNREAD = 90  # of these: 34 MB are more than a kernel and a proxy hold for a connection, 90 frames fewer than a rate allows


async def connections(room: Room) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(room.open(BOB))
        for number in range(2, MOST_CONNECTIONS):
            line = await stack.enter_async_context(room.open(BOB))
            if code := await closed_at_once(line):
                expect_equal(code, 4029, f"the code of connection {number}")
                await goes_on(first)
                return
    expect(False, f"{MOST_CONNECTIONS} connections of one user are open")


async def closed_at_once(line: Line) -> int | None:
    """The code with which it was closed instead of answering."""
    try:
        await line.ask({}, LIST)
        await line.hear()
    except Exception:
        return await line.close_code()
    return None


async def slow_reader(room: Room) -> None:
    async with room.open(BOB) as line:
        chat = await line.chat(BOBS)
        for _ in range(LONG_CHAT):
            await line.chat({"prompt": LONG_PROMPT, "chat_id": chat["id"]})
        async with room.open(BOB, sock=narrow(room.url), max_queue=1) as slow:
            for _ in range(MOST_UNREAD):
                try:
                    await slow.ask({"id": chat["id"]}, GET)
                    await line.answer({}, LIST)  # by then the server has read the other request, too
                except Exception:
                    break
            expect_equal(await slow.close_code(), 4008, "the code of a connection that has not read for megabytes")
        await goes_on(line)


def narrow(url: str) -> socket.socket:
    """A socket to the server into which little fits that is not read."""
    parts = urlsplit(url)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect((parts.hostname, parts.port or 80))
    made.setblocking(False)
    return made


async def posts(room: Room) -> None:
    async with room.open(BOB) as line:
        line.waits_for_limits = False
        for _ in range(MOST_POSTS):
            await line.ask(BOBS)
            end = (await line.until_end())[-1]
            if end.code:
                expect_error_at(end, POST, EVENTS[POST], "TOO_MANY_REQUESTS")
                expect_retry_after(end.error)
                return await goes_on(line)
    expect(False, f"{MOST_POSTS} posts of one user were answered")


async def posts_over_http(room: Room) -> None:
    for _ in range(MOST_POSTS):
        answer = await room.rest(BOBS, BOB, waits=False)
        if answer.status != 200:
            expect_refusal(answer, 429, "TOO_MANY_REQUESTS")
            expect_retry_after(answer.body)
            return expect_equal(answer.retry_after, str(math.ceil(answer.body["retry_after"])), "the header Retry-After")
    expect(False, f"{MOST_POSTS} posts of one user were answered")


RULES = [
    Rule("7.5", "A connection too many is closed with 4029, and the others stay.", connections, needs=NEEDS),
    Rule("7.6", "A connection that does not read is closed with 4008, and the others stay.", slow_reader, needs=NEEDS),
    Rule(
        "3.13",
        "A post too many is refused with TOO_MANY_REQUESTS, whose retry_after says in how many seconds to retry.",
        posts,
        needs=NEEDS,
    ),
    Rule(
        "8.11",
        "A post too many over HTTP is refused with 429, retry_after and the header Retry-After.",
        posts_over_http,
        needs=NEEDS,
    ),
]
