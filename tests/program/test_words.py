"""Starting it wrong: one line that says what is wrong, which setting it concerns and what to do, and nothing half done."""

import ctypes
import json
import os
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

import pytest

from handlers.load_file import DEMO_FILE
from tests.support.client import TIMEOUT_S
from tests.support.database import rows
from tests.support.program import ROOT, environment, run, serving
from tests.support.server import opened_socket, world
from tests.support.world import ALICE

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2  # linux/prctl.h, linux/capability.h
DEV = (str(ROOT / "server.py"), "serve", "--dev", "--port", "0")


def as_anybody() -> None:
    """For root, to whom files are never read-only."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def start(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start it with what is wrong, and so see it end."""
    command = [sys.executable, str(ROOT / "server.py"), *(arguments or ("serve", "--port", "0"))]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        preexec_fn=as_anybody,
        timeout=TIMEOUT_S,
    )


def assert_told(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    """One line, with these words, and the exit code 1."""
    assert ended.returncode == 1, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("Error: ")
    assert all(word in line for word in words), line
    assert not ended.stdout


def a_directory(path: Path) -> None:
    path.mkdir()


def no_database(path: Path) -> None:
    path.write_text("These are somebody's notes, and no database at all. " * 100)


def in_a_read_only_folder(path: Path) -> None:
    path.parent.chmod(0o500)


def read_only(path: Path) -> None:
    sqlite3.connect(path).execute("CREATE TABLE kept (x)").connection.close()
    path.chmod(0o400)


@pytest.mark.parametrize("command", ["serve", "load", "token", "migrate"])
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (a_directory, "is a directory"),
        (no_database, "file is not a database"),
        (in_a_read_only_folder, "Permission denied"),
        (read_only, "read-only"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_a_line(
    tmp_path: Path, wrong: Callable[[Path], None], words: str, command: str
) -> None:
    (folder := tmp_path / "data").mkdir()
    wrong(path := folder / "threadcast.db")
    arguments = {"serve": ("--port", "0"), "load": (str(DEMO_FILE),), "token": ("a@b.example",), "migrate": ()}[command]
    before = {each: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    ended = start(tmp_path, command, *arguments, DATABASE_URL=f"sqlite+aiosqlite:///{path}")
    assert_told(ended, "THREADCAST_DATABASE_URL", str(path), words)
    folder.chmod(0o700)
    assert {each: each.read_bytes() for each in before} == before


def test_a_database_in_a_read_only_folder_is_told(tmp_path: Path) -> None:
    run(tmp_path, "migrate")
    for each in tmp_path.iterdir():
        if each.name != "threadcast.db":
            each.unlink()
    tmp_path.chmod(0o500)
    assert_told(start(tmp_path), "THREADCAST_DATABASE_URL", "read-only")


def test_a_database_of_a_newer_version_is_served_and_left_as_it_is(tmp_path: Path) -> None:
    token = run(world(tmp_path), "token", "alice@acme.example").stdout.strip()
    with sqlite3.connect(tmp_path / "threadcast.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("CREATE TABLE of_the_future (x)")
    with serving(tmp_path) as program, opened_socket(program, token) as client:
        client.send(json.dumps({"route": "/chats/post", "payload": {"prompt": "Hi"}}))
        assert json.loads(client.recv(timeout=TIMEOUT_S))["event"] == "initializeChat"
    assert rows(tmp_path / "threadcast.db", "SELECT version_num FROM alembic_version") == [{"version_num": "9999"}]


@pytest.mark.parametrize("becomes", ["deleted", "replaced"])
def test_a_database_that_goes_while_it_is_served_fails_posts_and_readyz(tmp_path: Path, becomes: str) -> None:
    token = run(world(tmp_path), "token", "alice@acme.example").stdout.strip()
    path, kept = tmp_path / "threadcast.db", tmp_path / "kept.db"
    with serving(tmp_path) as program, opened_socket(program, token) as client:
        path.rename(kept)
        if becomes == "replaced":
            path.touch()
        client.send(json.dumps({"route": "/chats/post", "payload": {"prompt": "Hi"}}))
        assert json.loads(client.recv(timeout=TIMEOUT_S))["error"]["code"] == "INTERNAL_SERVER_ERROR"
        with pytest.raises(HTTPError, match="503") as refused:
            urlopen(f"http{program.url[2:].removesuffix('/api/v1/ws')}/readyz", timeout=TIMEOUT_S)
        assert json.load(refused.value) == {"status": "the database is gone"}
        kept.rename(path)
        client.send(json.dumps({"route": "/chats/post", "payload": {"prompt": "Hi"}}))
        assert json.loads(client.recv(timeout=TIMEOUT_S))["event"] == "initializeChat"


def test_what_is_made_is_for_its_owner_only(tmp_path: Path) -> None:
    del (settings := environment(tmp_path))["THREADCAST_JWT_SECRET"]
    with serving(tmp_path, command=DEV, JWT_SECRET=""):
        made = [tmp_path / "threadcast.db", tmp_path / "threadcast.db-wal", tmp_path / "var/jwt_secret"]
        assert {stat.S_IMODE(each.stat().st_mode) for each in made} == {0o600}
    assert sorted(each.name for each in (tmp_path / "var").iterdir()) == ["jwt_secret", "url"]
    assert settings


@pytest.mark.parametrize("secret", ["", "cut of"])
@pytest.mark.parametrize("command", [("serve", "--dev", "--port", "0"), ("token", "a@b.example")])
def test_a_dev_secret_that_is_no_secret_is_told(tmp_path: Path, secret: str, command: tuple[str, ...]) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/jwt_secret").write_text(secret)
    assert_told(start(tmp_path, *command, JWT_SECRET=""), "var/jwt_secret", "delete it")
    assert (tmp_path / "var/jwt_secret").read_text() == secret


def test_of_two_first_starts_at_once_both_have_the_same_secret(tmp_path: Path) -> None:
    code = "from handlers.dev import make_dev_secret; print(str(make_dev_secret()))"
    environ = environment(tmp_path) | {"PYTHONPATH": str(ROOT)}
    begun = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    secrets = {each.communicate(timeout=TIMEOUT_S)[0].strip() for each in begun}
    assert secrets == {(tmp_path / "var/jwt_secret").read_text()}
    assert os.listdir(tmp_path / "var") == ["jwt_secret"]


@pytest.mark.parametrize("command", [("serve",), ("serve", "--dev")])
def test_a_port_that_is_taken_is_told_before_anything_is_made(tmp_path: Path, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_told(start(tmp_path, *command, PORT=port), f"port {port} ", "THREADCAST_PORT", "--port")
    assert not (tmp_path / "threadcast.db").exists()


def test_the_models_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "tests.programs.model", "--port", port]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert_told(ended, f"port {port}", "MODEL_PORT", "THREADCAST_PORT")


@pytest.mark.parametrize(
    ("host", "words"), [("192.0.2.1", "no address of this machine"), ("no.such.invalid", "no machine has that name")]
)
def test_an_address_that_is_not_ours_is_told(tmp_path: Path, host: str, words: str) -> None:
    assert_told(start(tmp_path, "serve", "--port", "0", "--host", host), host, "THREADCAST_HOST", words)


def test_a_second_server_on_one_database_is_told(tmp_path: Path) -> None:
    with serving(tmp_path):
        assert_told(start(tmp_path), "another server is running on", "threadcast.db")


@pytest.mark.parametrize(("host", "shown"), [("::1", r"[::1]"), ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")])
def test_the_printed_address_has_the_port_that_it_got_and_works(tmp_path: Path, host: str, shown: str) -> None:
    with serving(tmp_path, "--host", host, command=DEV, JWT_SECRET="") as program:
        assert program.process.stdout
        printed = ""
        while "Ctrl-C" not in printed:
            printed += program.process.stdout.readline()
        (address,) = (line.strip() for line in printed.splitlines() if "/#token=" in line)
        base, token = address.split("/#token=")
        assert base.startswith(f"http://{shown}:")
        assert not base.endswith(":0")
        assert len(address) < 80
        with urlopen(f"{base}/demo.json", timeout=TIMEOUT_S) as answer:
            assert len(json.load(answer)) == 3
        token = token.removesuffix("&demo")
        assert printed.count(token) == 2
        programs = Path(sys.executable).parent
        command = ["make", "-f", str(ROOT / "Makefile"), f"BIN={programs}", "-o", f"{programs}/.installed", "-n", "chat"]
        environ = environment(tmp_path, JWT_SECRET="") | {"PYTHONPATH": str(ROOT)}
        url = (tmp_path / "var/url").read_text()
        assert url == f"ws{base[4:]}/api/v1/ws"
        found = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert f'--url "{url}"' in found.stdout
        assert program.stop() == 0
    assert not (tmp_path / "var/url").exists()


def test_the_short_token_is_none_of_a_server_in_earnest(tmp_path: Path) -> None:
    with serving(tmp_path, command=DEV, JWT_SECRET="") as program:
        assert program.process.stdout
        short = next(line.split("#token=")[1].split("&")[0] for line in program.process.stdout if "#token=" in line)
        with opened_socket(program, short) as client:
            client.send(json.dumps({"route": "/chats/list", "payload": {}}))
            assert json.loads(client.recv(timeout=TIMEOUT_S))["event"] == "getChatsList"
    secret = (tmp_path / "var/jwt_secret").read_text()
    with serving(tmp_path, JWT_SECRET=secret) as program:
        for path, status in ((f"/demo.json?authentication={short}", "404"), (f"/api/v1/chats?authentication={short}", "401")):
            with pytest.raises(HTTPError, match=status):
                urlopen(f"http{program.url[2:].removesuffix('/api/v1/ws')}{path}", timeout=TIMEOUT_S)
        with pytest.raises(Exception, match="401"), opened_socket(program, short):
            pass


def test_a_dashboard_of_1100_metrics_is_loaded_and_can_be_asked_about(tmp_path: Path) -> None:
    token = run(world(tmp_path), "token", "alice@acme.example").stdout.strip()
    organization = str(uuid4())
    user = {"id": str(ALICE), "email": "alice@acme.example", "name": "Alice", "organization_id": organization, "team_ids": []}
    shared = {"organization_id": organization, "created_by": str(ALICE), "version_number": 1}
    demo = json.loads(DEMO_FILE.read_text())
    contents = {asset["asset_type"]: asset["content"] for asset in demo["assets"]}
    ids = [str(uuid4()) for _ in range(1100)]
    metrics = [{"id": id, "asset_type": "metric", "name": id, "content": contents["metric"], **shared} for id in ids]
    dashboard = {"id": str(uuid4()), "asset_type": "dashboard", "name": "All", **shared}
    dashboard["content"] = next(each["content"] for each in demo["assets"] if each["asset_type"] == "dashboard") | {
        "metric_ids": ids
    }
    file = {"users": [user], "assets": [*metrics, dashboard]}
    (tmp_path / "many.json").write_text(json.dumps(file))
    loaded = run(tmp_path, "load", "many.json")
    assert loaded.returncode == 0, loaded.stderr
    with serving(tmp_path, OFFLINE_DELAY_MS="0") as program, opened_socket(program, token) as client:
        chat: dict[str, str] = {}
        for payload in ({}, {"prompt": "How many?"}, {"prompt": "And now?"}):
            about = (
                {"chat_id": chat["id"]} if "now" in str(payload) else {"asset_type": "dashboard", "asset_id": dashboard["id"]}
            )
            client.send(json.dumps({"route": "/chats/post", "payload": payload | about}))
            while (frame := json.loads(client.recv(timeout=TIMEOUT_S)))["event"] != "complete":
                assert frame["error"] is None, frame["error"]
            chat = frame["payload"]


def test_the_benchmarks_say_which_extra_they_need(tmp_path: Path) -> None:
    for name in ("picows", "matplotlib"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')")
    command = [sys.executable, "-m", "benchmarks.bench", "--help"]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert_told(ended, "extra", "make bench")
