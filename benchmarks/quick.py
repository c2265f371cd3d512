"""`make bench-quick`: whether a change has made anything slower, in less than a minute.

A machine is never as fast as another one, or as itself an hour ago. So each figure is compared as its ratio to the floor's, or
to SQLite's, of the same run, with that ratio in the last commit of `results.json`. Exits with 1 when one fell by over 15 %.
"""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from typing import Any, NamedTuple

import click
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import bench, measures
from benchmarks.measures import summary
from benchmarks.servers import CLIENT_CORE, FLOOR, ROOT, THREADCAST, UNJOINED, Running

ALLOWED = 0.15  # a fall that may be the machine's: two runs of one commit differ by less
ROUNDS = 5
IDLE = 500
SQLITE = "sqlite3 alone, in batches"
KINDS = (THREADCAST, UNJOINED, FLOOR)


class Figure(NamedTuple):
    """A figure of a server, and what it is compared with. A delay or a size is better when it is less."""

    name: str
    server: str
    base: str
    less_is_better: bool = False

    def ratio(self, medians: dict[str, dict[str, float]]) -> float:
        """How often the base's, where more is better."""
        ratio = medians[self.name][self.server] / medians[self.name][self.base]
        return 1 / ratio if self.less_is_better else ratio


FIGURES = [
    *(Figure(f"words/s, K = {count}", kind.name, FLOOR.name) for count in bench.LENGTHS for kind in (THREADCAST, UNJOINED)),
    Figure("first event ms, 1 client, p50", THREADCAST.name, FLOOR.name, less_is_better=True),
    Figure(f"first event ms, {bench.CLIENTS} clients, p50", THREADCAST.name, FLOOR.name, less_is_better=True),
    Figure("KiB per idle connection", THREADCAST.name, FLOOR.name, less_is_better=True),
    Figure("durable chats/s", THREADCAST.name, SQLITE),
]


async def measured() -> dict[str, dict[str, float]]:
    """The medians of the figures, by server."""
    samples = defaultdict[str, dict[str, list[float]]](lambda: defaultdict(list))

    async def memory(server: Running) -> measures.Figures:
        return await measures.memory(server, IDLE)

    await bench.throughput(samples, ROUNDS, lambda: None, KINDS)
    await bench.latency(samples, ROUNDS, lambda: None, (THREADCAST, FLOOR))
    await bench.repeat(samples, 1, lambda: None, (THREADCAST, FLOOR), memory, words=bench.SHORT, users=bench.STREAMS)
    await bench.durable(samples, 2, lambda: None)
    return {name: {server: summary(values).median for server, values in found.items()} for name, found in samples.items()}


def committed() -> dict[str, dict[str, float]]:
    """The medians of the last commit."""
    command = ["git", "show", "HEAD:benchmarks/results.json"]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S603
    found: dict[str, Any] = json.loads(shown)
    return {name: {server: of["median"] for server, of in servers.items()} for name, servers in found["figures"].items()}


@click.command(help=__doc__)
def main() -> None:
    os.sched_setaffinity(0, {CLIENT_CORE})
    began, before, now = time.monotonic(), committed(), uvloop.run(measured())
    table, fallen = Table("figure", "server", "before", "now", "change"), 0
    for figure in FIGURES:
        old, new = figure.ratio(before), figure.ratio(now)
        has_fallen = new < old * (1 - ALLOWED)
        fallen += has_fallen
        style = "red" if has_fallen else None
        table.add_row(figure.name, figure.server, f"{old:.3g}", f"{new:.3g}", f"{new / old - 1:+.0%}", style=style)
    console = Console()
    console.print(table)
    console.print(f"Ratios to the floor, or to SQLite alone; more is better. {fallen} fell. {time.monotonic() - began:.0f} s")
    sys.exit(1 if fallen else 0)


if __name__ == "__main__":
    main()
