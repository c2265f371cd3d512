"""An agent over AG-UI: real HTTP, and what becomes of each of its events."""

import json
from dataclasses import replace

import anyio
import pytest

from backends.agents import ag_ui_run, completions
from settings import Settings
from tests.programs.model import Exchange, Script
from tests.support.client import untitled
from tests.support.database import rows
from tests.support.failures import assert_internal
from tests.support.modelled import assert_good, message_of, texts
from tests.support.remote import Event, answered, begin, call, of, remoted, result, run, saying, steps, text


async def test_a_text_streams_in_and_the_prompt_is_the_title(settings: Settings) -> None:
    script = saying(of("TEXT_MESSAGE_START", messageId="m1", role="assistant"), text("Hello"), text(", world"))
    frames = await answered(settings, script)
    assert texts(message_of(frames)) == ["Hello, world"]
    assert (frames[-1]["payload"]["title"], message_of(frames)["finish_reason"]) == ("Hi", "stop")
    chunks = [frame["payload"]["response_message"]["message_chunk"] for frame in untitled(frames)[1:-1]]
    assert [chunk for chunk in chunks if chunk] == ["Hello", ", world"]


async def test_messages_of_one_run_are_paragraphs_also_with_a_tool_between_them(settings: Settings) -> None:
    script = saying(
        text("One.", "a"), text("Two.", "b"), *call("1"), result("1", "x"), text("Three.", "c"), text("Three.", "c")
    )
    assert texts(message_of(await answered(settings, script))) == ["One.\n\nTwo.\n\nThree.Three."]


async def test_chunks_begin_go_on_and_change_by_themselves(settings: Settings) -> None:
    def chunk(**fields: object) -> Event:
        return of("TEXT_MESSAGE_CHUNK", **fields)

    script = saying(
        chunk(messageId="a", role="assistant", delta="One"),
        chunk(delta=" and"),
        chunk(messageId="a", delta=" a half."),
        chunk(messageId="b"),
        chunk(delta="Two."),
        chunk(messageId="c", role="user", delta="not ours"),
        chunk(delta="not ours, too"),
    )
    assert texts(message_of(await answered(settings, script))) == ["One and a half.\n\nTwo."]


async def test_only_the_assistants_messages_are_told(settings: Settings) -> None:
    def message(role: str) -> list[Event]:
        start, end = (of(f"TEXT_MESSAGE_{what}", messageId=role, role=role) for what in ("START", "END"))
        return [start, text("not ours", role), end]

    others = [event for role in ("user", "system", "developer") for event in message(role)]
    script = saying(*others, of("TEXT_MESSAGE_START", messageId="m1"), text("ours"))
    assert texts(message_of(await answered(settings, script))) == ["ours"]


@pytest.mark.parametrize(
    "thoughts",
    [
        [
            of("REASONING_START", messageId="r"),
            of("REASONING_MESSAGE_START", messageId="r1", role="reasoning"),
            of("REASONING_MESSAGE_CONTENT", messageId="r1", delta="Let me "),
            of("REASONING_MESSAGE_CONTENT", messageId="r1", delta="think."),
            of("REASONING_MESSAGE_END", messageId="r1"),
            of("REASONING_MESSAGE_CONTENT", messageId="r2", delta="Well."),
            of("REASONING_ENCRYPTED_VALUE", subtype="message", entityId="r1", encryptedValue="secret detail"),
            of("REASONING_END", messageId="r"),
        ],
        [
            of("REASONING_MESSAGE_CHUNK", messageId="r1", delta="Let me "),
            of("REASONING_MESSAGE_CHUNK", delta="think."),
            of("REASONING_MESSAGE_CHUNK", messageId="r2"),
            of("REASONING_MESSAGE_CHUNK", delta="Well."),
        ],
        [
            of("THINKING_START", title="Hm"),
            of("THINKING_TEXT_MESSAGE_START"),
            of("THINKING_TEXT_MESSAGE_CONTENT", delta="Let me "),
            of("THINKING_TEXT_MESSAGE_CONTENT", delta="think."),
            of("THINKING_TEXT_MESSAGE_END"),
            of("THINKING_TEXT_MESSAGE_START"),
            of("THINKING_TEXT_MESSAGE_CONTENT", delta="Well."),
            of("THINKING_END"),
        ],
    ],
    ids=["now", "chunks", "before"],
)
async def test_thoughts_are_told_as_such_old_and_new(settings: Settings, thoughts: list[Event]) -> None:
    frames = await answered(settings, saying(*thoughts, text("Done.")))
    assert steps(frames) == [("Thinking", "Let me think.\n\nWell.", "completed")]
    assert texts(message_of(frames)) == ["Done."]
    assert "secret detail" not in str(frames)


async def test_thoughts_with_a_step_between_them_are_steps_of_their_own(settings: Settings) -> None:
    def thought(id: str) -> Event:
        return of("REASONING_MESSAGE_CONTENT", messageId=id, delta="Hm.")

    frames = await answered(settings, saying(thought("r1"), *call("1"), result("1", "x"), thought("r2")))
    assert [text for title, text, _ in steps(frames) if title == "Thinking"] == ["Hm.", "Hm."]


async def test_tools_run_side_by_side_and_end_with_their_results(settings: Settings) -> None:
    parts = [{"type": "text", "text": "a map"}, {"type": "image", "source": {"type": "url", "value": "https://x"}}]
    script = saying(
        *call("1", "get_weather", '{"city": "Köln"}'),
        of("TOOL_CALL_CHUNK", toolCallId="2", toolCallName="findPlaces", delta='{"near"'),
        of("TOOL_CALL_CHUNK", delta=': "me"}'),
        result("2", parts),
        result("1", "sunny"),
        text("Well."),
    )
    frames = await answered(settings, script)
    assert steps(frames) == [
        ("Get weather", '{"city": "Köln"}\n\nsunny', "completed"),
        ("Find places", '{"near": "me"}\n\na map\n\n(image)', "completed"),
    ]
    tools = [part["tool"] for part in message_of(frames)["reasoning_messages"].values()]
    assert tools == [{"name": "get_weather", "call_id": "1"}, {"name": "findPlaces", "call_id": "2"}]


async def test_a_call_without_a_result_ends_with_the_run_unless_somebody_is_to_answer_it(settings: Settings) -> None:
    async def script(exchange: Exchange) -> None:
        half = [of("TOOL_CALL_START", toolCallId="3", toolCallName="half")]
        half += [of("TOOL_CALL_CHUNK", toolCallId="4", toolCallName="chunks", delta="{}")]
        outcome = {"type": "success", "pendingToolCallIds": ["2"]}
        await run(exchange, *call("1", "mine"), *call("2", "yours"), *half, outcome=outcome)

    ends = {title: status for title, _, status in steps(await answered(settings, script))}
    assert ends == {"Mine": "completed", "Yours": "failed", "Half": "failed", "Chunks": "completed"}


async def test_a_long_id_and_an_empty_name_are_no_reason_to_fail(settings: Settings) -> None:
    long = "call__signature__" + "x" * 5000
    frames = await answered(settings, saying(*call(long, ""), result(long, "ok"), *call("2", "n" * 600), result("2", "ok")))
    assert [step[1:] for step in steps(frames)] == [("{}\n\nok", "completed")] * 2


async def test_what_says_nothing_here_is_skipped(settings: Settings) -> None:
    script = saying(
        of("STEP_STARTED", stepName="x"),
        of("CUSTOM", name="x", value={"delta": "secret detail"}),
        of("RAW", event={"x": "secret detail"}),
        of("ACTIVITY_SNAPSHOT", messageId="a", activityType="x", content={}, replace=True),
        of("OF_TOMORROW", delta=7),
        of("SUBAGENT_STARTED", subagentRunId="s", name="x"),
        of("MESSAGES_SNAPSHOT", messages=[{"id": "m1", "role": "assistant", "content": "Hello"}]),
        text("Hello") | {"timestamp": 1, "rawEvent": {"x": 1}, "metadata": {}, "ofTomorrow": 1},
        of("STEP_FINISHED", stepName="x"),
    )
    frames = await answered(settings, script)
    assert (texts(message_of(frames)), steps(frames)) == (["Hello"], [])
    assert "secret detail" not in str(frames)


async def test_what_was_not_streamed_is_taken_from_the_snapshot(settings: Settings) -> None:
    async def script(exchange: Exchange) -> None:
        old = [*exchange.request["messages"][:-1], {"id": "?", "role": "assistant", "content": "another turn's"}]
        new = [
            exchange.request["messages"][-1],
            {"id": "m1", "role": "assistant", "content": None, "toolCalls": []},
            {"id": "m2", "role": "tool", "toolCallId": "1", "content": "x"},
            {"id": "m3", "role": "assistant", "content": "One."},
            {"id": "m4", "role": "assistant", "content": "Two."},
        ]
        await run(exchange, of("MESSAGES_SNAPSHOT", messages=[*old, *new]))

    assert texts(message_of(await answered(settings, script))) == ["One.\n\nTwo."]


async def test_tokens_are_counted_by_model(settings: Settings) -> None:
    async def script(exchange: Exchange) -> None:
        usage = [
            {"model": "small", "inputTokens": 1, "outputTokens": 2},
            {"model": "big", "inputTokens": 10, "outputTokens": 20},
        ]
        await run(exchange, text("Hi"), usage=usage)

    usage = message_of(await answered(settings, script))["usage"]
    assert usage == {"model": "big", "input_tokens": 11, "output_tokens": 22, "reasoning_tokens": None}


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
async def test_a_stream_may_be_cut_anywhere_and_have_any_newlines(settings: Settings, newline: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        events = [of("RUN_STARTED"), text("Größe 😀"), of("RUN_FINISHED")]
        lines = "\ufeff" + "".join(f": ping\n\nid: 1\ndata: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events)
        for byte in lines.encode().replace(b"\n", newline):
            await exchange.raw(bytes([byte]))
        await exchange.raw(b"")

    assert texts(message_of(await answered(settings, script))) == ["Größe 😀"]


async def test_halves_of_a_character_in_two_events_become_the_character(settings: Settings) -> None:
    script = saying(text("a\ud83d"), text("\ude00b"), *call("1", "x", "\ud83d"), result("1", "\ude00"))
    frames = await answered(settings, script)
    assert texts(message_of(frames)) == ["a😀b"]


async def cut_short(exchange: Exchange) -> None:
    await begin(exchange, text("Half"))
    await exchange.raw(b"")


async def cut_off(exchange: Exchange) -> None:
    await begin(exchange, text("Half"))
    exchange.cut()


async def garbage(exchange: Exchange) -> None:
    await begin(exchange, text("Half"))
    await exchange.data('{"type": "TEXT_MESSAGE_CONTENT", "delta": "secret detail')
    await exchange.closed.wait()


async def no_event(exchange: Exchange) -> None:
    await begin(exchange, text("Half"), of("TEXT_MESSAGE_CONTENT", messageId="m1", delta=None))
    await exchange.closed.wait()


async def too_deep(exchange: Exchange) -> None:
    await begin(exchange, text("Half"))
    await exchange.data('{"type": "STATE_SNAPSHOT", "snapshot": ' + "[" * 50_000)
    await exchange.closed.wait()


async def silence(exchange: Exchange) -> None:
    await begin(exchange, text("Half"))
    await exchange.closed.wait()


async def cancelled(exchange: Exchange) -> None:
    await run(exchange, text("Half"), outcome={"type": "cancelled"})


async def too_large(exchange: Exchange) -> None:
    await begin(exchange, text("Half"))
    await exchange.data(text("x" * 200_000))
    await exchange.closed.wait()


@pytest.mark.parametrize(
    ("script", "log"),
    [
        (cut_short, "the agent's stream ended without RUN_FINISHED"),
        (cut_off, "the agent's server broke off"),
        (garbage, "the agent sent an event that is none"),
        (no_event, "Expected `str`, got `null` - at `$.delta`"),
        (too_deep, "nested too deeply"),
        (silence, "the agent has taken too long"),
        (cancelled, "the agent's run was cancelled where it runs"),
        (too_large, "the agent's server sent an event of more than 100000 bytes"),
    ],
)
async def test_a_run_that_breaks_off_fails_once_and_keeps_what_was_said(
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    script: Script,
    log: str,
) -> None:
    monkeypatch.setattr(completions, "EVENT_BYTES", 100_000)
    hasty = replace(settings, between_tokens_seconds=1 if script is silence else 30)
    async with remoted(hasty, script) as (house, agent), house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_internal(frames[-1], caplog)
        (message,) = rows(house.database, "SELECT * FROM messages")
    assert [part["message"] for part in json.loads(message["response_messages"])] == ["Half"]
    assert (message["is_completed"], message["final_reasoning_message"]) == (1, "Failed")
    assert log in caplog.text
    assert "secret detail" not in caplog.text
    assert len(agent.exchanges) == 1


@pytest.mark.parametrize(("is_ended", "ends"), [(True, ["complete"]), (False, ["postThread"])])
async def test_messages_of_others_are_bounded_until_they_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, is_ended: bool, ends: list[str]
) -> None:
    monkeypatch.setattr(ag_ui_run, "MOST_OPEN", 10)
    starts = [of("TEXT_MESSAGE_START", messageId=f"{number}", role="user") for number in range(20)]
    done = [of("TEXT_MESSAGE_END", messageId=start["messageId"]) for start in starts] if is_ended else [text("x")] * 20
    script = saying(*(event for pair in zip(starts, done, strict=True) for event in pair))
    async with remoted(settings, script) as (house, _), house.connect() as client:
        assert [frame["event"] for frame in (await client.post(prompt="Hi"))[-1:]] == ends


async def test_what_an_agent_says_of_its_failure_is_in_the_log_alone(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def script(exchange: Exchange) -> None:
        await begin(exchange, text("Half"))
        failure = of("RUN_ERROR", message="secret detail\n\x1b[31mforged" + "x" * 5000, code="E7")
        await exchange.raw(f"data: {json.dumps(text('.'))}\n\ndata: {json.dumps(failure)}\n\n".encode())
        await exchange.closed.wait()

    async with remoted(settings, script) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
        (message,) = rows(house.database, "SELECT * FROM messages")
    log = capsys.readouterr().err
    assert frames[-1]["error"]["message"].startswith("internal error, reference ")
    assert "secret detail" not in str(frames)
    assert log.count("E7: secret detail  [31mforged") == 1
    assert "x" * 1000 not in log
    assert "Half." in message["response_messages"]


async def test_a_large_event_is_taken_as_far_as_the_chat_has_room(settings: Settings) -> None:
    bounded, script = replace(settings, chat_bytes=1_000_000), saying(text("x" * 10_000_000))
    async with remoted(bounded, script) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_good(house, frames)
    assert message_of(frames)["finish_reason"] == "length"
    assert 990_000 < len(texts(message_of(frames))[0]) <= 1_000_000


@pytest.mark.parametrize("events", [[text("Half")], call("1")], ids=["while it talks", "while a tool is at work"])
async def test_a_stop_closes_the_request_within_a_second(settings: Settings, events: list[Event]) -> None:
    async def script(exchange: Exchange) -> None:
        await begin(exchange, *events)
        await exchange.closed.wait()

    async with remoted(settings, script) as (house, agent), house.connect() as client:
        await client.send({"prompt": "Hi"})
        frames = [await client.frame()]
        while not frames[-1]["event"].startswith("generatingRe"):
            frames.append(await client.frame())
        with anyio.fail_after(1):
            await client.send({"id": frames[0]["payload"]["id"]}, "/chats/stop")
            await agent.exchanges[0].closed.wait()
        assert message_of([(await client.until("complete"))[-1]])["finish_reason"] == "stopped"


async def test_signs_of_life_are_no_silence(settings: Settings) -> None:
    async def script(exchange: Exchange) -> None:
        await begin(exchange)
        for event in (of("CUSTOM", name="x", value=1), of("STEP_STARTED", stepName="x"), of("RUN_STARTED")):
            await anyio.sleep(0.7)
            await exchange.data(event)
        await anyio.sleep(0.7)
        await exchange.raw(b": ping\n\n")
        await anyio.sleep(0.7)
        for event in (text("Done."), of("RUN_FINISHED")):
            await exchange.data(event)
        await exchange.raw(b"")

    assert texts(message_of(await answered(replace(settings, first_token_seconds=1), script))) == ["Done."]
