"""What an agent over AG-UI is asked, with what, and where: the chat, its state, the answers to its questions, refusals."""

import json
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from backends import open_agent
from backends.agent import AgentTask
from backends.agents.own import OwnAgent
from settings import Settings, SettingsError
from tests.programs.model import Exchange, Script, serving
from tests.support.client import Frame
from tests.support.house import open_house
from tests.support.modelled import assert_good, message_of, texts
from tests.support.remote import KEY, Event, begin, call, in_turn, of, remoted, result, run, saying, steps, text
from tests.support.world import REVENUE
from threadcast import Remembered

Requests = list[dict[str, Any]]


async def test_the_chat_is_a_thread_and_a_post_is_a_run(settings: Settings) -> None:
    async with remoted(settings, saying(text("Well."))) as (house, agent), house.connect() as client:
        chat = (await client.post(prompt="What is it?", asset_id=str(REVENUE), asset_type="metric"))[-1]["payload"]
        chat = (await client.post(prompt="And then?", chat_id=chat["id"]))[-1]["payload"]
    first, second = chat["message_ids"]
    (answer,) = chat["messages"][first]["response_message_ids"][-1:]
    opened, asked = (exchange.request for exchange in agent.exchanges)
    assert opened["messages"] == [{"id": first, "role": "user", "content": "What is it?"}]
    (context,) = opened["context"]
    assert context["description"] == "The definition of the metric “Revenue”, which the chat is about, as JSON"
    value = json.loads(context["value"])
    assert (value["id"], value["type"], value["name"]) == (str(REVENUE), "metric", "Revenue")
    assert value["definition"]["description"] == "All about Revenue."
    assert asked == {
        "threadId": chat["id"],
        "runId": second,
        "protocolVersion": "1.0",
        "state": {},
        "messages": [
            {"id": first, "role": "user", "content": "What is it?"},
            {"id": answer, "role": "assistant", "content": "Well."},
            {"id": second, "role": "user", "content": "And then?"},
        ],
        "tools": [],
        "context": opened["context"],
        "forwardedProps": {},
    }


async def test_headers_go_with_each_request_and_are_never_logged(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.refuse(401)

    loud = replace(settings, log_level="DEBUG")
    script = in_turn(saying(text("Well.")), refuse)
    async with remoted(loud, script) as (house, agent), house.connect() as client:
        for _ in range(2):
            await client.post(prompt="Hi")
        shown = repr(house.settings)
    assert [exchange.headers["x-key"] for exchange in agent.exchanges] == [KEY] * 2
    assert {exchange.headers["accept"] for exchange in agent.exchanges} == {"text/event-stream"}
    assert {exchange.path for exchange in agent.exchanges} == {"/v1"}
    assert KEY not in capsys.readouterr().err
    assert KEY not in shown
    assert agent.url not in shown


async def test_a_cookie_goes_with_no_other_request(settings: Settings) -> None:
    async def set_cookie(exchange: Exchange) -> None:
        await exchange.start(headers="set-cookie: session=1; Path=/\r\n")
        await exchange.data(of("RUN_FINISHED"))
        await exchange.raw(b"")

    async with remoted(settings, set_cookie) as (house, agent), house.connect() as client:
        for _ in range(2):
            await client.post(prompt="Hi")
    assert [exchange.headers.get("cookie") for exchange in agent.exchanges] == [None, None]


MISCONFIGURED = "the server's model is not set up right, reference "
QUOTING = b'{"detail": [{"input": "billing, rate limit, overloaded, maximum context length: secret detail"}]}'


@pytest.mark.parametrize(
    ("status", "code", "says", "retry_after"),
    [
        (400, "INTERNAL_SERVER_ERROR", MISCONFIGURED, None),
        (401, "INTERNAL_SERVER_ERROR", MISCONFIGURED, None),
        (403, "INTERNAL_SERVER_ERROR", MISCONFIGURED, None),
        (404, "INTERNAL_SERVER_ERROR", MISCONFIGURED, None),
        (422, "INTERNAL_SERVER_ERROR", MISCONFIGURED, None),
        (413, "BAD_REQUEST", "the chat is too long for the model", None),
        (429, "TOO_MANY_REQUESTS", "the model takes no more requests for now", 17),
        (500, "INTERNAL_SERVER_ERROR", "internal error, reference ", None),
        (502, "INTERNAL_SERVER_ERROR", "internal error, reference ", None),
        (503, "SERVICE_UNAVAILABLE", "the model is busy", 17),
    ],
)
async def test_a_refusal_is_of_the_kind_that_its_status_says_whatever_it_quotes(
    settings: Settings, capsys: pytest.CaptureFixture[str], status: int, code: str, says: str, retry_after: int | None
) -> None:
    async def script(exchange: Exchange) -> None:
        head = f"HTTP/1.1 {status} X\r\nconnection: close\r\nretry-after: 17\r\ncontent-length: {len(QUOTING)}\r\n\r\n"
        await exchange.wire(head.encode() + QUOTING)

    async with remoted(settings, script) as (house, agent), house.connect() as client:
        error = (await client.post(prompt="Hi"))[-1]["error"]
    assert (error["code"], error["message"][: len(says)], error.get("retry_after")) == (code, says, retry_after)
    assert len(agent.exchanges) == 1
    log = capsys.readouterr().err
    assert f"status {status}" in log
    assert "secret detail" not in log


@pytest.mark.parametrize(
    ("head", "body"),
    [("application/json", '{"type": "RUN_FINISHED"}'), ("text/html", "<html>secret detail of a page"), ("text/plain", "")],
)
async def test_what_is_no_stream_is_no_answer(settings: Settings, head: str, body: str) -> None:
    async def script(exchange: Exchange) -> None:
        kind = f"content-type: {head}\r\ncontent-length: {len(body)}"
        await exchange.wire(f"HTTP/1.1 200 OK\r\n{kind}\r\nconnection: close\r\n\r\n{body}".encode())

    async with remoted(settings, script) as (house, _), house.connect() as client:
        error = (await client.post(prompt="Hi"))[-1]["error"]
    assert error["code"] == "INTERNAL_SERVER_ERROR"
    assert "secret detail" not in error["message"]


async def test_a_server_that_is_not_there_fails_the_run(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    gone = replace(settings, agent="ag-ui:http://127.0.0.1:9/")
    async with open_house(gone) as house, house.connect() as client:
        error = (await client.post(prompt="Hi"))[-1]["error"]
    assert error["message"].startswith("internal error")
    assert "the agent's server cannot be reached: ConnectError" in capsys.readouterr().err


def redirect(to: str, status: int = 307) -> Script:
    async def script(exchange: Exchange) -> None:
        head = f"HTTP/1.1 {status} X\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        await exchange.wire(head.encode())

    return script


async def test_a_redirect_within_the_server_is_followed(settings: Settings) -> None:
    script = in_turn(redirect("/v1/"), saying(text("Well.")))
    async with remoted(settings, script) as (house, agent), house.connect() as client:
        frames = await client.post(prompt="Hi")
    assert texts(message_of(frames)) == ["Well."]
    assert [(exchange.path, exchange.headers["x-key"]) for exchange in agent.exchanges] == [("/v1", KEY), ("/v1/", KEY)]
    assert agent.exchanges[0].request == agent.exchanges[1].request


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_elsewhere_is_not(settings: Settings, status: int) -> None:
    async with serving(saying(text("Well."))) as other:
        async with remoted(settings, redirect(other.url, status)) as (house, _), house.connect() as client:
            error = (await client.post(prompt="Hi"))[-1]["error"]
        assert error["message"].startswith(MISCONFIGURED)
        assert other.exchanges == []


def snapshot(state: object) -> Event:
    return of("STATE_SNAPSHOT", snapshot=state)


def delta(*patch: Event) -> Event:
    return of("STATE_DELTA", delta=list(patch))


async def after(settings: Settings, *scripts: Script) -> tuple[Requests, list[list[Frame]]]:
    """What each post asks when the agent follows these scripts, one for each post of a chat."""
    told: list[list[Frame]] = []
    async with remoted(settings, in_turn(*scripts)) as (house, agent), house.connect() as client:
        chat: dict[str, Any] = {}
        for number in range(len(scripts)):
            told.append(await client.post(prompt=f"{number}", **chat))
            chat = {"chat_id": told[0][0]["payload"]["id"]}
    return [exchange.request for exchange in agent.exchanges], told


async def test_the_state_that_a_run_leaves_is_what_the_next_one_starts_with(settings: Settings) -> None:
    async def fail(exchange: Exchange) -> None:
        await begin(exchange, snapshot({"n": "of a run that failed"}), of("RUN_ERROR", message="x"))
        await exchange.closed.wait()

    requests, told = await after(
        settings,
        saying(snapshot({"n": 1, "kept": [1]})),
        saying(delta({"op": "replace", "path": "/n", "value": 2}), delta({"op": "add", "path": "/kept/-", "value": 2})),
        saying(delta({"op": "remove", "path": "/none"})),
        fail,
        saying(snapshot(None)),
        saying(text("Well.")),
    )
    changed = {"n": 2, "kept": [1, 2]}
    assert [request["state"] for request in requests] == [{}, {"n": 1, "kept": [1]}, changed, changed, changed, {}]
    assert "kept" not in str(told)


async def test_a_state_that_is_too_large_is_dropped_and_the_run_goes_on(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    large = {"x": "secret detail" + "x" * 2**16}
    double = {"op": "copy", "from": "", "path": "/x"}
    requests, told = await after(
        settings,
        saying(snapshot({"n": 1})),
        saying(text("Well."), snapshot(large), delta({"op": "add", "path": "/n", "value": 2})),
        saying(snapshot(large), snapshot({"n": 3})),
        saying(delta(*[double | {"path": f"/{number}"} for number in range(100)])),
        saying(snapshot("x" * (2**16 - 10))),
        saying(),
    )
    assert [request["state"] for request in requests] == [{}, {"n": 1}, {}, {"n": 3}, {"n": 3}, {}]
    assert texts(message_of(told[1])) == ["Well."]
    log = capsys.readouterr().err
    assert log.count("an agent's state is too large, and is dropped") == 3
    assert log.count("an agent's state cannot be changed as it says, and stays") == 1
    assert "secret detail" not in log


async def test_what_another_agent_has_left_is_no_state(settings: Settings) -> None:
    async def leave(task: AgentTask) -> AsyncGenerator[Any, None]:
        yield Remembered(["something else"])

    async with open_house(settings, agent=OwnAgent(leave)) as house, house.connect() as client:
        chat_id = (await client.post(prompt="Hi"))[-1]["payload"]["id"]
    async with remoted(settings, saying(text("Well."))) as (house, agent), house.connect() as client:
        assert texts(message_of(await client.post(prompt="And?", chat_id=chat_id))) == ["Well."]
    assert agent.exchanges[0].request["state"] == {}


SCHEMA = {"type": "object", "properties": {"approved": {"type": "boolean"}, "limit": {"type": "integer"}}}
FORM = {"type": "object", "properties": {"limit": {"type": "integer"}}}


def asking(*interrupts: Event) -> Script:
    async def script(exchange: Exchange) -> None:
        events = [text("I will."), *call("c1", "delete_file", '{"name": "x"}'), snapshot({"n": 1})]
        await run(exchange, *events, outcome={"type": "interrupt", "interrupts": list(interrupts)})

    return script


ONE = {"id": "i1", "reason": "tool_call", "message": "Delete x?", "toolCallId": "c1", "responseSchema": SCHEMA}
TWO = {"id": "i2", "reason": "How many?", "responseSchema": FORM}


async def test_an_interrupt_asks_the_user_and_the_answers_resume_the_run(settings: Settings) -> None:
    async def resume(exchange: Exchange) -> None:
        messages = [*exchange.request["messages"], {"id": "m2", "role": "assistant", "content": "Done."}]
        await run(exchange, result("c1", "gone"), of("MESSAGES_SNAPSHOT", messages=messages))

    script = in_turn(asking(ONE, TWO), resume, saying(text("Well.")))
    async with remoted(settings, script) as (house, agent), house.connect() as client:
        asked = await client.post(prompt="Delete x")
        assert_good(house, asked)
        chat_id = asked[-1]["payload"]["id"]
        message = message_of(asked)
        assert [(each["id"], each["title"], each["schema"]) for each in message["approvals"]] == [
            ("c1", "Delete x?", SCHEMA),
            ("i2", "How many?", FORM),
        ]
        assert steps(asked)[0] == ("Delete file", '{"name": "x"}', "loading")
        answers = [
            {"id": "c1", "approved": False, "value": {"limit": 1}},
            {"id": "i2", "approved": True, "value": {"limit": 2}},
        ]
        resumed = await client.post(chat_id=chat_id, approvals=answers)
        assert steps(resumed) == [("Delete file", "gone", "completed")]
        assert texts(message_of(resumed)) == ["Done."]
        await client.post(chat_id=chat_id, prompt="And?")
    _, second, third = (exchange.request for exchange in agent.exchanges)
    assert second["resume"] == [
        {"interruptId": "i1", "status": "resolved", "payload": {"limit": 1, "approved": False}},
        {"interruptId": "i2", "status": "resolved", "payload": {"limit": 2}},
    ]
    assert second["state"] == third["state"] == {"n": 1}
    assert [(each["role"], each.get("content")) for each in second["messages"]] == [
        ("user", "Delete x"),
        ("assistant", "I will."),
        ("assistant", None),
    ]
    (waiting,) = second["messages"][-1]["toolCalls"]
    assert waiting == {"id": "c1", "type": "function", "function": {"name": "delete_file", "arguments": '{"name": "x"}'}}
    assert "resume" not in third
    assert "toolCalls" not in str(third)


async def test_a_question_that_is_passed_over_or_denied_without_a_place_for_it_is_cancelled(settings: Settings) -> None:
    script = in_turn(asking(TWO), asking(TWO), saying(text("Well.")))
    async with remoted(settings, script) as (house, agent), house.connect() as client:
        chat_id = (await client.post(prompt="Delete x"))[-1]["payload"]["id"]
        await client.post(prompt="Never mind", chat_id=chat_id)
        await client.post(chat_id=chat_id, approvals=[{"id": "i2", "approved": False}])
    cancelled = [{"interruptId": "i2", "status": "cancelled"}]
    assert [exchange.request.get("resume") for exchange in agent.exchanges] == [None, cancelled, cancelled]


async def test_what_is_too_much_of_a_question_is_left_out_or_fails(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    long = {"id": "i" * 300, "message": "m" * 600, "responseSchema": {"x": "x" * 2**16}}
    script = in_turn(asking(long), saying(), asking(*[{"id": f"{number}"} for number in range(101)]), asking(TWO, TWO))
    async with remoted(settings, script) as (house, agent), house.connect() as client:
        frames = await client.post(prompt="Hi")
        (question,) = message_of(frames)["approvals"]
        assert (len(question["id"]), len(question["title"]), question["schema"]) == (64, 500, None)
        chat_id = frames[-1]["payload"]["id"]
        await client.post(chat_id=chat_id, approvals=[{"id": question["id"], "approved": True}])
        ends = [(await client.post(prompt="Hi"))[-1]["error"]["code"] for _ in range(2)]
    assert agent.exchanges[1].request["resume"] == [
        {"interruptId": "i" * 300, "status": "resolved", "payload": {"approved": True}}
    ]
    assert ends == ["INTERNAL_SERVER_ERROR"] * 2
    assert "the agent asks 101 questions at once" in caplog.text
    assert "cannot be told apart" in caplog.text


def test_without_the_extra_the_start_says_what_to_install(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    for module in ("ag_ui", "completions"):
        monkeypatch.delitem(sys.modules, f"backends.agents.{module}", raising=False)
    with pytest.raises(SettingsError, match=r"threadcast\[openai\]"):
        open_agent(replace(settings, agent="ag-ui:http://127.0.0.1/"))
