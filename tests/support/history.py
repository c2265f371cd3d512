"""Histories that a seed makes up: what befalls a client's connections, what it posts meanwhile, and by which way it goes."""

from dataclasses import dataclass
from random import Random

from tests.support.hostile import Fault

LOSES = ("drop", "swap")  # what a reader has been given may differ after these; the text may not
CODES = (1000, 1001, 1006, 1011, 1012, 4001, 4008, 4029, 4503)
STATUSES = (401, 403, 429, 500, 502, 503)
LENGTH = 60  # frames, of which the faults befall some


@dataclass(frozen=True)
class Story:
    """A history; its `repr` says all of it."""

    seed: int
    sse: bool  # the client has no WebSocket at all
    blocked: bool  # nobody lets an upgrade through
    lines: list[list[Fault]]
    posts: list[list[Fault]]
    prompts: list[str]
    follow_up: bool  # the last prompt goes on in the first chat
    bystander: bool  # another device of the user's goes through the same

    @property
    def over_http(self) -> bool:
        return self.sse or self.blocked

    @property
    def is_lossy(self) -> bool:
        return any(fault.kind in LOSES for line in self.lines for fault in line)


def story(seed: int) -> Story:
    chance = Random(seed)
    way = chance.choices(("socket", "sse", "blocked"), (6, 1, 1))[0]
    make = _socket_line if way == "socket" else _events_line
    lines = [make(chance) for _ in range(chance.randint(2, 7))]
    posts = [_post_faults(chance) for _ in range(chance.randint(0, 3))] if way != "socket" else []
    prompts = [_prompt(chance, f"{seed}.{number}") for number in range(chance.randint(1, 3))]
    return Story(
        seed,
        way == "sse",
        way == "blocked",
        lines,
        posts,
        prompts,
        len(prompts) > 1 and chance.random() < 0.5,
        chance.random() < 0.3,
    )


def _prompt(chance: Random, name: str) -> str:
    more = [each for each in ("title=About_it", "steps=1", "thought=1") if chance.random() < 0.4]
    return " ".join([f"words={chance.randint(1, 120)}", f"pause={chance.choice((0, 2, 8, 15))}", *more, f"n={name}"])


def _place(chance: Random) -> int:
    """The number of a frame; the first ones have more to lose."""
    return int(chance.triangular(0, LENGTH, 4))


def _socket_line(chance: Random) -> list[Fault]:
    """Some that are lived through, and mostly one that ends it."""
    match chance.choices(("upgrade", "frames", "request"), (3, 8, 2))[0]:
        case "upgrade":
            kind = chance.choices(("refuse", "hang", "wrong", "deaf", "shut"), (6, 0.3, 1, 1, 5))[0]
            return [Fault(kind, 0, chance.choice(CODES_OF_SHUT if kind == "shut" else STATUSES))]
        case "request":
            return [Fault(chance.choice(("lose", "unanswered")), chance.randint(0, 1))]
    count = chance.randint(0, 6)
    lived = [Fault(chance.choice(LIVED), _place(chance), chance.randint(0, 200)) for _ in range(count)]
    if chance.random() < 0.15:
        lived.append(Fault("epoch"))
    match chance.choices(("cut", "close", "mute", "orphan", "going", ""), (6, 3, 1, 1, 1, 1))[0]:
        case "":
            end = []
        case "cut":
            end = [Fault("cut", _place(chance), chance.randint(0, 1000))]
        case "close":
            end = [Fault("close", _place(chance), chance.choice(CODES_OF_SHUT))]
        case kind:
            end = [Fault(kind, _place(chance))]
    return lived + end


# 1006 never stands in a close frame. A 401 or 4001 is followed by the token function's next token, which is as good.
CODES_OF_SHUT = tuple(code for code in CODES if code != 1006)
LIVED = ("double", "swap", "drop", "pause", "pieces", "bytes", "bare", "unknown")


def _events_line(chance: Random) -> list[Fault]:
    """What can befall a stream of events."""
    if chance.random() < 0.2:
        return [Fault("refuse", 0, chance.choice(STATUSES))]
    lived = [Fault(chance.choice(("pause", "bytes")), _place(chance), chance.randint(0, 200)) for _ in range(2)]
    kind = chance.choices(("cut", "mute"), (5, 1))[0]
    return [*lived, Fault(kind, _place(chance), chance.randint(0, 1000))]


def _post_faults(chance: Random) -> list[Fault]:
    kind = chance.choice(("lose", "unanswered", "refuse", ""))
    return [Fault(kind, 0, 503)] if kind else []
