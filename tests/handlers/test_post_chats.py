"""`POST /api/v1/chats`: the same post over HTTP, with the same answers, and the same stream on the sockets."""

import asyncio
import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import anyio
import anyio.lowlevel
import pytest

from backends.agent_events import ResponseChunk
from settings import Settings
from tests.support.agents import HeldAgent, ScriptedAgent
from tests.support.client import TIMEOUT_S, fold, unsettled
from tests.support.database import as_stored, count, stored_chat
from tests.support.failures import LEAKS
from tests.support.house import BOTH, House, open_house
from tests.support.over_http import request
from tests.support.server import BAD_TOKENS
from tests.support.world import MISSING, REVENUE, SECRET_METRIC

ENGINES = BOTH


async def post(house: House, payload: object) -> tuple[int, Any]:
    status, body, _ = await request(house, json.dumps(payload).encode(), house.token())
    return status, body


@pytest.mark.parametrize("payload", [{"prompt": "Hi"}, {"metric_id": str(REVENUE)}])
async def test_the_answer_is_the_chat_that_the_sockets_saw_end(house: House, payload: dict[str, object]) -> None:
    async with house.connect() as socket:
        status, chat = await post(house, payload)
        frames = await socket.stream()
    assert status == 200
    assert frames[-1]["payload"] == chat
    assert {frame["send_method"] for frame in frames} == {"All"}
    assert unsettled(fold(frames)) == unsettled(chat)
    assert as_stored(chat) == stored_chat(house.database, chat["id"])


async def test_a_token_in_the_query_is_as_good(house: House) -> None:
    status, *_ = await request(house, b'{"prompt": "Hi"}', query=f"?authentication={house.token()}")
    assert status == 200


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"asset_id": str(REVENUE)}, "asset_type must be provided when asset_id is specified"),
        ({"asset_type": "metric"}, "asset_id must be provided when asset_type is specified"),
        (
            {"metric_id": str(REVENUE), "chat_id": str(REVENUE)},
            "only one of chat_id, asset_id, metric_id and dashboard_id can be provided",
        ),
        ({"prompt": "  "}, "a prompt is required unless an asset is provided"),
        ({"asset_type": "x"}, "Invalid enum value 'x' - at `$.asset_type`"),
        ({"prompt": 5}, "Expected `str | null`, got `int` - at `$.prompt`"),
        ([], "Expected `object`, got `array` - at `$`"),
    ],
)
async def test_what_is_not_valid_is_refused_as_on_the_socket(house: House, payload: object, message: str) -> None:
    assert await post(house, payload) == (400, {"code": "BAD_REQUEST", "message": message})


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"prompt": "\xff"}', b'{"x":' + b"[" * 5000, b'{"prompt": "\\ud800"}'])
async def test_what_is_not_json_is_refused(house: House, body: bytes) -> None:
    status, error, _ = await request(house, body, house.token())
    assert (status, error["code"]) == (400, "BAD_REQUEST")
    assert count(house.database, "chats") == 0


async def test_a_body_over_the_bound_is_refused_and_one_at_it_is_read(house: House) -> None:
    bound = house.settings.max_frame_bytes
    for size, status in ((bound, 200), (bound + 1, 400)):
        body = b'{"metric_id": "%s", "x": "%s"}' % (str(REVENUE).encode(), b"y" * size)
        body = body[: size - 2] + b'"}'
        assert (await request(house, body, house.token()))[0] == status


async def test_without_a_good_token_it_is_401(house: House) -> None:
    status, error, headers = await request(house, b"{}")
    assert (status, error) == (401, {"code": "UNAUTHORIZED", "message": "no token"})
    assert headers["www-authenticate"] == "Bearer"
    for name in ("expired", "other secret", "unknown user"):
        status, error, _ = await request(house, b"{}", BAD_TOKENS[name])
        assert (status, error) == (401, {"code": "UNAUTHORIZED", "message": "invalid token"})


@pytest.mark.parametrize("id", [MISSING, SECRET_METRIC])
async def test_missing_and_forbidden_are_one_404(house: House, id: object) -> None:
    assert await post(house, {"metric_id": str(id)}) == (404, {"code": "NOT_FOUND", "message": "not found"})


async def test_the_rate_limit_is_shared_with_the_socket(settings: Settings) -> None:
    async with open_house(replace(settings, rate_limit="1/minute")) as house, house.connect() as client:
        await client.post(metric_id=str(REVENUE))
        status, error = await post(house, {"prompt": "Hi"})
        assert (status, error["code"]) == (429, "TOO_MANY_REQUESTS")
        assert count(house.database, "chats") == 1


async def test_a_failed_run_is_500_with_a_reference_and_no_more(settings: Settings) -> None:
    async with open_house(settings, ScriptedAgent(ResponseChunk("Half"), error=OSError("/secret detail"))) as house:
        status, error = await post(house, {"prompt": "Hi"})
    assert (status, error["code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert not LEAKS.search(error["message"])


async def test_an_error_that_nobody_expected_is_500_and_harms_nobody_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*arguments: object) -> None:
        raise RuntimeError("at /etc/secret")

    with monkeypatch.context() as broken:
        broken.setattr("handlers.http.post_chats.post_thread", fail)
        status, body = await post(house, {"prompt": "Hi"})
    assert (status, body["code"]) == (500, "INTERNAL_SERVER_ERROR")
    assert "secret" not in body["message"]
    assert (await post(house, {"prompt": "Hi"}))[0] == 200


async def test_another_method_is_405(house: House) -> None:
    assert (await request(house, b"", house.token(), method="PATCH"))[0] == 405


async def test_a_retry_gets_the_end_of_the_first_whether_it_runs_or_has_ended(settings: Settings) -> None:
    agent = HeldAgent()
    payload = {"prompt": "one", "message_id": str(uuid4())}
    async with open_house(settings, agent) as house, house.connect() as client:
        answers: list[tuple[int, Any]] = []

        async def retry() -> None:
            answers.append(await post(house, payload))

        await client.send(payload)
        while (await client.frame())["event"] != "generatingResponseMessage":
            pass
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(retry)
            agent.let_go("one")
            end = (await client.stream())[-1]
        await retry()
    assert answers == [(200, end["payload"])] * 4
    assert len(agent.tasks) == 1


async def test_a_caller_that_goes_away_changes_nothing(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        with anyio.move_on_after(TIMEOUT_S) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(post, house, {"prompt": "one"})
                while (await client.frame())["event"] != "generatingResponseMessage":
                    pass
                tasks.cancel_scope.cancel()
        assert not scope.cancelled_caught
        agent.let_go("one")
        chat = (await client.stream())[-1]["payload"]
        assert as_stored(chat) == stored_chat(house.database, chat["id"])


async def test_a_caller_that_goes_away_in_the_middle_of_its_body_is_no_internal_error(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = house.url.removeprefix("ws://").removesuffix("/api/v1/ws").split(":")
    tasks = house.server.server_state.tasks
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/v1/chats HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\nauthorization: Bearer {house.token()}\r\n\r\n"
    writer.write(head.encode() + b'{"prompt"')
    with anyio.fail_after(TIMEOUT_S):
        while not tasks:
            await anyio.lowlevel.checkpoint()
        writer.transport.abort()
        while tasks:
            await anyio.lowlevel.checkpoint()
    assert count(house.database, "chats") == 0
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
