"""Several processes on one port: they start together, are replaced when they die, and leave together."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from backends.auth import PERSON, issue_token
from backends.listening import CannotListen, sockets_on
from tests.programs.crowd import UNLIMITED
from tests.programs.farm import COUNT
from tests.support.client import TIMEOUT_S
from tests.support.database import rows
from tests.support.house import SECRET
from tests.support.program import ROOT, Program, environment, run, serving
from tests.support.world import ALICE

FARM = ("-m", "tests.programs.farm")
HOW = "SELECT final_reasoning_message AS how FROM messages"
DIED = '"event": "a worker died"'


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def farm(folder: Path, **settings: str) -> AbstractContextManager[Program]:
    return serving(folder, str(folder), command=FARM, OFFLINE_DELAY_MS="1", **UNLIMITED, **settings)


def workers(program: Program) -> list[int]:
    """Their process ids, in the order of their starts."""
    return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", program.log)]


def opened(program: Program) -> ClientConnection:
    return connect(f"{program.url}?authentication={issue_token(SECRET, ALICE, 60, PERSON)}", max_queue=None)


def begin(connection: ClientConnection) -> str:
    """Post, and return the chat's id once it is stored."""
    request = str(uuid4())
    connection.send(json.dumps({"route": "/chats/post", "id": request, "payload": {"prompt": "Go"}}))
    while (frame := json.loads(connection.recv(timeout=TIMEOUT_S))).get("request_id") != request:
        pass
    assert frame["event"] == "initializeChat"
    return str(frame["payload"]["id"])


def of_each(program: Program, stack: ExitStack) -> dict[int, ClientConnection]:
    """A connection to each of the workers with a run on it. The kernel chooses, so it may take some tries."""
    folder, found = Path(program.process.args[-1]), dict[int, ClientConnection]()  # type: ignore[index, arg-type]
    for _ in range(100):
        stack.enter_context(connection := opened(program))
        chat = begin(connection)
        (pid,) = (pid for pid in workers(program) if rows(folder / f"{pid}.db", f"SELECT 1 FROM chats WHERE id = '{chat}'"))
        found.setdefault(pid, connection)
        if len(found) == COUNT:
            return found
    raise AssertionError("all connections came to one worker")


def rest(connection: ClientConnection) -> list[dict[str, Any]]:
    """All frames until the server closes."""
    frames = []
    with suppress(ConnectionClosedError):
        for frame in connection:
            frames.append(json.loads(frame))
    return frames


def code(connection: ClientConnection) -> int | None:
    return connection.protocol.close_rcvd.code if connection.protocol.close_rcvd else None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_drains_all_workers_and_is_clean(tmp_path: Path, number: int) -> None:
    with farm(tmp_path, OFFLINE_WORDS="500", DRAIN_SECONDS="30") as program, ExitStack() as stack:
        connections = of_each(program, stack)
        if number == signal.SIGINT:  # as a terminal does, to the whole group
            for pid in connections:
                os.kill(pid, number)
        program.process.send_signal(number)
        for pid, connection in connections.items():
            events = [frame["event"] for frame in rest(connection)]
            ends = [row["how"] for row in rows(tmp_path / f"{pid}.db", HOW)]
            assert (events.count("goingAway"), events.count("complete"), code(connection)) == (1, len(ends), 1012)
            assert "Interrupted" not in ends
        assert program.stop(0) == 0
    assert program.output == "ready\n"
    assert '"level": "error"' not in program.log


def test_a_second_signal_skips_the_waiting_of_all(tmp_path: Path) -> None:
    with farm(tmp_path, OFFLINE_WORDS="1000000", DRAIN_SECONDS="3600") as program, ExitStack() as stack:
        connections = of_each(program, stack)
        program.process.send_signal(signal.SIGTERM)
        for connection in connections.values():
            while json.loads(connection.recv(timeout=TIMEOUT_S))["event"] != "goingAway":
                pass
        assert program.stop() == 0
        for pid, connection in connections.items():
            assert rest(connection)[-1]["event"] == "complete"
            assert {row["how"] for row in rows(tmp_path / f"{pid}.db", HOW)} == {"Interrupted"}


def test_who_comes_when_one_worker_has_left_already_is_answered_by_one_that_has_not(tmp_path: Path) -> None:
    with farm(tmp_path, OFFLINE_WORDS="1000000", DRAIN_SECONDS="3600") as program, ExitStack() as stack:
        (first, connection), _ = of_each(program, stack).items()
        for row in rows(tmp_path / f"{first}.db", "SELECT id FROM chats"):
            connection.send(json.dumps({"route": "/chats/stop", "payload": {"id": row["id"]}}))
        program.process.send_signal(signal.SIGTERM)
        program.wait_for(f"Finished server process [{first}]")
        for _ in range(20):
            with pytest.raises(InvalidStatus, match="503"):
                opened(program)
        assert program.stop() == 0


def test_a_worker_that_is_killed_is_replaced_and_nobody_else_notices(tmp_path: Path) -> None:
    with farm(tmp_path, OFFLINE_WORDS="1", DRAIN_SECONDS="0") as program, ExitStack() as stack:
        connections = of_each(program, stack)
        dead, alive = connections
        os.kill(dead, signal.SIGKILL)
        rest(connections.pop(dead))
        for _ in range(20):  # also those whom the kernel sends to the one that is not there yet
            with (connection := opened(program)):
                begin(connection)
        assert program.log.count(DIED) == 1
        assert len(workers(program)) == COUNT + 1
        assert dead not in of_each(program, stack)
        begin(connections[alive])  # is still there
        assert program.stop() == 0


def test_a_worker_that_dies_again_and_again_is_replaced_again_and_again(tmp_path: Path) -> None:
    with farm(tmp_path, DRAIN_SECONDS="0") as program:
        (tmp_path / "broken").touch()
        os.kill(workers(program)[0], signal.SIGKILL)
        program.wait_for(DIED, 2)
        (tmp_path / "broken").unlink()
        program.wait_for("Application startup complete", COUNT + 1)
        assert program.stop() == 0


def test_a_stop_while_a_dead_worker_is_not_yet_replaced_is_a_stop_like_any_other(tmp_path: Path) -> None:
    with farm(tmp_path, DRAIN_SECONDS="0") as program:
        os.kill(workers(program)[0], signal.SIGKILL)
        program.wait_for(DIED)
        assert program.stop() == 0
        assert len(workers(program)) == COUNT


def test_when_a_worker_dies_while_it_drains_the_exit_code_says_so(tmp_path: Path) -> None:
    with farm(tmp_path, OFFLINE_WORDS="1000000", DRAIN_SECONDS="3600") as program, ExitStack() as stack:
        connections = of_each(program, stack)
        program.process.send_signal(signal.SIGTERM)
        for pid, connection in connections.items():
            while json.loads(connection.recv(timeout=TIMEOUT_S))["event"] != "goingAway":
                pass
            os.kill(pid, signal.SIGKILL)
        assert program.stop(0) == 1


def test_workers_that_cannot_start_end_it_all(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    ended = subprocess.run(
        [sys.executable, *FARM, str(tmp_path)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "a worker could not start" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_when_the_parent_is_killed_its_workers_leave_as_if_they_were_told_to(tmp_path: Path) -> None:
    with farm(tmp_path, OFFLINE_WORDS="500", DRAIN_SECONDS="30") as program, ExitStack() as stack:
        connections = of_each(program, stack)
        program.process.kill()
        for pid, connection in connections.items():
            events = [frame["event"] for frame in rest(connection)]
            ends = [row["how"] for row in rows(tmp_path / f"{pid}.db", HOW)]
            assert (events.count("goingAway"), events.count("complete"), code(connection)) == (1, len(ends), 1012)
            assert "Interrupted" not in ends
        program.wait_for("Finished server process", COUNT)
        assert program.stop(0) == -signal.SIGKILL


@pytest.mark.parametrize("together", [True, False])
def test_a_port_that_is_in_use_is_refused(together: bool) -> None:
    with ExitStack() as stack:
        if together:
            for each in (taken := sockets_on("127.0.0.1", 0, 2)):
                stack.enter_context(each).listen()
        else:
            taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0)))]
        port = taken[0].getsockname()[1]
        with pytest.raises(CannotListen, match="is taken by another program"):
            sockets_on("127.0.0.1", port, 2)


def test_several_workers_that_share_nothing_are_refused_with_the_reason(tmp_path: Path) -> None:
    refused = run(tmp_path, "serve", "--port", "0", "--workers", "2")
    assert refused.returncode == 1
    assert "THREADCAST_BROKER_URL=redis://" in refused.stderr
    assert "THREADCAST_DATABASE_URL=postgresql" in refused.stderr
    assert "Traceback" not in refused.stderr
