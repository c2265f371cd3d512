"""AG-UI as the protocol's own package has it: each event that it can make, encoded by it, and each key that is read."""

from typing import Any, get_args

import pytest
from ag_ui import core
from ag_ui.encoder import EventEncoder
from pydantic import BaseModel

from backends.agents import ag_ui_events as wire
from settings import Settings
from tests.programs.model import Exchange
from tests.support.modelled import assert_good, message_of, texts
from tests.support.remote import remoted, steps

MADE: list[core.BaseEvent] = [
    core.RunStartedEvent(thread_id="t", run_id="r", protocol_version=core.PROTOCOL_VERSION),
    core.StepStartedEvent(step_name="s"),
    core.ReasoningStartEvent(message_id="r1"),
    core.ReasoningMessageStartEvent(message_id="r1"),
    core.ReasoningMessageContentEvent(message_id="r1", delta="Let me "),
    core.ReasoningMessageChunkEvent(message_id="r1", delta="think."),
    core.ReasoningMessageEndEvent(message_id="r1"),
    core.ReasoningEndEvent(message_id="r1"),
    core.ReasoningEncryptedValueEvent(subtype="message", entity_id="r1", encrypted_value="hidden"),
    core.ToolCallStartEvent(tool_call_id="c1", tool_call_name="get_weather"),
    core.ToolCallArgsEvent(tool_call_id="c1", delta="{}"),
    core.ToolCallEndEvent(tool_call_id="c1"),
    core.ToolCallChunkEvent(tool_call_id="c2", tool_call_name="find_places", delta="[]"),
    core.ToolCallResultEvent(message_id="m0", tool_call_id="c1", content="sunny"),
    core.ToolCallResultEvent(message_id="m1", tool_call_id="c2", content=[core.TextPart(text="none")]),
    core.SubagentStartedEvent(subagent_run_id="s1", name="hidden"),
    core.SubagentFinishedEvent(subagent_run_id="s1"),
    core.SubagentErrorEvent(subagent_run_id="s2", message="hidden"),
    core.ActivitySnapshotEvent(message_id="a1", activity_type="x", content={"hidden": 1}),
    core.ActivityDeltaEvent(message_id="a1", activity_type="x", patch=[]),
    core.RawEvent(event={"hidden": 1}),
    core.CustomEvent(name="x", value={"hidden": 1}),
    core.StateSnapshotEvent(snapshot={"n": 1}),
    core.StateDeltaEvent.model_validate({"delta": [{"op": "move", "from": "/n", "path": "/m"}]}),
    core.TextMessageStartEvent(message_id="m2", role="assistant"),
    core.TextMessageContentEvent(message_id="m2", delta="Well"),
    core.TextMessageEndEvent(message_id="m2"),
    core.TextMessageChunkEvent(message_id="m2", delta="."),
    core.MessagesSnapshotEvent(messages=[core.AssistantMessage(id="m2", content="hidden")]),
    core.StepFinishedEvent(step_name="s"),
    core.RunFinishedEvent(
        thread_id="t",
        run_id="r",
        usage=[core.TokenUsage(model="m", input_tokens=1, output_tokens=2, reasoning_tokens=1)],
    ),
]


async def test_each_event_that_the_protocol_knows_is_understood_or_skipped(settings: Settings) -> None:
    encoder, requests = EventEncoder(), list[dict[str, Any]]()

    async def script(exchange: Exchange) -> None:
        requests.append(exchange.request)
        await exchange.start()
        for event in MADE:
            await exchange.raw(encoder.encode(event).encode())
        await exchange.raw(b"")

    async with remoted(settings, script) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_good(house, frames)
        await client.post(prompt="And?", chat_id=frames[-1]["payload"]["id"])
    assert {event.type for event in MADE} == set(core.EventType) - {core.EventType.RUN_ERROR}
    assert texts(message_of(frames)) == ["Well."]
    assert steps(frames) == [
        ("Thinking", "Let me think.", "completed"),
        ("Get weather", "{}\n\nsunny", "completed"),
        ("Find places", "[]\n\nnone", "completed"),
    ]
    usage = message_of(frames)["usage"]
    assert usage == {"model": "m", "input_tokens": 1, "output_tokens": 2, "reasoning_tokens": 1}
    assert "hidden" not in str(frames)
    assert [request["state"] for request in requests] == [{}, {"m": 1}]


async def test_an_error_of_the_protocol_fails_the_run(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.raw(EventEncoder().encode(core.RunErrorEvent(message="hidden", code="E7")).encode())

    async with remoted(settings, script) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
    assert frames[-1]["error"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "hidden" not in str(frames)
    assert "E7: hidden" in caplog.text


MODELS: dict[str, type[BaseModel]] = {"RUN_ERROR": core.RunErrorEvent, **{event.type.value: type(event) for event in MADE}}
OLD = (wire.ThinkingStart, wire.ThinkingContent)
READ = [
    *((each, MODELS[str(each.__struct_config__.tag)]) for each in get_args(wire.AnyEvent) if each not in OLD),
    (wire.Interrupt, core.Interrupt),
    (wire.Tokens, core.TokenUsage),
    (wire.Message, core.AssistantMessage),
]


@pytest.mark.parametrize(("struct", "model"), READ, ids=lambda each: each.__name__)
def test_each_key_that_is_read_is_one_of_the_protocol(struct: Any, model: type[BaseModel]) -> None:
    aliases = {field.alias or name: field.is_required() for name, field in model.model_fields.items()}
    needed = {key for key, default in required(struct).items() if default}
    assert set(struct.__struct_encode_fields__) <= set(aliases)
    assert needed <= {name for name, is_required in aliases.items() if is_required}


def required(struct: Any) -> dict[str, bool]:
    """By its key on the wire: whether a field has to be there."""
    keys = struct.__struct_encode_fields__
    without_default = len(keys) - len(struct.__struct_defaults__)
    return {key: number < without_default for number, key in enumerate(keys)}
