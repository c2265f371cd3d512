"""Autobahn's test suite against our WebSocket layer: `make conformance` runs its cases and exits with 1 if any fails.

The suite, a yardstick of WebSocket servers, is Python 2 and drives its cases with libraries of that age. Here it is only read:
its case classes are made from their sources and talk through a peer of our own, to a process that serves an echo by
`backends.hosting.Server`. Sections 12 and 13 are left out: they are about compression, which we have off.
"""

import ast
import asyncio
import builtins
import importlib.util
import multiprocessing
import re
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from backends.hosting import Server
from tests.programs.autobahn_peer import Peer

LARGEST_MESSAGE_BYTES = 16 << 20  # in 9.1.6 and 9.2.6
CASE_S = 100.0  # what the suite gives a message of 4 MiB; to some others it would give a quarter of an hour
# Most cases wait most of their time; those of section 9 do not, and come last. Many more at once would make these late.
AT_ONCE = 5

BEHAVIORS = ("OK", "NON-STRICT", "INFORMATIONAL", "FAILED")
CLOSINGS = ("OK", "INFORMATIONAL", "FAILED BY CLIENT", "WRONG CODE", "UNCLEAN", "FAILED")
GOOD = {"OK", "INFORMATIONAL"}
BAD = {"WRONG CODE", "UNCLEAN", "FAILED"}


class Suite:
    """The suite's modules in a folder of Python 2, each made when it is first imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules = {
            "autobahn.websocket.protocol": module(WebSocketProtocol=Peer),
            "autobahn.websocket.utf8validator": module(Utf8Validator=Utf8Validator),
            "binascii": module(b2a_hex=lambda string: string.encode("latin-1").hex()),
            "case9_9_1": module(),  # the suite does not run it either
            "case12_x_x": module(
                Case12_X_X=[], Case12_X_X_CaseSubCategories={}, Case13_X_X=[], Case13_X_X_CaseSubCategories={}
            ),
        }
        # Some classes name `object` before their other bases, which Python 3 allows of any class but its own `object`.
        old = {"xrange": range, "object": type("object", (), {}), "__import__": self.module}
        self.builtins = vars(builtins) | old
        self.module("case").Case.compare = lambda case, received, expected: received == expected  # not their pickles

    def module(self, name: str, *_: object) -> ModuleType:
        """What an import in the suite gets."""
        path = self.folder / f"{name}.py"
        if name not in self.modules and not path.exists():
            return importlib.import_module(name)
        if name not in self.modules:
            self.modules[name] = module(__builtins__=self.builtins, __name__=name)
            exec(python2(path.read_text("latin-1")), vars(self.modules[name]))
        return self.modules[name]


def module(**attributes: object) -> ModuleType:
    """A module with these attributes."""
    made = ModuleType("made")
    vars(made).update(attributes)
    return made


def python2(source: str) -> CodeType:
    """Compile what the suite has of Python 2: `print` is a statement, and an integer divided by an integer is one."""
    tree = ast.parse(re.sub(r"^( *)print (.*)$", r"\1print(\2)", source, flags=re.MULTILINE))
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            node.op = ast.FloorDiv()
    return compile(tree, "autobahntestsuite", "exec")


class Utf8Validator:
    """With what the suite sorts its texts into valid and invalid ones while it is loaded."""

    def reset(self) -> None:
        """Nothing: each text is validated by itself."""

    def validate(self, text: str) -> tuple[bool, bool]:
        """Whether it is valid, and whether it ends with a whole character."""
        with suppress(UnicodeDecodeError):
            text.encode("latin-1").decode()
            return True, True
        return False, False


async def echo(websocket: WebSocket) -> None:
    """Send back what comes, text as text and bytes as bytes."""
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while (message := await websocket.receive())["type"] == "websocket.receive":
            await websocket.send({**message, "type": "websocket.send"})


def serve(listening: socket.socket) -> None:
    """Serve the echo until killed; uvicorn would log each of the errors that the cases make."""

    async def drain(state: Mapping[str, Any], hurry: anyio.Event) -> None:
        pass  # nothing here outlives its connection

    Server(
        Starlette(routes=[WebSocketRoute("/", echo)]),
        drain,
        host="127.0.0.1",
        port=0,
        max_unheard=100,
        max_frame_bytes=LARGEST_MESSAGE_BYTES,
        ping_seconds=600,
        pong_seconds=600,
        log_level="CRITICAL",
    ).run(sockets=[listening])


@contextmanager
def serving() -> Iterator[int]:
    """The echo in a process of its own, which is gone when the block ends; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        process = multiprocessing.get_context("spawn").Process(target=serve, args=(listening,))
        process.start()
    # The socket is now the process's alone: if that dies, connections are refused and do not wait.
    try:
        yield port
    finally:
        process.kill()
        process.join()


async def run(case_class: Any, port: int, turn: asyncio.Semaphore) -> Any:
    """Run a case to its end and return it; whatever else it found, a violation fails it."""
    async with turn:
        _, peer = await asyncio.get_running_loop().create_connection(lambda: Peer(case_class), "127.0.0.1", port)
        with suppress(TimeoutError):
            async with asyncio.timeout(CASE_S):
                await peer.lost.wait()
        peer.give_up()
    case = peer.case
    case.onConnectionLost(peer.failedByMe)
    if peer.violation:
        case.behavior, case.result = "FAILED", peer.violation
    return case


async def run_all(cases: list[Any], port: int) -> list[Any]:
    """Run the cases; what goes wrong in the code of one is raised, not reported as if it were the server's fault."""
    errors: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context["exception"]))
    turn = asyncio.Semaphore(AT_ONCE)
    ended = await asyncio.gather(*(run(case, port, turn) for case in cases))
    if errors:
        raise BaseExceptionGroup("cases raised", errors)
    return ended


def number(case_class: type) -> tuple[int, ...]:
    """(6, 22, 1) of `Case6_22_1`."""
    return tuple(int(part) for part in case_class.__name__.removeprefix("Case").split("_"))


def report(ended: list[Any], sections: dict[str, str]) -> bool:
    """Print how many cases of each section ended how, and all that did not end well; whether none failed."""
    by_section: dict[str, list[Any]] = defaultdict(list)
    for case in ended:
        section = str(number(type(case))[0])
        by_section[f"{section} {sections[section]}"].append(case)
    for title, outcome, outcomes in [("Behavior", "behavior", BEHAVIORS), ("Closing", "behaviorClose", CLOSINGS)]:
        row = "{:<22}{:>6}" + "".join(f"{{:>{len(name) + 3}}}" for name in outcomes)
        print(row.format(title, "cases", *outcomes))
        for section, cases in [*by_section.items(), ("all", ended)]:
            counts = Counter(getattr(case, outcome) for case in cases)
            print(row.format(section, len(cases), *(counts[name] for name in outcomes)))
        print()
    for case in ended:
        if not {case.behavior, case.behaviorClose} <= GOOD:
            closing = f"closing with {case.p.remoteCloseCode}: {case.behaviorClose}, {case.resultClose}"
            print(f"{'.'.join(map(str, number(type(case))))}: {case.behavior}, {case.result} | {closing}.")
    return not any({case.behavior, case.behaviorClose} & BAD for case in ended)


def main() -> None:
    """Run it all."""
    installed = importlib.util.find_spec("autobahntestsuite")
    if not installed or not installed.submodule_search_locations:
        sys.exit("The suite is not installed: make conformance.")
    suite = Suite(Path(installed.submodule_search_locations[0]) / "case").module("__init__")
    started = time.monotonic()
    with serving() as port:
        ended = asyncio.run(run_all(suite.Cases, port))
    passed = report(ended, suite.CaseCategories)
    print(f"{len(ended)} cases in {time.monotonic() - started:.0f} s: {'none failed' if passed else 'FAILED'}")
    sys.exit(not passed)


if __name__ == "__main__":
    main()
