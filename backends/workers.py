"""Several processes that serve one port: a parent starts them, replaces who dies, and tells all to stop.

Each has a listening socket of its own (SO_REUSEPORT), and the kernel spreads the connections over them; of one socket for all,
one process would take a whole burst. The parent holds the sockets too: who connects to a process that has died waits for
the next one, and is not refused.

uvicorn's own supervisor would wait for its processes to drain, too. But it hands on no second SIGTERM, which ends the waiting;
it gives all processes one socket; and its processes go on when it is killed.
"""

import logging
import logging.config
import multiprocessing
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import anyio

from backends.listening import address_of
from backends.logs import log_config

REPLACE_S = 1.0  # seconds before a dead process is replaced, so that one that dies at once does not keep the machine busy

# Serves on the socket until SIGTERM, and calls the function as soon as it serves. It is pickled.
Serve = Callable[[socket.socket, Callable[[], None]], None]

logger = logging.getLogger("threadcast")


def serve_together(work: Serve, sockets: list[socket.socket], log_level: str, ready: Callable[[], None]) -> int:
    """Have a process work on each of the sockets until SIGTERM or SIGINT, and return the exit code: 0 when all left well.

    `ready` is called once, when all of them serve.
    """
    logging.config.dictConfig(log_config(log_level))
    return anyio.run(Workers(work, sockets, ready).run)


class Workers:
    """The processes, one for each of the sockets."""

    def __init__(self, work: Serve, sockets: list[socket.socket], ready: Callable[[], None]) -> None:
        self._work = work
        self._sockets = sockets
        self._ready = ready
        self._processes: dict[socket.socket, SpawnProcess] = {}
        self._serving = 0  # how many have begun to serve
        self._stopping = anyio.Event()
        self._left_well = True

    async def run(self) -> int:
        """Keep all of them working until told to stop."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with anyio.create_task_group() as listening:

                async def pass_on() -> None:
                    async for _ in signals:  # a second signal skips their waiting, as with one process
                        self._stop()

                listening.start_soon(pass_on)
                async with anyio.create_task_group() as keeping:
                    for each in self._sockets:
                        keeping.start_soon(self._keep, each)
                listening.cancel_scope.cancel()
        return 0 if self._left_well else 1

    def _stop(self) -> None:
        self._stopping.set()
        for listening in self._sockets:
            listening.close()  # a connection to the socket of a process that has left would wait for nobody
        for process in self._processes.values():
            process.terminate()

    async def _keep(self, listening: socket.socket) -> None:
        """Have a process work on the socket, and another one when it dies."""
        served = False
        while not self._stopping.is_set():
            process, started = self._start(listening)
            await anyio.wait_readable(started)
            if not served and started.poll() and _received(started):
                served = True
                self._has_started()
            await anyio.wait_readable(process.sentinel)
            process.join()
            if self._stopping.is_set():
                self._left_well &= process.exitcode in (0, -signal.SIGTERM)  # SIGTERM: it had no handlers yet
            elif self._serving < len(self._sockets):  # the others could not start either
                logger.error("a worker could not start", extra={"worker": process.pid, "code": process.exitcode})
                self._left_well = False
                self._stop()
            else:
                logger.error("a worker died", extra={"worker": process.pid, "code": process.exitcode})
                with anyio.move_on_after(REPLACE_S):
                    await self._stopping.wait()

    def _start(self, listening: socket.socket) -> tuple[SpawnProcess, Connection]:
        # Spawned and not forked: an event loop and threads have run in this process.
        spawn = multiprocessing.get_context("spawn")
        started, tell = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_serve, args=(self._work, listening, tell))
        with _deaf_to_ctrl_c(), tell:
            process.start()
        self._processes[listening] = process
        return process, started

    def _has_started(self) -> None:
        self._serving += 1
        if self._serving == len(self._sockets):
            logger.info("running on http://%s with %s workers", address_of(self._sockets[0]), self._serving)
            self._ready()


def _received(started: Connection) -> bool:
    try:
        return bool(started.recv_bytes())
    except EOFError:  # it died before
        return False


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A terminal sends Ctrl-C to the children, too, which would take their parent's SIGTERM for a second signal."""
    resource_tracker.ensure_running()  # else the first `start` does it, and unblocks SIGINT at its end
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(work: Serve, listening: socket.socket, tell: Connection) -> None:
    """Serve in a child process."""
    if parent := multiprocessing.parent_process():
        threading.Thread(target=_leave_after, args=(parent.join,), daemon=True).start()
    work(listening, lambda: tell.send_bytes(b"serving"))


def _leave_after(parent_has_gone: Callable[[], None]) -> None:
    parent_has_gone()
    signal.raise_signal(signal.SIGTERM)
