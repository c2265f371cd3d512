"""`make bench`: Threadcast beside what people would use instead, the same work, in one run, on one machine.

The server has one core and the client the other. Rounds are interleaved, so that what disturbs the machine disturbs all.
"""

import asyncio
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from uuid import uuid4

import click
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

try:
    from benchmarks import measures
    from benchmarks.baselines import batched, straightforward
    from benchmarks.chart import draw
    from benchmarks.measures import Figures, Summary, summary
    from benchmarks.readme import write_readme
    from benchmarks.servers import ALL, CLIENT_CORE, FLOOR, NODES, THREADCAST, UNJOINED, Kind, Running, modelled, running
except ModuleNotFoundError as error:
    sys.exit(f"Error: this needs {error.name}, which the extra has: `make bench`, or pip install --editable '.[bench]'")

RESULTS = Path(__file__).parent / "results.json"
PICTURE = Path(__file__).parent / "results.svg"
ROUNDS = 5
CLIENTS = 200  # who post at the same moment
STREAMS = 100  # at 100 words a second each
IDLE = 2000
LENGTHS = {1: 10_000, 8: 2000, 64: 1000}  # words of an answer, by connections
PACED = 40  # words of an answer at the pace of a model
GROWING = 100  # words of an answer to up to 1,000 connections
SHORT = 5  # words of an answer of which only the beginning or the end is of interest
WIDTH = 220  # characters of the table, wherever it is printed
TOKENS, TOKEN_MS, TALKS = 300, 10, 8  # tokens of an answer, milliseconds between them, and answers at once
POSTS = 480  # whose cost is measured
MANY_CHATS = (1000, 100_000, 1_000_000)  # in the database, for the growth of what a request costs
LONG = (1, 50, 1000)  # messages of a chat in which a turn is measured
IDLE_CROWD = 9_500  # connections beside the streams: with their 200, as many as 20,000 file descriptors allow

Samples = dict[str, dict[str, list[float]]]  # by figure, by server
Measure = Callable[[Samples, int, Callable[[], None]], Awaitable[None]]


async def repeat(
    samples: Samples,
    rounds: int,
    step: Callable[[], None],
    kinds: Sequence[Kind],
    measure: Callable[[Running], Awaitable[Figures]],
    words: int,
    delay_ms: int = 0,
    users: int = 1,
) -> None:
    """Take a measure of servers of these kinds, which run side by side, so many times in turn."""
    async with AsyncExitStack() as stack:
        starting = (
            stack.enter_async_context(running(kind, words if words <= PACED else words // kind.share, delay_ms, users))
            for kind in kinds
        )
        servers = await asyncio.gather(*starting)
        for _ in range(rounds):
            for server in servers:
                for name, value in (await measure(server)).items():
                    samples[name][server.kind.name].append(value)
                step()


async def throughput(samples: Samples, rounds: int, step: Callable[[], None], kinds: Sequence[Kind] = ALL) -> None:
    """Words a second to 1, 8 and 64 connections of a user, in answers of `LENGTHS`."""
    for connections, words in LENGTHS.items():

        async def measure(server: Running, connections: int = connections) -> Figures:
            return await measures.throughput(server, connections, 1)

        await repeat(samples, rounds, step, kinds, measure, words)


async def latency(samples: Samples, rounds: int, step: Callable[[], None], kinds: Sequence[Kind] = ALL) -> None:
    """From a post to its first event, and the floor's echo."""

    async def measure(server: Running) -> Figures:
        found = await measures.first_event(server, 20)
        return found | (await measures.echo(server, 200) if server.kind is FLOOR else {})

    await repeat(samples, rounds, step, kinds, measure, words=SHORT, users=CLIENTS)


async def pace(samples: Samples, rounds: int, step: Callable[[], None]) -> None:
    """How late words come when many streams run at the pace of a model."""
    await repeat(samples, rounds, step, ALL, measures.delay, PACED, delay_ms=10, users=STREAMS)


async def memory(samples: Samples, rounds: int, step: Callable[[], None]) -> None:
    """What an idle connection holds; of a process that has just been started. Once: rounds differ by a hundredth."""
    await repeat(samples, 1, step, ALL, lambda server: measures.memory(server, IDLE), words=SHORT, users=STREAMS)


async def durable(samples: Samples, rounds: int, step: Callable[[], None]) -> None:
    """Chats a second that are stored, against the same rows written straightforwardly and by the engine alone."""
    name = "durable chats/s"
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            # Node's one word makes it as many frames as an opened asset is.
            for kind in (THREADCAST, *(kind for kind in ALL if kind in NODES and kind.stores)):
                async with running(kind, words=1, users=8) as server:
                    samples[name][kind.name].append((await measures.chats(server, 2000, 32))[name])
            with pinned_as_a_server():
                speed = await straightforward(Path(folder) / f"{number}.db", 200)
                samples[name]["databases, one execute a row"].append(speed)
                samples[name]["sqlite3 alone, in batches"].append(batched(Path(folder) / f"{number}b.db", 10_000))
            step()


async def growth(samples: Samples, rounds: int, step: Callable[[], None]) -> None:
    """What a frame costs with more connections, and a post with more chats in the database."""
    async with running(replace(UNJOINED, name=THREADCAST.name), GROWING) as server:
        for _ in range(rounds):
            for connections, posts in ((1, 20), (10, 5), (100, 1), (1000, 1)):
                found = await measures.throughput(server, connections, posts)
                name = f"server CPU us per frame, K = {connections}"
                samples[f"growth: {name}"][THREADCAST.name].append(found[name])
            step()
    async with running(THREADCAST, SHORT, users=8) as server:
        there = 0
        for chats in MANY_CHATS:
            fill(server.folder / "chats.db", chats - there)
            there = chats
            for _ in range(rounds):
                for what, cost in (await measures.requests(server, POSTS)).items():
                    samples[f"growth: server CPU us per {what}, {chats:,} chats"][THREADCAST.name].append(cost)
            step()


async def long_chats(samples: Samples, rounds: int, step: Callable[[], None]) -> None:
    """A client posts in a chat of 1, 50 and 1,000 messages: the bytes that it gets, and the server's processor time."""
    async with running(THREADCAST, SHORT) as server:
        for messages in LONG:
            chat = fill(server.folder / "chats.db", 1, messages)[0]
            for _ in range(rounds):
                for query in ("", "&messages=new"):
                    found = await measures.turn(server, chat, query)
                    for name, value in found.items():
                        samples[f"long chats: {name}, {messages:,} messages{query}"][THREADCAST.name].append(value)
            step()


async def crowd(samples: Samples, rounds: int, step: Callable[[], None]) -> None:
    """How late words of 200 streams come while 9,500 connections are idle, and the memory of these. Once."""
    await repeat(
        samples,
        1,
        step,
        (THREADCAST,),
        lambda server: measures.crowd(server, IDLE_CROWD),
        PACED,
        delay_ms=10,
        users=2 * CLIENTS,
    )


async def start(samples: Samples, rounds: int, step: Callable[[], None]) -> None:
    """Seconds until it serves, and the memory that it takes then."""
    for _ in range(rounds):
        for name, value in (await measures.start()).items():
            samples[name][THREADCAST.name].append(value)
        step()


def fill(path: Path, chats: int, messages: int = 1) -> list[str]:
    """Store so many finished chats of the first user, as if they had been there for long. Their ids."""
    then = "2026-01-01 00:00:00.000000"
    answer = json.dumps(
        [{"type": "text", "id": str(uuid4()), "message": "word " * 240, "message_chunk": None, "is_final_message": True}]
    )
    with sqlite3.connect(path) as database:
        ((user,),) = database.execute("SELECT min(id) FROM users")
        ids = [str(uuid4()) for _ in range(chats)]
        database.executemany(
            "INSERT INTO chats (id, title, created_by, created_at, updated_at) VALUES (?, 'Old', ?, ?, ?)",
            ((chat, user, then, then) for chat in ids),
        )
        database.executemany(
            "INSERT INTO messages (id, chat_id, position, request, response_messages, reasoning_messages, is_completed, "
            "created_by, created_at, updated_at) VALUES (?, ?, ?, 'Hi', ?, '[]', 1, ?, ?, ?)",
            (
                (str(uuid4()), chat, position, "[]" if messages == 1 else answer, user, then, then)
                for chat in ids
                for position in range(1, messages + 1)
            ),
        )
    database.close()
    return ids


async def model(samples: Samples, rounds: int, step: Callable[[], None]) -> None:
    """What a token costs that comes from a model's server, beside one of the offline agent at the same pace."""
    async with running(THREADCAST, TOKENS, TOKEN_MS, TALKS) as offline, modelled(TOKENS, TOKEN_MS, TALKS) as asking:
        for _ in range(rounds):
            for server in (offline, asking):
                for name, value in (await measures.tokens(server, TOKENS)).items():
                    samples[name][server.kind.name].append(value)
            step()


class pinned_as_a_server:
    """This process on the servers' core, and back."""

    def __enter__(self) -> None:
        os.sched_setaffinity(0, {1})

    def __exit__(self, *_: object) -> None:
        os.sched_setaffinity(0, {CLIENT_CORE})


MEASURES: dict[str, Measure] = {
    "throughput": throughput,
    "latency": latency,
    "pace": pace,
    "memory": memory,
    "durable": durable,
    "growth": growth,
    "long": long_chats,
    "crowd": crowd,
    "start": start,
    "model": model,
}


def table(results: dict[str, dict[str, Summary]]) -> Table:
    """A row for each figure, a column for each server: the median, and under it the lowest and the highest."""
    servers = list(dict.fromkeys(name for by_server in results.values() for name in by_server))
    made = Table("figure", *servers, show_lines=True)
    for figure, by_server in results.items():
        made.add_row(figure, *(_cell(by_server[name]) if name in by_server else "" for name in servers))
    return made


def _cell(found: Summary) -> str:
    median, low, high = (f"{value:,.0f}" if found.median >= 100 else f"{value:,.2f}" for value in asdict(found).values())
    return f"{median}\n{low} - {high}"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(MEASURES)))
@click.option("--rounds", default=ROUNDS, show_default=True)
def main(names: tuple[str, ...], rounds: int) -> None:
    """Measure what is named, or all of it. Only a whole run is kept and drawn."""
    console, samples = Console(width=WIDTH), defaultdict[str, dict[str, list[float]]](lambda: defaultdict(list))
    os.sched_setaffinity(0, {CLIENT_CORE})
    began = time.monotonic()

    async def run() -> None:
        with Progress(console=console) as progress:
            for name in names or MEASURES:
                task, before = progress.add_task(name, total=None), time.monotonic()
                await MEASURES[name](samples, rounds, lambda task=task: progress.advance(task))  # type: ignore[misc]
                progress.update(task, total=1, completed=1, description=f"{name}, {time.monotonic() - before:.0f} s")

    uvloop.run(run())
    results = {figure: {name: summary(values) for name, values in found.items()} for figure, found in samples.items()}
    console.print(table(results))
    console.print(
        f"{time.monotonic() - began:.0f} s, {rounds} rounds, Python {platform.python_version()}, {platform.machine()}"
    )
    if not names:
        kept = {figure: {name: asdict(found) for name, found in by_server.items()} for figure, by_server in results.items()}
        machine: dict[str, object] = {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "kernel": platform.release(),
            "rounds": rounds,
        }
        machine["python"] = platform.python_version()
        RESULTS.write_text(json.dumps({"machine": machine, "figures": kept}, indent=1) + "\n")
        draw(results, PICTURE)
        write_readme(results, machine)


if __name__ == "__main__":
    main()
