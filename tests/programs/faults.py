"""`make faults`: what befalls two nodes, at full length. Prints a table, and exits with 1 when a promise is broken."""

import logging
import sys
from functools import partial

import anyio
from rich.console import Console

from tests.programs import nodes
from tests.programs.befallen import befallen, killed
from tests.programs.heavy import heavy
from tests.programs.mishaps import MISHAPS
from tests.programs.stress import SEED, Scenario, play
from tests.programs.untold import killed_untold, restarted_untold

FAULTS: dict[str, Scenario] = {
    "cut, and on at either node": partial(nodes.moving, users=10, cuts=20, seed=SEED),
    "stopped, and posted, on both": partial(nodes.stopped_elsewhere, users=20),
    "one limit over both": partial(nodes.limited, posts=20),
    "rolling restart under load": partial(nodes.rolled, users=10, posts=8),
    "kill -9 of a node": partial(killed, users=20, within=25),
    "killed between its commit and telling": partial(killed_untold, users=20, within=25),
    "restarted while Redis is away": partial(restarted_untold, users=20, within=10),
    "a user asks for much": partial(heavy, gets=60, posts=4, words=150_000, others=10),
    "a user's chat is large": partial(heavy, gets=5, posts=4, words=600_000, others=10),
    **{
        f"{what} for {seconds} s": partial(befallen, users=10, fault=partial(fault, seconds=seconds), whole=whole)
        for seconds in (1, 30)
        for what, (fault, whole) in MISHAPS.items()
    },
}


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(0 if anyio.run(play, Console(), FAULTS, "make faults", backend_options={"use_uvloop": True}) else 1)
