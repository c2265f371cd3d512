"""What is measured. Each measure takes servers that run and returns figures; `bench.py` repeats and compares them."""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.load import Connection, close, connected
from benchmarks.servers import METRIC, Running, started

Figures = dict[str, float]
READS = 100  # gets, and pages of the list, whose cost is measured
PROMPT: dict[str, object] = {"prompt": "Hello"}


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def throughput(server: Running, connections: int, posts: int) -> Figures:
    """Words a second that reach a user with so many connections, and the server's processor seconds for a million of them."""
    tabs = await connected(server.port, server.kind.wire, [server.users[0]] * connections)
    words, took, cpu, frames = 0, 0.0, 0.0, 0
    for _ in range(posts):
        for tab in tabs:
            tab.expect()
        cpu -= server.cpu_seconds()
        began = time.perf_counter()
        tabs[0].send(server.kind.wire.post(PROMPT))
        await asyncio.gather(*(tab.done() for tab in tabs))
        took += time.perf_counter() - began
        cpu += server.cpu_seconds()
        words += sum(tab.words() for tab in tabs)
        frames += sum(len(tab.frames) for tab in tabs)
    close(tabs)
    return {
        f"words/s, K = {connections}": words / took,
        f"server CPU s per million words, K = {connections}": cpu / words * 1e6,
        f"server CPU us per frame, K = {connections}": cpu / frames * 1e6,
    }


async def first_event(server: Running, posts: int) -> Figures:
    """Milliseconds from a post to its first event: of one client post after post, and of all users at the same moment."""
    (client,) = await connected(server.port, server.kind.wire, server.users[:1])
    alone = []
    for _ in range(posts):
        alone.append(await _first(client))
    close([client])
    crowd = await connected(server.port, server.kind.wire, server.users)
    together = await asyncio.gather(*map(_first, crowd))
    close(crowd)
    return {
        "first event ms, 1 client, p50": quantile(alone, 0.5) * 1e3,
        "first event ms, 1 client, p99": quantile(alone, 0.99) * 1e3,
        f"first event ms, {len(crowd)} clients, p50": quantile(together, 0.5) * 1e3,
        f"first event ms, {len(crowd)} clients, p99": quantile(together, 0.99) * 1e3,
    }


async def _first(client: Connection) -> float:
    client.expect()
    began = time.perf_counter()
    client.send(client.wire.post(PROMPT))
    await client.done()
    return client.times[0] - began


async def echo(server: Running, posts: int) -> Figures:
    """Milliseconds for one frame there and back: only the floor has it."""
    (client,) = await connected(server.port, server.kind.wire, server.users[:1])
    took = []
    for _ in range(posts):
        client.expect()
        began = time.perf_counter()
        client.send(b"echo")
        while not client.times:  # noqa: ASYNC110 (the quickest way to see it)
            await asyncio.sleep(0)
        took.append(client.times[0] - began)
    close([client])
    return {"echo ms, p50": quantile(took, 0.5) * 1e3}


async def delay(server: Running) -> Figures:
    """How late words come, of as many streams at once as there are users, each at the steady pace of the server's agent.

    A word is late against its own stream: a line from its first word to its last, laid so that none is early.
    """
    clients = await connected(server.port, server.kind.wire, server.users)
    await asyncio.gather(*map(_first, clients))
    late: list[float] = []
    for client in clients:
        client.words()
        arrivals: list[float] = []
        for text, at in zip(client.frames, client.times, strict=True):
            part = (client.wire.frame(text)["payload"] or {}).get("response_message")
            if part and part["message"] is None:
                arrivals += [at] * len(part["message_chunk"].split())
        pace = (arrivals[-1] - arrivals[0]) / (len(arrivals) - 1)
        offsets = [at - pace * number for number, at in enumerate(arrivals)]
        late += [offset - min(offsets) for offset in offsets]
    close(clients)
    return {"delay per word ms, p50": quantile(late, 0.5) * 1e3, "delay per word ms, p99": quantile(late, 0.99) * 1e3}


async def tokens(server: Running, words: int) -> Figures:
    """The server's processor microseconds for a token, of as many streams at once as there are users, each at a steady pace."""
    clients = await connected(server.port, server.kind.wire, server.users)
    cpu = server.cpu_seconds()
    await asyncio.gather(*map(_first, clients))
    cpu = server.cpu_seconds() - cpu
    close(clients)
    return {"server CPU us per token": cpu / len(clients) / words * 1e6}


async def memory(server: Running, connections: int) -> Figures:
    """Bytes for each connection that is open and idle."""
    few = await connected(server.port, server.kind.wire, server.users)  # what is made once is made now
    before = server.memory_bytes()
    each = -(-connections // len(server.users))
    many = await connected(server.port, server.kind.wire, (server.users * each)[:connections])
    await asyncio.sleep(0.5)
    used = server.memory_bytes() - before
    close(few + many)
    return {"KiB per idle connection": used / connections / 1024}


async def chats(server: Running, count: int, window: int) -> Figures:
    """Chats a second that are opened without a prompt, stored and told, with so many posts on their way in each connection."""
    clients = await connected(server.port, server.kind.wire, server.users)
    each = count // len(clients)
    body = server.kind.wire.post({"metric_id": METRIC})
    began = time.perf_counter()

    async def run(client: Connection) -> None:
        client.expect(each)
        sent = 0
        while sent < each or client.frames is None:
            ends = each - client._ends_left
            while sent < each and sent - ends < window:
                client.send(body)
                sent += 1
            await asyncio.sleep(0.001)
        await client.done()

    await asyncio.gather(*map(run, clients))
    took = time.perf_counter() - began
    close(clients)
    with sqlite3.connect(server.folder / "chats.db") as database:
        ((stored,),) = database.execute("SELECT count(*) FROM messages WHERE is_completed")
    if stored < each * len(clients):
        raise ValueError(f"only {stored} of {each * len(clients)} chats were stored")
    return {"durable chats/s": each * len(clients) / took}


async def requests(server: Running, count: int) -> Figures:
    """The server's processor microseconds for a post, for a get of a chat, and for the first page of the list."""
    cpu = server.cpu_seconds()
    await chats(server, count, 8)
    found = {"post": (server.cpu_seconds() - cpu) / count * 1e6}
    (client,) = await connected(server.port, server.kind.wire, server.users[:1])
    newest = await client.ask("/chats/list", {"page_size": 1})
    get: dict[str, object] = {"id": newest["payload"][0]["id"]}
    page: dict[str, object] = {"page_size": 25}
    for name, route, payload in (("get", "/chats/get", get), ("list", "/chats/list", page)):
        cpu = server.cpu_seconds()
        for _ in range(READS):
            await client.ask(route, payload)
        found[name] = (server.cpu_seconds() - cpu) / READS * 1e6
    close([client])
    return found


async def turn(server: Running, chat: str, query: str) -> Figures:
    """A follow-up: the bytes that a client gets, and the server's processor milliseconds."""
    (client,) = await connected(server.port, server.kind.wire, [server.users[0] + query])
    client.expect()
    cpu = server.cpu_seconds()
    client.send(server.kind.wire.post({**PROMPT, "chat_id": chat}))
    await client.done()
    await asyncio.sleep(0.1)
    cpu = server.cpu_seconds() - cpu
    close([client])
    return {"bytes per turn": float(sum(map(len, client.frames))), "server CPU ms per turn": cpu * 1e3}


async def crowd(server: Running, idle: int) -> Figures:
    """How late words come while so many connections of other users are idle, which get nothing, and what these hold."""
    before = server.memory_bytes()
    # Connections of users who do not post.
    streaming, quiet = server.users[: len(server.users) // 2], server.users[len(server.users) // 2 :]
    many = await connected(server.port, server.kind.wire, (quiet * (idle // len(quiet) + 1))[:idle])
    await asyncio.sleep(0.5)
    held = (server.memory_bytes() - before) / idle / 1024
    late = await delay(replace(server, users=streaming))
    close(many)
    beside = f"beside {idle:,} idle"
    return {f"KiB per connection of {idle:,}": held} | {f"{name}, {beside}": value for name, value in late.items()}


async def start() -> Figures:
    """Seconds from the start of the program to its first answer, with a database that is there, and MiB that it holds then."""
    taken, memory = await started()
    return {"seconds to start": taken, "MiB at start": memory / 2**20}


@dataclass(frozen=True)
class Summary:
    """A figure over several rounds."""

    median: float
    low: float
    high: float


def summary(values: Sequence[float]) -> Summary:
    """Median and spread."""
    return Summary(quantile(values, 0.5), min(values), max(values))
