"""What a rule is, and how its check says that it does not hold."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from conformance.room import Room

QUOTED = 160  # characters of what a server said that a line repeats


class Seen(Exception):
    """The rule does not hold; the message is what was seen instead."""


class NotChecked(Exception):
    """Whether the rule holds could not be found out; the message is what it would take."""


class Refused(Exception):
    """A rate limit. The check is to be made again in so many seconds."""

    def __init__(self, seconds: float, message: str) -> None:
        super().__init__(message)
        self.seconds = seconds


class Rule(NamedTuple):
    """A rule of the protocol: the section of PROTOCOL.md and a number in it, one sentence, and its check.

    `needs` is the option without which it is not checked.
    """

    number: str
    sentence: str
    check: Callable[["Room"], Awaitable[None]]
    needs: str = ""


def expect(holds: bool, seen: str) -> None:
    """Go on only if it holds."""
    if not holds:
        raise Seen(seen)


def expect_equal(seen: object, wanted: object, what: str) -> None:
    """Go on only if both are the same."""
    if seen != wanted:
        raise Seen(f"{what}: {quoted(seen)} instead of {quoted(wanted)}")


def expect_same_lists(seen: list[str], wanted: list[str], what: str) -> None:
    """Go on only if both are the same; what differs first is told, since the rest would hide it."""
    for place, (one, other) in enumerate(zip(seen, wanted, strict=False), start=1):
        at = next((index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), 0)
        near = slice(max(0, at - 20), at + 60)
        expect(one == other, f"{what}, the {place}. differ: {quoted(one[near])} and {quoted(other[near])}")
    expect(len(seen) == len(wanted), f"{what}: {len(seen)} instead of {len(wanted)}")


def quoted(value: object) -> str:
    """A server's own words on one line and not too many of them."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."
