"""`make walk`: the way of one live prompt through the program, on one node with SQLite and the offline agent.

Prints the modules in the order in which the prompt first enters them, each with how often it is entered from another one and
with the functions that run there, and at the end the sums. It is our own code that counts, from the door (`server.py`) to the
socket: the transport below both and the log beside them are left out. A class counts when a method of it runs.
"""

import sys
import tempfile
import threading
from collections import Counter
from dis import opmap
from pathlib import Path
from textwrap import fill
from types import CodeType, FrameType
from typing import Any

import anyio

from tests.support.house import open_house, settings_in
from tests.support.program import ROOT
from tests.support.waiting import until

ROOMS = ("server.py", "schemas", "backends", "handlers")
LEFT_OUT = tuple(f"backends/{name}.py" for name in ("hosting", "http_protocol", "socket_protocol", "bursts", "inbox", "logs"))
WIDTH = 120  # of a line
HIDDEN = ("<listcomp>", "<genexpr>", "<lambda>", "<dictcomp>", "<setcomp>")  # parts of the function that they stand in


class Walk:
    """What a profile of all threads has seen of our code while it is `on`."""

    def __init__(self) -> None:
        self.is_on = False
        self.entered: Counter[str] = Counter()
        self.functions: dict[str, list[str]] = {}  # of each module, by their qualified names

    def see(self, frame: FrameType, event: str, argument: Any) -> None:
        """Take note of a call. A coroutine or a generator that goes on is none."""
        if not self.is_on or event != "call" or not begins(frame):
            return
        if module := module_of(frame.f_code):
            functions = self.functions.setdefault(module, [])
            if frame.f_code.co_name not in HIDDEN and frame.f_code.co_qualname not in functions:
                functions.append(frame.f_code.co_qualname)
            if frame.f_back is None or module_of(frame.f_back.f_code) != module:
                self.entered[module] += 1

    @property
    def classes(self) -> list[str]:
        """Those of which a method has run."""
        methods = [name.split(".") for names in self.functions.values() for name in names if "." in name]
        return sorted({owner for owner, method, *_ in methods if method != "<locals>"})


def begins(frame: FrameType) -> bool:
    """Whether the frame is at its function's beginning: RESUME's argument says where else it may be, as `dis` has it."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at] == opmap["RESUME"] and code[at + 1] == 0


def module_of(code: CodeType) -> str | None:
    """The file of the program in which the code stands, or None when it is not ours."""
    path = Path(code.co_filename)
    if not path.is_relative_to(ROOT):
        return None
    inside = path.relative_to(ROOT)
    return str(inside) if inside.parts[0] in ROOMS and str(inside) not in LEFT_OUT else None


async def one_prompt(walk: Walk) -> None:
    """Serve, connect, and walk with one post."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_house(settings_in(Path(folder))) as house, house.connect() as client:
            await client.post(prompt="What is this?")  # the first one compiles what is compiled once
            await until(lambda: not house.services.tasks)  # its client hears the end a little sooner than it has ended
            walk.is_on = True
            await client.post(prompt="And this?")
            walk.is_on = False


def walked() -> Walk:
    """The walk of one prompt."""
    walk = Walk()
    threading.setprofile(walk.see)
    sys.setprofile(walk.see)
    try:
        anyio.run(one_prompt, walk)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return walk


def main() -> None:
    walk = walked()
    for module, functions in walk.functions.items():
        said = f"{module} entered {walk.entered[module]} times: {', '.join(functions)}"
        print(fill(said, WIDTH, subsequent_indent="    ", break_on_hyphens=False))
    print(fill(f"classes: {', '.join(walk.classes)}", WIDTH, subsequent_indent="    "))
    count = sum(map(len, walk.functions.values()))
    print(f"{len(walk.functions)} modules, {count} functions, {len(walk.classes)} classes")


if __name__ == "__main__":
    main()
