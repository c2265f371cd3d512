"""The command: `python -m conformance URL TOKEN OTHER_TOKEN` checks the server there, rule by rule.

Exit codes: 0 when all rules that were checked hold, 1 when one does not, 2 when there is nothing to check.
"""

import argparse
import asyncio
import sys
from collections import Counter

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from conformance.assets import load_file
from conformance.room import Room
from conformance.rule import NotChecked, Refused, Rule, Seen
from conformance.rules import RULES

PASSED, FAILED, NOT_CHECKED = "passed", "failed", "not checked"
WAITS = 3  # for rate limits, in one rule


class NoServer(Exception):
    """There is nothing to check; the message says why, in one line."""


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        "python -m conformance",
        description="Check a server against the protocol. First load the file of --assets; the tokens are of its users.",
    )
    parser.add_argument("url", nargs="?", help="where it listens, such as ws://127.0.0.1:8000/api/v1/ws")
    parser.add_argument("token", nargs="?", help="a token of alice@conformance.example")
    parser.add_argument("other_token", nargs="?", help="a token of bob@conformance.example")
    parser.add_argument("--assets", action="store_true", help="print the file to load, and do nothing else")
    parser.add_argument("--expiring", metavar="TOKEN", help="a token of Alice's that ends in about 10 seconds")
    parser.add_argument("--api-key", metavar="TOKEN", help="an API key of Alice's")
    parser.add_argument("--limits", action="store_true", help="also check the limits, by going beyond them")
    parser.add_argument("--only", metavar="NUMBERS", help="sections or rules, such as 4,5.11")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=60.0, help="for one rule (60)")
    given = parser.parse_args()
    if not given.assets and not given.other_token:
        parser.error("URL, TOKEN and OTHER_TOKEN are needed, or --assets")
    if not chosen(given.only):
        parser.error(f"no rule is of {given.only}")
    return given


def chosen(only: str | None) -> list[Rule]:
    """The rules to check."""
    wanted = only.split(",") if only else [""]
    return [rule for rule in RULES if any(f"{rule.number}.".startswith(f"{number}." if number else "") for number in wanted)]


async def outcome(rule: Rule, room: Room) -> tuple[str, str]:
    """Whether the rule holds, and what its line says of that."""
    if rule.needs and not room.has(rule.needs):
        return NOT_CHECKED, f"{NOT_CHECKED}, give {rule.needs}"
    try:
        await checked(rule, room)
    except NotChecked as error:
        return NOT_CHECKED, f"{NOT_CHECKED}, it needs {error}"
    except Seen as error:
        return FAILED, f"FAILED, {error}"
    except TimeoutError:
        return FAILED, f"FAILED, not done after {room.rule_seconds:g} seconds"
    except Exception as error:  # what was said could not be read: a key that is not there, a value of another kind
        return FAILED, f"FAILED, what came could not be read: {type(error).__name__} {error}"
    return PASSED, PASSED


async def checked(rule: Rule, room: Room) -> None:
    """Make the check, again after each rate limit."""
    for _ in range(WAITS):
        room.begin()
        try:
            async with asyncio.timeout(room.rule_seconds):
                return await rule.check(room)
        except Refused as error:
            print(f"({rule.number} waits {error.seconds:g} seconds for a rate limit)", flush=True)
            await asyncio.sleep(error.seconds)
    raise Seen(f"a rate limit again, after {WAITS} times of waiting as long as it said")


async def expect_server(room: Room) -> None:
    """Raises NoServer, unless there is one that takes the tokens."""
    for name, token in (("TOKEN", room.token), ("OTHER_TOKEN", room.other_token)):
        try:
            async with connect(room.url, additional_headers={"Authorization": f"Bearer {token}"}):
                pass
        except InvalidStatus as error:
            raise NoServer(f"{room.url} refuses {name} with HTTP {error.response.status_code}") from None
        except (OSError, ValueError, WebSocketException) as error:
            raise NoServer(f"no server at {room.url}: {error or type(error).__name__}") from None


async def check(room: Room, rules: list[Rule]) -> Counter[str]:
    """Check them all, print a line for each, and return how many came out how."""
    await expect_server(room)
    await room.leave_out_others()
    counts: Counter[str] = Counter()
    for rule in rules:
        result, words = await outcome(rule, room)
        counts[result] += 1
        print(f"{rule.number:<5} {rule.sentence} {' '.join(words.split())}", flush=True)
    return counts


def main() -> int:
    """Do what the command line says."""
    given = arguments()
    if given.assets:
        print(load_file())
        return 0
    room = Room(given.url, given.token, given.other_token, given.expiring, given.api_key, given.limits, given.timeout)
    try:
        counts = asyncio.run(check(room, chosen(given.only)))
    except NoServer as error:
        print(error, file=sys.stderr)
        return 2
    print(", ".join(f"{counts[result]} {result}" for result in (PASSED, FAILED, NOT_CHECKED)), f"({room.memory.posts} posts)")
    return 1 if counts[FAILED] else 0


if __name__ == "__main__":
    sys.exit(main())
