"""`make attack`: what one can do to a server, without a token and with one. Prints a table, exits with 1 when it gave way.

All servers listen on loopback, and each attack has a bound and ends by itself.
"""

import logging
import sys
from functools import partial

import anyio
from rich.console import Console

from tests.programs import attacks, attacks_within
from tests.programs.stress import Scenario, play

SCENARIOS: dict[str, Scenario] = {
    "heads without an end": partial(attacks.endless_heads, connections=80, most=2**26),
    "sockets that say nothing": partial(attacks.silence, sockets=300, descriptors=256, seconds=attacks.SILENT_S),
    "gets, given up": partial(attacks_within.gets, connections=20, gets=8, posts=6, words=150_000),
    "answers that nobody reads": partial(attacks_within.unread_answers, answers=50, posts=6, words=150_000),
    "a chat without an end": partial(attacks_within.full_chat, words=5_000),
    "revoked keys, removed users": attacks_within.revoked,
    "clocks": attacks_within.clocks,
    "a change of network": partial(attacks_within.change_of_network, tabs=20),
}

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # of the clients in this process
    sys.exit(0 if anyio.run(play, Console(), SCENARIOS, "make attack", backend_options={"use_uvloop": True}) else 1)
