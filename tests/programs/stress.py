"""`make stress`: the scenarios at their full size. Prints a table, and exits with 1 when a promise is broken.

All randomness comes from SEED, all servers listen on loopback, and each scenario ends by itself.
"""

import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console
from rich.table import Table

from tests.programs import churn, deaths, outages, readers, storms
from tests.programs.crowd import Figures

SEED = 20_261_121
Scenario = Callable[[Path], Awaitable[Figures]]
SCENARIOS: dict[str, Scenario] = {
    "recovery storm": partial(storms.recovery, users=50, clients=200, cuts=20, words=1500, delay_ms=20, seed=SEED),
    "slow reader": partial(storms.slow_reader, connections=10, words=20_000, outbox_bytes=2**20),
    "large chat": partial(readers.large_chat, posts=32, prompt_bytes=31_000, words=5),
    "large answer": partial(readers.large_chat, posts=1, prompt_bytes=100, words=160_000),
    "nobody reads": partial(readers.unread, connections=20, gets=3, posts=9, words=150_000),
    "kill -9": partial(deaths.kills, times=20, seed=SEED),
    "kill -9 of long answers": partial(outages.kept, users=20, seconds=20),
    "SQLite locked at the end": partial(outages.unwritable, trouble=outages.locked, users=20, seconds=15),
    "disk full at the end": partial(outages.unwritable, trouble=outages.full, users=20, seconds=15),
    "unruly agents": outages.unruly,
    "SIGTERM": partial(deaths.stopped, runs=100, drain_seconds=5),
    "churn": partial(churn.churn, connects=20_000, refusals=5_000),
}


async def play(console: Console, scenarios: dict[str, Scenario], title: str) -> bool:
    """Run all scenarios one after the other, print their table, and return whether all promises held."""
    table = Table("scenario", "figures", "seconds", "held", title=f"{title}, seed {SEED}")
    all_held = True
    for name, scenario in scenarios.items():
        began = time.monotonic()
        with console.status(name), tempfile.TemporaryDirectory() as folder:
            try:
                figures = await scenario(Path(folder))
                told, held = ", ".join(f"{what}: {value}" for what, value in figures.items()), "yes"
            except Exception as error:
                console.print_exception()
                told, held, all_held = f"{type(error).__name__}: {error}"[:300], "NO", False
        console.print(f"{name}: {told}")
        table.add_row(name, told, f"{time.monotonic() - began:.0f}", held)
    console.print(table)
    return all_held


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # of the server that runs in this process
    sys.exit(0 if anyio.run(play, Console(), SCENARIOS, "make stress", backend_options={"use_uvloop": True}) else 1)
