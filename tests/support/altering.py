"""A server that is wrong in one way: ours, behind a proxy that alters its text frames, or what it is asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

Alter = Callable[[str], list[str]]  # of one text frame, what is sent in its place
Alteration = Callable[[], Alter]  # made anew for each connection
TEXT = 1
LENGTH_BYTES = {126: 2, 127: 8}  # RFC 6455 section 5.2


@asynccontextmanager
async def altered(port: int, alteration: Alteration, asked: tuple[bytes, bytes] = (b"", b"")) -> AsyncIterator[int]:
    """The port of a proxy before this one. What is `asked` first is replaced in each request by what is second."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", port)
        try:
            tasks = [
                asyncio.ensure_future(carry_as_it_is(reader, there, asked)),
                asyncio.ensure_future(answer(back, writer, alteration())),
            ]
            await asyncio.gather(*tasks)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for task in tasks:
                task.cancel()
            there.transport.abort()
            writer.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def carry_as_it_is(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: tuple[bytes, bytes] = (b"", b"")
) -> None:
    while data := await reader.read(65536):
        writer.write(data.replace(*asked) if asked[0] else data)
        await writer.drain()
    raise ConnectionError("it has said all")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, alter: Alter) -> None:
    """What the server says: as it is, unless it is a frame of text."""
    head = await reader.readuntil(b"\r\n\r\n")
    writer.write(head)
    while b" 101 " in head.partition(b"\r\n")[0]:
        first, length = await reader.readexactly(2)
        if extended := LENGTH_BYTES.get(length):
            length = int.from_bytes(await reader.readexactly(extended))
        data = await reader.readexactly(length)
        for content in [text.encode() for text in alter(data.decode())] if first & 15 == TEXT else [data]:
            writer.write(frame(first, content))
        await writer.drain()
    await carry_as_it_is(reader, writer)


def frame(first: int, content: bytes) -> bytes:
    """A frame of a server, unmasked."""
    if len(content) < 126:
        return bytes((first, len(content))) + content
    code = 126 if len(content) < 65536 else 127
    return bytes((first, code)) + len(content).to_bytes(LENGTH_BYTES[code]) + content


def swaps_keys() -> Alter:
    """Its frames begin with the event."""

    def alter(text: str) -> list[str]:
        (route, event, *rest) = json.loads(text).items()
        return [json.dumps(dict([event, route, *rest]), ensure_ascii=False)]

    return alter


def drops_a_delta() -> Alter:
    """Of each connection's deltas of answers the second is lost."""
    deltas = 0

    def alter(text: str) -> list[str]:
        nonlocal deltas
        frame = json.loads(text)
        if frame["event"] == "generatingResponseMessage" and frame["payload"]["response_message"].get("message_chunk"):
            deltas += 1
            return [] if deltas == 2 else [text]
        return [text]

    return alter


def doubles_the_end() -> Alter:
    """Each complete comes twice."""
    return lambda text: [text, text] if json.loads(text)["event"] == "complete" else [text]


def forgets_the_id() -> Alter:
    """No frame has a request_id."""

    def alter(text: str) -> list[str]:
        frame = json.loads(text)
        return [json.dumps({key: value for key, value in frame.items() if key != "request_id"}, ensure_ascii=False)]

    return alter


def ends_without_telling() -> Alter:
    """No complete comes."""
    return lambda text: [] if json.loads(text)["event"] == "complete" else [text]


def as_it_is() -> Alter:
    """Its frames are good."""
    return lambda text: [text]


def says(wrong: str, instead_of: str) -> Alteration:
    """Other words than it should."""
    return lambda: lambda text: [text.replace(instead_of, wrong)]
