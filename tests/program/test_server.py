"""The door: who gets in, the command line, and what a death leaves behind."""

import asyncio
import json
import re
import signal
import time
from pathlib import Path
from urllib.request import urlopen
from uuid import UUID, uuid4

import jwt
import pytest
from websockets.sync.client import connect

from backends.accounts import add_api_key
from backends.auth import API, LEEWAY_S, issue_token
from tests.support.client import TIMEOUT_S
from tests.support.database import count, opened, rows
from tests.support.house import SECRET, House
from tests.support.program import run, serving
from tests.support.server import BAD_TOKENS, opened_socket, refusal, signed, world
from tests.support.world import ALICE, BOB, REVENUE


async def test_each_bad_token_is_refused_with_the_same_401(house: House) -> None:
    for name, token in BAD_TOKENS.items():
        wanted = "invalid token" if token else "no token"
        reply = 401, {"code": "UNAUTHORIZED", "message": wanted}, "application/json"
        headers = {"Authorization": f"Bearer {token}"}
        assert await asyncio.to_thread(refusal, house.url, additional_headers=headers) == reply, name
        assert await asyncio.to_thread(refusal, f"{house.url}?authentication={token}") == reply, name


async def test_a_token_of_a_clock_that_is_a_little_ahead_is_good(house: House) -> None:
    soon = int(time.time()) + LEEWAY_S - 2
    for claims in ({"iat": soon}, {"nbf": soon}, {"iat": soon, "nbf": soon}):
        user = await house.backends.auth.authenticate(signed(**claims))
        assert user is not None, claims
        assert user.id == ALICE


async def test_no_token_is_said_to_be_none(house: House) -> None:
    for url in (house.url, f"{house.url}?authentication", f"{house.url}?other=x"):
        assert await asyncio.to_thread(refusal, url) == (
            401,
            {"code": "UNAUTHORIZED", "message": "no token"},
            "application/json",
        )


async def test_an_api_key_acts_as_its_owner_until_it_is_deleted(house: House) -> None:
    key = issue_token(SECRET, ALICE, 60, API)
    await add_api_key(house.backends.storage, BOB, key)

    def who() -> str:
        with connect(house.url, additional_headers={"authorization": f"bearer {key}"}) as socket:
            socket.send('{"route": "/chats/post", "payload": {}}')
            return str(json.loads(socket.recv(timeout=TIMEOUT_S))["sent_by"]["id"])

    assert await asyncio.to_thread(who) == str(BOB)
    with opened(house.database) as connection:
        connection.execute("UPDATE api_keys SET deleted_at = created_at")
    status, *_ = await asyncio.to_thread(refusal, house.url, additional_headers={"authorization": f"bearer {key}"})
    assert status == 401


def test_serving_without_a_secret_is_refused_by_its_name(tmp_path: Path) -> None:
    refused = run(tmp_path, "serve", JWT_SECRET="")
    assert refused.returncode == 1
    assert "THREADCAST_JWT_SECRET" in refused.stderr
    assert "32" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_bad_setting_stops_the_start_with_one_line_that_does_not_quote_it(tmp_path: Path) -> None:
    refused = run(tmp_path, "serve", JWT_SECRET="short-and-secret")
    assert refused.returncode == 1
    assert refused.stderr == "Error: THREADCAST_JWT_SECRET must be at least 32 characters long\n"


def test_a_token_is_printed_and_nothing_else(tmp_path: Path) -> None:
    printed = run(world(tmp_path), "token", "alice@acme.example", "--ttl", "7")
    claims = jwt.decode(printed.stdout.strip(), str(SECRET), ["HS256"], audience="authenticated")
    assert printed.stdout.count("\n") == 1
    assert UUID(claims["sub"]) == ALICE
    assert claims["exp"] - claims["iat"] == 7


def test_an_api_token_is_stored_as_a_key(tmp_path: Path) -> None:
    token = run(world(tmp_path), "token", "alice@acme.example", "--aud", "api").stdout.strip()
    assert count(tmp_path / "threadcast.db", "api_keys") == 1
    with serving(tmp_path) as program, connect(f"{program.url}?authentication={token}"):
        pass


def test_a_token_for_nobody_is_refused(tmp_path: Path) -> None:
    refused = run(world(tmp_path), "token", "nobody@acme.example")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "Error: no user has the address nobody@acme.example\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_clean_and_no_log_has_the_token(tmp_path: Path, number: int) -> None:
    token = run(world(tmp_path), "token", "alice@acme.example").stdout.strip()
    with serving(tmp_path, LOG_LEVEL="DEBUG", DRAIN_SECONDS="0") as program:
        with opened_socket(program, token) as socket:
            socket.send('{"route": "/chats/post", "payload": {"prompt": "x"}}')
            assert json.loads(socket.recv(timeout=TIMEOUT_S))["event"] == "initializeChat"
            assert refusal(f"{program.url}?authentication={token}x")[0] == 401
            assert urlopen(f"http{program.url[2:-2]}chats?authentication={token}", timeout=TIMEOUT_S).status == 200
            assert program.stop(number) == 0
        assert "Traceback" not in program.log
        assert '"level": "error"' not in program.log
        assert "disconnected" in program.log
        assert "/api/v1/chats" in program.log
        assert token not in program.log + program.output
    assert rows(tmp_path / "threadcast.db", "SELECT is_completed, final_reasoning_message FROM messages") == [
        {"is_completed": 1, "final_reasoning_message": "Interrupted"}
    ]


def test_serving_needs_no_folder_that_is_there(tmp_path: Path) -> None:
    with serving(tmp_path, DATABASE_URL="") as program:
        assert program.stop() == 0
    assert (tmp_path / "var" / "threadcast.db").exists()


def test_a_second_server_on_the_same_database_is_refused(tmp_path: Path) -> None:
    with serving(world(tmp_path)):
        refused = run(tmp_path, "serve", "--port", "0")
    assert refused.returncode == 1
    assert "another server" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_after_a_kill_mid_stream_no_message_looks_as_if_it_were_running(tmp_path: Path) -> None:
    token = run(world(tmp_path), "token", "alice@acme.example").stdout.strip()
    database = tmp_path / "threadcast.db"
    posted = {"route": "/chats/post", "payload": {"prompt": "Tell me a long story", "message_id": str(uuid4())}}
    with serving(tmp_path, OFFLINE_DELAY_MS="5") as program, opened_socket(program, token) as socket:
        socket.send(json.dumps(posted))
        while (frame := json.loads(socket.recv(timeout=TIMEOUT_S)))["event"] != "generatingResponseMessage":
            pass
        program.stop(signal.SIGKILL)
    assert rows(database, "SELECT is_completed FROM messages") == [{"is_completed": 0}]
    with serving(tmp_path) as program, opened_socket(program, token) as socket:
        (message,) = rows(database, "SELECT is_completed, final_reasoning_message FROM messages")
        assert message == {"is_completed": 1, "final_reasoning_message": "Interrupted"}
        assert rows(database, "SELECT title FROM chats") == [{"title": "Tell me a long story"}]
        follow_up = {"prompt": "Go on", "chat_id": frame["payload"]["chat_id"]}
        socket.send(json.dumps({"route": "/chats/post", "payload": follow_up}))
        assert json.loads(socket.recv(timeout=TIMEOUT_S))["payload"]["message_ids"][0] == frame["payload"]["message_id"]


def test_a_dev_server_makes_a_secret_once_and_prints_a_token_that_works(tmp_path: Path) -> None:
    tokens = []
    for _ in range(2):
        with serving(tmp_path, "--dev", JWT_SECRET="", DATABASE_URL="") as program:
            assert program.stop() == 0
            tokens += re.findall(r"eyJ[\w.-]+", program.output)
            assert "metric:33333333" in program.output
    with serving(tmp_path, "--dev", JWT_SECRET="", DATABASE_URL="") as program:
        for token in tokens:
            with opened_socket(program, token) as socket:
                socket.send(json.dumps({"route": "/chats/post", "payload": {"metric_id": str(REVENUE)}}))
                assert json.loads(socket.recv(timeout=TIMEOUT_S))["error"]["code"] == "NOT_FOUND"
    assert (tmp_path / "var" / "jwt_secret").stat().st_mode & 0o077 == 0
