"""A stand-in for a model's server: speaks OpenAI's streamed chat completions over real HTTP, and says what it is told to.

`python -m tests.programs.model` serves one that thinks a little and then answers; tests script their own. It reads HTTP by hand
because what is tested is what a proper server does not do: silence, broken chunks, connections cut.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import click

Script = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request, and the means to answer it badly."""

    def __init__(self, request: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter, path: str) -> None:
        self.request = request
        self.path = path
        self.headers = headers
        self.closed = asyncio.Event()  # by the client
        self._writer = writer

    @property
    def is_title(self) -> bool:
        """Whether a title is asked for."""
        return "title" in str(self.request["messages"][0]["content"])

    async def start(self, status: int = 200, headers: str = "") -> None:
        """Begin a chunked response."""
        head = f"HTTP/1.1 {status} X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
        head += f"{headers}\r\n"
        self._writer.write(head.encode())
        await self._writer.drain()

    async def raw(self, data: bytes) -> None:
        """Send bytes as one HTTP chunk."""
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    async def wire(self, data: bytes) -> None:
        """Send bytes as they are, which may be a whole response."""
        self._writer.write(data)
        await self._writer.drain()

    async def data(self, event: object) -> None:
        """Send one server-sent event."""
        await self.raw(b"data: " + (event if isinstance(event, str) else json.dumps(event)).encode() + b"\n\n")

    async def delta(self, finish: str | None = None, **delta: object) -> None:
        """Send one delta, such as `content="Hello"`."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        await self.data({"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]})

    async def end(self) -> None:
        """Say that it is done, as servers do."""
        await self.delta(finish="stop")
        await self.data("[DONE]")
        await self.raw(b"")

    async def refuse(self, status: int, headers: str = "") -> None:
        """Answer with an error."""
        body = json.dumps({"error": {"message": "secret detail of the model's server", "type": "x", "code": None}}).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n"
        head += f"content-length: {len(body)}\r\n{headers}\r\n"
        self._writer.write(head.encode() + body)
        await self._writer.drain()

    def cut(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()


class StandIn:
    """A serving stand-in. `exchanges` holds what was asked of it, `open` how many connections it has."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.models = ["m", "t", "stand-in"]
        self.exchanges: list[Exchange] = []
        self.open = 0
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection, until it is closed by either side."""
        self.open += 1
        try:
            try:
                exchange = await _read(reader, writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                return  # a client that was stopped before it had asked
            if exchange is None:
                return await _list_models(writer, self.models)
            self.exchanges.append(exchange)
            answering = asyncio.ensure_future(self.script(exchange))
            watching = asyncio.ensure_future(reader.read(1))  # a client sends no more: this ends when it has closed
            await asyncio.wait([answering, watching], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                exchange.closed.set()
            for task in (answering, watching):
                task.cancel()
            await asyncio.gather(answering, watching, return_exceptions=True)
        finally:
            self.open -= 1
            writer.close()


async def _list_models(writer: asyncio.StreamWriter, models: list[str]) -> None:
    body = json.dumps({"object": "list", "data": [{"id": model, "object": "model"} for model in models]})
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
    await writer.drain()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    """The request for an answer; None for the list of models."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    if head.startswith("GET "):
        return None
    lines = (line.partition(":") for line in head.split("\r\n")[1:])
    headers = {name.lower(): value.strip() for name, _, value in lines}
    body = await reader.readexactly(int(headers["content-length"]))
    return Exchange(json.loads(body), headers, writer, head.split(" ")[1])


@asynccontextmanager
async def serving(script: Script, port: int = 0) -> AsyncIterator[StandIn]:
    """Serve the script on loopback until the block ends."""
    stand_in = StandIn(script)
    server = await asyncio.start_server(stand_in.handle, "127.0.0.1", port)
    stand_in.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield stand_in
    finally:
        server.close()


async def think_and_answer(exchange: Exchange) -> None:
    """What the program says: a title, or a thought and an answer of some length."""
    await exchange.start()
    question = str(exchange.request["messages"][-1]["content"])
    if exchange.is_title:
        words = ["A ", "stand-in's ", "title"]
    else:
        for word in ["Nobody", "asked", "a", "real", "model,", "so", "there", "is", "not", "much", "to", "think", "about."]:
            await asyncio.sleep(0.05)
            await exchange.delta(reasoning_content=f"{word} ")
        words = f"This is a stand-in for a model. You asked: {question[:200]}. ".split(" ") + ["and so on,"] * 200
        words = [f"{word} " for word in words]
    for word in words:
        await asyncio.sleep(0.05)
        await exchange.delta(content=word)
    await exchange.end()


OTHER_PORT = "`make model MODEL_PORT=8002`, or move what has it, a server by THREADCAST_PORT"


@click.command()
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65535))
def main(port: int) -> None:
    """Serve until Ctrl-C, and print how to point Threadcast at it."""

    async def serve() -> None:
        async with serving(think_and_answer, port) as stand_in:
            click.echo(f"A stand-in for a model is listening on {stand_in.url}. In another terminal:\n")
            click.echo("  THREADCAST_AGENT=openai THREADCAST_MODEL=stand-in OPENAI_API_KEY=none \\")
            click.echo(f"  OPENAI_BASE_URL={stand_in.url} make run\n")
            await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        try:
            asyncio.run(serve())
        except OSError as error:
            raise click.ClickException(
                f"cannot listen on port {port}: {error.strerror}. Say another one, {OTHER_PORT}"
            ) from None


if __name__ == "__main__":
    main()
