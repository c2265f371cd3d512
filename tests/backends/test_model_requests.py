"""What a model is asked, and how often: its messages, its parameters, its tries."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import anyio
import pytest

from backends import open_agent
from backends.agents import completions
from settings import Settings, SettingsError, load_settings
from tests.programs.model import Exchange
from tests.support.database import rows
from tests.support.failures import assert_internal
from tests.support.modelled import KEY, asked, assert_good, message_of, modelled, say_hello, texts
from tests.support.world import ALICE, BOB, REVENUE

TOO_LONG = b'{"error": {"message": "maximum context length is 10 tokens", "code": "context_length_exceeded"}}'


def refusal(status: int, body: bytes, headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    return f"{head}{headers}\r\n".encode() + body


async def test_a_request_has_the_parameters_the_headers_and_an_id_that_says_nothing_of_the_user(settings: Settings) -> None:
    settings = replace(
        settings,
        model_parameters={"temperature": 0.2, "stream_options": None},
        title_parameters={"temperature": 0},
        model_headers={"x-team": "data"},
        system_prompt="Be a pirate.",
        title_prompt="A title, matey.",
    )
    async with modelled(settings, say_hello) as (house, model), house.connect() as client, house.connect(BOB) as bob:
        for who in (client, client, bob):
            await who.post(prompt="Hi")
    first, second, other = (request for request in asked(model))
    assert (first["temperature"], first["stream_options"], first["stream"]) == (0.2, None, True)
    assert first["messages"][0] == {"role": "system", "content": "Be a pirate."}
    assert first["user"] == second["user"] != other["user"]
    assert str(ALICE) not in json.dumps(first)
    titles = [exchange for exchange in model.exchanges if exchange.is_title]
    assert {exchange.headers["x-team"] for exchange in model.exchanges} == {"data"}
    assert {exchange.request["temperature"] for exchange in titles} == {0}
    assert {exchange.request["messages"][0]["content"] for exchange in titles} == {"A title, matey."}
    assert all("max_completion_tokens" not in exchange.request for exchange in model.exchanges)
    assert {exchange.path for exchange in model.exchanges} == {"/v1/chat/completions"}


async def test_without_assets_nothing_is_said_of_data(settings: Settings) -> None:
    async with modelled(settings, say_hello) as (house, model), house.connect() as client:
        await client.post(prompt="Hi")
        await client.post(prompt="Hi", asset_id=str(REVENUE), asset_type="metric")
    plain, about = (request["messages"][0]["content"] for request in asked(model))
    assert "data" not in plain
    assert "<data>" in about


async def test_what_would_be_the_systems_stands_before_the_first_question_for_models_that_have_none(settings: Settings) -> None:
    settings = replace(settings, system_role="none", system_prompt="Be brief.")
    async with modelled(settings, say_hello) as (house, model), house.connect() as client:
        chat = (await client.post(prompt="One"))[-1]["payload"]
        await client.post(prompt="Two", chat_id=chat["id"])
    *_, last = asked(model)
    assert [part["role"] for part in last["messages"]] == ["user", "assistant", "user"]
    assert last["messages"][0]["content"] == "Be brief.\n\nOne"


async def test_a_post_may_name_one_of_the_models_and_no_other(settings: Settings) -> None:
    async with modelled(replace(settings, models=("big",)), say_hello) as (house, model), house.connect() as client:
        for name in ("big", "m", None):
            await client.post(prompt="Hi", model=name)
        await client.send({"prompt": "Hi", "model": "other"})
        error = (await client.frame())["error"]
        assert (error["code"], error["message"]) == ("BAD_REQUEST", "model must be m or big")
    assert [request["model"] for request in asked(model)] == ["big", "m", "m"]


async def test_the_offline_agent_has_no_models_to_name(settings: Settings) -> None:
    from tests.support.house import open_house

    async with open_house(settings) as house, house.connect() as client:
        assert (await client.refusal({"prompt": "Hi", "model": "m"}))["message"] == "model must be left out"


async def test_a_chat_that_is_too_long_loses_its_older_half_until_it_fits(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        if len(exchange.request["messages"]) > 4:
            await exchange.wire(refusal(400, TOO_LONG))
        else:
            await say_hello(exchange)

    async with modelled(settings, say_hello) as (house, model), house.connect() as client:
        chat = (await client.post(prompt="0"))[-1]["payload"]
        for number in range(1, 6):
            await client.post(prompt=str(number), chat_id=chat["id"])
        before = len(asked(model))
        model.script = answer
        frames = await client.post(prompt="6", chat_id=chat["id"])
        assert_good(house, frames)
    lengths = [len(request["messages"]) for request in asked(model)[before:]]
    assert lengths == [14, 8, 4]
    assert [part["content"] for part in asked(model)[-1]["messages"][1:]] == ["5", "Hello, world", "6"]


async def test_a_prompt_that_is_too_long_by_itself_is_a_bad_request(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.wire(refusal(400, TOO_LONG))

    async with modelled(settings, answer) as (house, model), house.connect() as client:
        error = (await client.post(prompt="Hi"))[-1]["error"]
        assert (error["code"], error["message"]) == ("BAD_REQUEST", "the chat is too long for the model")
        assert len(asked(model)) == 1
        (message,) = rows(house.database, "SELECT final_reasoning_message, finish_reason FROM messages")
        assert tuple(message.values()) == ("Failed", "failed")


async def test_what_a_server_does_not_know_is_asked_of_it_once(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        unknown = next((name for name in ("stream_options", "user") if name in exchange.request), None)
        if unknown:
            await exchange.wire(refusal(422, json.dumps({"detail": f"Unknown field: '{unknown}' not supported"}).encode()))
        else:
            await say_hello(exchange)

    async with modelled(settings, answer) as (house, model), house.connect() as client:
        for _ in range(2):
            assert_good(house, await client.post(prompt="Hi"))
    assert [sorted(request.keys() & {"stream_options", "user"}) for request in asked(model)] == [
        ["stream_options", "user"],
        ["user"],
        [],
        [],
    ]


async def test_retry_after_is_heeded_and_too_long_a_one_is_told_at_once(settings: Settings) -> None:
    waits: Iterator[str] = iter(["retry-after: 1\r\n", "retry-after: 3600\r\n"])

    async def answer(exchange: Exchange) -> None:
        await exchange.wire(refusal(429, b"{}", next(waits)))

    async with modelled(replace(settings, first_token_seconds=20), answer) as (house, model), house.connect() as client:
        began = time.monotonic()
        error = (await client.post(prompt="Hi"))[-1]["error"]
        assert 1 <= time.monotonic() - began < 15
        assert (error["code"], error["retry_after"]) == ("TOO_MANY_REQUESTS", 60)
        assert len(asked(model)) == 2


async def test_a_model_whose_server_comes_up_late_answers_all_the_same(settings: Settings) -> None:
    tries = 0

    async def answer(exchange: Exchange) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            exchange.cut()
        else:
            await say_hello(exchange)

    async with modelled(replace(settings, titles="words"), answer) as (house, _), house.connect() as client:
        assert_good(house, await client.post(prompt="Hi"))
    assert tries == 3


async def test_an_event_without_an_end_is_given_up_and_not_asked_for_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(completions, "EVENT_BYTES", 100_000)

    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        while True:
            await exchange.raw(b"data: " + b"x" * 10_000)

    async with modelled(settings, answer) as (house, model), house.connect() as client:
        assert_internal((await client.post(prompt="Hi"))[-1], caplog)
        assert len(asked(model)) == 1


async def test_signs_of_life_keep_a_model_alive_that_thinks_for_long(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        for _ in range(8):
            await exchange.raw(b": keep-alive\n\n")
            await anyio.sleep(0.2)
        await exchange.delta(content="Hello, world")
        await exchange.end()

    async with modelled(replace(settings, first_token_seconds=1), answer) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_good(house, frames)
        assert texts(message_of(frames)) == ["Hello, world"]


async def test_what_was_said_is_never_asked_for_again(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta(content="Half ")
        exchange.cut()

    async with modelled(settings, answer) as (house, model), house.connect() as client:
        assert (await client.post(prompt="Hi"))[-1]["error"]["code"] == "INTERNAL_SERVER_ERROR"
        assert len(asked(model)) == 1


async def test_usage_is_told_kept_and_counted(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta(reasoning="Hm")
        await exchange.delta(content="Hello")
        await exchange.delta(finish="length")
        details = {"completion_tokens_details": {"reasoning_tokens": 2}}
        await exchange.data({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5, **details}})
        await exchange.data("[DONE]")
        await exchange.raw(b"")

    async with modelled(settings, answer) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_good(house, frames)
        message = message_of(frames)
        assert message["usage"] == {"model": "m", "input_tokens": 11, "output_tokens": 5, "reasoning_tokens": 2}
        assert (message["finish_reason"], message["final_reasoning_message"]) == ("length", "Cut off at the length limit")
        metrics = house.backends.metrics.registry.get_sample_value
        assert metrics("threadcast_model_tokens_total", {"kind": "input", "model": "m"}) == 11
        assert metrics("threadcast_model_tokens_total", {"kind": "output", "model": "m"}) == 5
        assert metrics("threadcast_first_token_seconds_count", {"model": "m"}) == 1
    steps = [frame["payload"] for frame in frames if frame["event"] == "generatingReasoningMessage"]
    assert [list(step)[-1] for step in steps] == ["progress", "finished_reasoning"]


async def test_a_failure_is_counted_by_its_kind(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.refuse(401)

    async with modelled(settings, answer) as (house, _), house.connect() as client:
        await client.post(prompt="Hi")
        metrics = house.backends.metrics.registry.get_sample_value
        assert metrics("threadcast_agent_failures_total", {"kind": "misconfigured"}) == 1


async def test_a_model_that_is_not_there_is_a_warning_at_the_start(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with modelled(replace(settings, models=("big",)), say_hello) as (house, _), house.connect() as client:
        await client.post(prompt="Hi")
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "has no such model" in line)
    assert json.loads(line)["model"] == "big"


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("THREADCAST_MODEL_PARAMETERS", "[1]", "a JSON object without messages, model, stream"),
        ("THREADCAST_MODEL_PARAMETERS", '{"stream": false}', "a JSON object without messages, model, stream"),
        ("THREADCAST_MODEL_PARAMETERS", "{", "a JSON object without messages, model, stream"),
        ("THREADCAST_MODEL_HEADERS", '{"x": 1}', "a JSON object of header names and texts"),
        ("THREADCAST_MODEL_HEADERS", '{"x": "a\\r\\nb: c"}', "a JSON object of header names and texts"),
        ("THREADCAST_MODELS", "a,,b", "names of models with commas between them"),
        ("THREADCAST_SYSTEM_PROMPT_FILE", "/no/such/file", "a text file in UTF-8 that can be read and is not empty"),
        ("THREADCAST_SYSTEM_ROLE", "user", "system, developer or none"),
        ("THREADCAST_TITLE_BASE_URL", "localhost:8080", "an address such as http://127.0.0.1:8080/v1"),
        ("THREADCAST_TITLES", "maybe", "model or words"),
    ],
)
def test_a_wrong_setting_is_named_at_the_start(name: str, raw: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({name: raw})
    assert str(refused.value) == f"{name} must be {says}"


def test_two_prompts_or_a_wrong_address_are_refused_at_the_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(SettingsError, match="must not both be set"):
        open_agent(replace(settings, agent="openai", model="m", system_prompt="a", system_prompt_file="b"))
    monkeypatch.setenv("OPENAI_BASE_URL", "127.0.0.1:8080")
    with pytest.raises(SettingsError, match="OPENAI_BASE_URL must be an address"):
        open_agent(replace(settings, agent="openai", model="m"))


def test_a_secret_of_the_model_is_in_no_repr(settings: Settings) -> None:
    shown = repr(replace(settings, model_headers={"x-key": "s3cret"}, title_api_key="s3cret"))
    assert "s3cret" not in shown
