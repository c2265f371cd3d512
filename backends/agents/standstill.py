"""A watch over the event loop while agents of one's own answer: foreign code that never waits holds up everybody."""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

LONGEST_S = 1.0  # seconds without a turn of the loop, after which it is said
BEAT_S = 0.25  # seconds between signs of life, and between looks for one
LOOPS = "asyncio", "selectors", "uvloop"
SHOWN_FRAMES = 20  # of the stack, the innermost

logger = logging.getLogger("threadcast")


class Standstill:
    """Says in the log, with the stack, when the event loop stands still while an agent answers: once for each standstill.

    A thread looks, since nothing in the loop could. It is there only while agents answer.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._watched = 0
        self._beat = 0.0  # when the loop last had a turn
        self._over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """An agent answers in this block."""
        self._watched += 1
        if self._watched == 1:
            self._over = threading.Event()
            self._live(asyncio.get_running_loop(), self._over)
            arguments = threading.get_ident(), self._over
            threading.Thread(target=self._look, args=arguments, name="standstill", daemon=True).start()
        try:
            yield
        finally:
            self._watched -= 1
            if not self._watched:
                self._over.set()

    def _live(self, loop: asyncio.AbstractEventLoop, over: threading.Event) -> None:
        if not over.is_set():
            self._beat = time.monotonic()
            loop.call_later(BEAT_S, self._live, loop, over)

    def _look(self, loops_thread: int, over: threading.Event) -> None:
        told, looked = 0.0, time.monotonic()  # the beat after which a standstill was told, and the time of the last look
        while not over.wait(BEAT_S):
            now, beat = time.monotonic(), self._beat
            # Where this thread could not look either, the whole process or machine has slept.
            if now - beat > LONGEST_S and beat != told and now - looked < LONGEST_S:
                told = beat
                if where := stack_of(sys._current_frames().get(loops_thread)):
                    what = "the event loop stands still, and everybody waits: an agent must not block it"
                    logger.warning(what, extra={"agent": self._name, "seconds": round(now - beat, 1), "stack": where})
            looked = now


def stack_of(frame: FrameType | None) -> str:
    """Where the frame is, and who has called it, up to where the agent was asked. Empty where the loop only waits its turn."""
    calls: list[str] = []
    if frame and frame.f_globals.get("__name__", "").partition(".")[0] in LOOPS:
        return ""
    while frame and len(calls) < SHOWN_FRAMES and Path(frame.f_code.co_filename).parent != Path(__file__).parent:
        calls.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        frame = frame.f_back
    return ", called by ".join(calls)
