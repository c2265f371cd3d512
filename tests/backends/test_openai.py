"""A model behind it: real HTTP, the official client, and every way in which a model's server can behave."""

import json
from collections.abc import Iterator
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from handlers import run_agent
from settings import Settings, SettingsError
from tests.programs.model import Exchange, Script, serving
from tests.support.client import Frame, untitled
from tests.support.database import rows
from tests.support.failures import assert_internal
from tests.support.modelled import assert_good, make_title, message_of, modelled, say_hello, texts
from tests.support.world import BOARD, REVENUE


async def answered(settings: Settings, answer: Script) -> list[Frame]:
    """The good stream of one prompt."""
    async with modelled(settings, answer) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_good(house, frames)
        return frames


async def test_an_answer_and_a_title_stream_in(settings: Settings) -> None:
    async with modelled(settings, say_hello) as (house, model), house.connect() as client:
        frames = await client.post(prompt="Hi")
    assert_good(house, frames)
    assert texts(message_of(frames)) == ["Hello, world"]
    assert frames[-1]["payload"]["title"] == "A title"
    assert {exchange.request["model"] for exchange in model.exchanges} == {"m", "t"}
    assert {exchange.headers["authorization"] for exchange in model.exchanges} == {"Bearer the key of the tests"}
    (asked,) = (exchange.request for exchange in model.exchanges if not exchange.is_title)
    assert [part["role"] for part in asked["messages"]] == ["system", "user"]
    assert asked["messages"][-1]["content"] == "Hi"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_reasoning_comes_first_and_is_completed_when_the_answer_begins(settings: Settings, name: str) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta(role="assistant", content=None)
        await exchange.delta(**{name: "Let me "})
        await exchange.delta(**{name: "think."})
        await exchange.delta(content="Done")
        await exchange.end()

    frames = untitled(await answered(settings, answer))
    assert [frame["event"] for frame in frames[1:-1]] == [
        *["generatingReasoningMessage"] * 3,
        *["generatingResponseMessage"] * 2,
    ]
    thought = frames[3]["payload"]["reasoning"]
    assert (thought["message"], thought["status"]) == ("Let me think.", "completed")
    assert message_of(frames)["final_reasoning_message"].startswith("Reasoned for ")


async def test_one_character_at_a_time_is_put_together(settings: Settings) -> None:
    text = "Größe: 5 × 3 → 15 😀 fertig"

    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        for character in text:
            await exchange.delta(content=character)
        await exchange.end()

    assert texts(message_of(await answered(settings, answer))) == [text]


async def test_characters_split_between_chunks_of_the_transport_are_whole(settings: Settings) -> None:
    choice = {"index": 0, "delta": {"content": "Größe 😀"}, "finish_reason": None}
    event = json.dumps({"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]})
    data = f"data: {json.dumps(json.loads(event), ensure_ascii=False)}\n\n".encode()

    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        for byte in data:
            await exchange.raw(bytes([byte]))
        await exchange.end()

    assert texts(message_of(await answered(settings, answer))) == ["Größe 😀"]


async def test_chunks_without_choices_or_delta_and_a_last_one_of_usage_are_passed_over(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        bare = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": []}
        await exchange.data(bare)
        await exchange.delta()
        await exchange.delta(content="", reasoning_content=None)
        await exchange.delta(content="Hello")
        await exchange.delta(finish="stop")
        await exchange.data({**bare, "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
        await exchange.data("[DONE]")
        await exchange.raw(b"")

    assert texts(message_of(await answered(settings, answer))) == ["Hello"]


async def test_a_very_long_answer_arrives_whole(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        for number in range(1000):
            await exchange.delta(content=f"{number:999} ")
        await exchange.end()

    (text,) = texts(message_of(await answered(settings, answer)))
    assert text == "".join(f"{number:999} " for number in range(1000))


async def test_what_cannot_be_stored_everywhere_is_left_out_of_an_answer(settings: Settings) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta(content="a\0b\ud800c😀")
        await exchange.end()

    assert texts(message_of(await answered(settings, answer))) == ["ab\ufffdc😀"]


async def test_a_429_is_retried_and_then_answered(settings: Settings) -> None:
    refusals: Iterator[int] = iter([429, 503])

    async def answer(exchange: Exchange) -> None:
        if status := next(refusals, None):
            await exchange.refuse(status, headers="retry-after-ms: 1\r\n")
        else:
            await say_hello(exchange)

    assert texts(message_of(await answered(settings, answer))) == ["Hello, world"]


MISCONFIGURED = "INTERNAL_SERVER_ERROR", "the server's model is not set up right, reference "
INTERNAL = "INTERNAL_SERVER_ERROR", "internal error, reference "


@pytest.mark.parametrize(
    ("status", "error", "is_tried_again"),
    [
        (401, MISCONFIGURED, False),
        (404, MISCONFIGURED, False),
        (400, MISCONFIGURED, False),
        (500, INTERNAL, True),
        (502, INTERNAL, True),
        (503, ("SERVICE_UNAVAILABLE", "the model is busy"), True),
        (429, ("TOO_MANY_REQUESTS", "the model takes no more requests for now"), True),
        (402, ("TOO_MANY_REQUESTS", "the model takes no more requests for now"), False),
        (413, ("BAD_REQUEST", "the chat is too long for the model"), False),
    ],
)
async def test_a_model_that_refuses_ends_the_stream_with_an_error_of_its_kind_that_quotes_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture, status: int, error: tuple[str, str], is_tried_again: bool
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.refuse(status, headers="retry-after-ms: 100\r\n")

    async with modelled(replace(settings, first_token_seconds=1), answer) as (house, model), house.connect() as client:
        frames = await client.post(prompt="Hi")
        said = frames[-1]["error"]
        assert (said["code"], said["message"][: len(error[1])]) == error
        assert (sum(not exchange.is_title for exchange in model.exchanges) > 1) == is_tried_again
        assert rows(house.database, "SELECT is_completed, final_reasoning_message FROM messages") == [
            {"is_completed": 1, "final_reasoning_message": "Failed"}
        ]
    assert "secret detail" not in str(frames)
    assert "the key of the tests" not in caplog.text


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
async def test_what_a_model_quotes_when_it_refuses_is_logged_at_debug_only(
    settings: Settings, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.refuse(400)

    async with modelled(replace(settings, log_level=level), answer, answer) as (house, _), house.connect() as client:
        *_, last = await client.post(prompt="Hi")
    log = capsys.readouterr().err
    assert ("secret detail" in log) == (level == "DEBUG")
    assert log.count("Traceback (most recent call last)") == log.count("\\nbackends.agents.failures.Misconfigured: ") == 1
    (line,) = (line for line in log.splitlines() if last["error"]["message"] in line)
    assert '"end": "failed"' in line


async def silence(exchange: Exchange) -> None:
    await exchange.closed.wait()


async def silence_after_the_headers(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.closed.wait()


async def pause(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.delta(content="Half ")
    await exchange.closed.wait()


async def cut(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.delta(content="Half ")
    exchange.cut()


async def stop_talking(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.delta(content="Half ")
    await exchange.raw(b"")


async def malformed(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.delta(content="Half ")
    await exchange.data('{"choices": [{"delta": {"content": "bro')
    await exchange.closed.wait()


async def drip(exchange: Exchange) -> None:
    await exchange.start()
    while True:
        await exchange.delta(content="Half ")
        await anyio.sleep(0.2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (silence, None),
        (silence_after_the_headers, None),
        (pause, "Half "),
        (cut, "Half "),
        (stop_talking, "Half "),
        (malformed, "Half "),
        (drip, "Half "),
    ],
)
async def test_a_model_that_breaks_off_ends_the_stream_once_and_keeps_what_it_said(
    settings: Settings, caplog: pytest.LogCaptureFixture, answer: Script, said: str | None
) -> None:
    settings = replace(settings, first_token_seconds=1, between_tokens_seconds=1, run_seconds=2)
    async with modelled(settings, answer) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_internal(frames[-1], caplog)
        (message,) = rows(house.database, "SELECT * FROM messages")
        assert (message["is_completed"], message["final_reasoning_message"]) == (1, "Failed")
        kept = json.loads(message["response_messages"])
        assert [part["message"][: len(said or "")] for part in kept] == ([said] if said else [])


@pytest.mark.parametrize("title", [silence, cut, malformed, stop_talking])
async def test_a_title_that_fails_is_replaced_by_the_prompts_first_words(settings: Settings, title: Script) -> None:
    settings = replace(settings, first_token_seconds=1, between_tokens_seconds=1)
    async with modelled(settings, say_hello, title) as (house, _), house.connect() as client:
        frames = await client.post(prompt="one two three four five six seven eight nine")
    assert_good(house, frames)
    wanted = "Half" if title is stop_talking else "one two three four five six seven eight"
    assert frames[-1]["payload"]["title"] == wanted
    assert texts(message_of(frames)) == ["Hello, world"]


async def test_a_title_does_not_hold_an_answer_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_agent, "TITLE_S", 0.2)
    async with modelled(settings, say_hello, silence_after_the_headers) as (house, _), house.connect() as client:
        frames = await client.post(prompt="one two three")
    assert_good(house, frames)
    assert frames[-1]["payload"]["title"] == "one two three"


async def test_a_title_is_asked_for_once_the_answer_has_begun(settings: Settings) -> None:
    may_answer, titles = anyio.Event(), []

    async def answer(exchange: Exchange) -> None:
        await may_answer.wait()
        await say_hello(exchange)

    async def title(exchange: Exchange) -> None:
        titles.append(may_answer.is_set())
        await make_title(exchange)

    async with modelled(settings, answer, title) as (house, model), house.connect() as client:
        await client.send({"prompt": "Hi"})
        begin = await client.frame()
        with anyio.fail_after(30):
            while not model.exchanges:
                await anyio.lowlevel.checkpoint()
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        may_answer.set()
        assert_good(house, [begin, *await client.stream()])
    assert titles == [True]


async def test_with_titles_of_words_no_model_is_asked_for_one(settings: Settings) -> None:
    async with modelled(replace(settings, titles="words"), say_hello) as (house, model), house.connect() as client:
        frames = await client.post(prompt="one two three")
    assert_good(house, frames)
    assert frames[-1]["payload"]["title"] == "one two three"
    assert not any(exchange.is_title for exchange in model.exchanges)


async def test_titles_may_come_from_another_server_which_gets_no_header_of_the_first(settings: Settings) -> None:
    async with serving(make_title) as other:
        settings = replace(settings, title_base_url=other.url, title_api_key="another key", model_headers={"x-key": "s3cret"})
        async with modelled(settings, say_hello) as (house, model), house.connect() as client:
            frames = await client.post(prompt="Hi")
    assert_good(house, frames)
    assert frames[-1]["payload"]["title"] == "A title"
    (asked,) = other.exchanges
    assert (asked.headers["authorization"], asked.headers.get("x-key")) == ("Bearer another key", None)
    assert not any(exchange.is_title for exchange in model.exchanges)


async def test_a_title_that_comes_after_the_answer_still_comes_before_the_end(settings: Settings) -> None:
    answered = anyio.Event()

    async def answer(exchange: Exchange) -> None:
        await say_hello(exchange)
        answered.set()

    async def title(exchange: Exchange) -> None:
        await answered.wait()
        await make_title(exchange)

    async with modelled(settings, answer, title) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
    assert_good(house, frames)
    assert frames[-1]["payload"]["title"] == "A title"


async def test_the_model_gets_the_assets_as_data_and_the_chats_earlier_turns(settings: Settings) -> None:
    async with modelled(settings, say_hello) as (house, model), house.connect() as client:
        first = await client.post(prompt="What is it?", asset_id=str(BOARD), asset_type="dashboard")
        chat = first[-1]["payload"]
        second = await client.post(prompt="And then?", chat_id=chat["id"])
        assert second[-1]["payload"]["title"] == chat["title"]
    *_, followed = (exchange.request["messages"] for exchange in model.exchanges if not exchange.is_title)
    assert [(part["role"], part["content"]) for part in followed[1:]] == [
        ("user", "What is it?"),
        ("assistant", "Hello, world"),
        ("user", "And then?"),
    ]
    system = followed[0]["content"]
    data = system.split("<data>\n")[1].split("\n</data>")[0]
    assert [asset["name"] for asset in json.loads(data)] == ["Board", "Team's metric", "Revenue"]
    assert "never instructions" in system
    assert sum(exchange.is_title for exchange in model.exchanges) == 1
    assert "Secret metric" not in str(followed)


async def test_the_oldest_turns_are_left_out_first_and_never_the_asset(settings: Settings) -> None:
    async with modelled(replace(settings, context_chars=1000), say_hello) as (house, model), house.connect() as client:
        chat = (await client.post(prompt="first " + "x" * 300, metric_id=str(REVENUE)))[-1]["payload"]
        for word in ("second", "third"):
            await client.post(prompt=f"{word} " + "y" * 200, chat_id=chat["id"])
    *_, last = (exchange.request["messages"] for exchange in model.exchanges if not exchange.is_title)
    assert "All about Revenue." in last[0]["content"]
    assert "first" not in str(last[1:])
    assert last[-1]["content"].startswith("third")


def test_without_a_model_or_a_key_the_start_says_what_to_set(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from backends import open_agent

    with pytest.raises(SettingsError, match="THREADCAST_MODEL"):
        open_agent(replace(settings, agent="openai"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        open_agent(replace(settings, agent="openai", model="m"))
    monkeypatch.setitem(__import__("sys").modules, "httpx2", None)
    for module in ("openai", "answer", "completions"):
        monkeypatch.delitem(__import__("sys").modules, f"backends.agents.{module}", raising=False)
    with pytest.raises(SettingsError, match=r"threadcast\[openai\]"):
        open_agent(replace(settings, agent="openai", model="m"))
