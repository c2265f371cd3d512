"""The terminal client before a real server: what it prints of what an agent does, and how it answers what one asks."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, STDOUT
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from anyio import to_thread
from click.testing import CliRunner

from backends.agent import AgentTask
from backends.agents.own import OwnAgent
from clients.shown import Screen
from clients.terminal import main
from settings import Settings
from tests.support.busy import HOSTILE, Said, answer
from tests.support.client import TIMEOUT_S
from tests.support.house import House, open_house
from tests.support.postgres import free_port
from tests.support.program import ROOT, Program, environment, run, serving
from tests.support.proxy import Proxy
from tests.support.server import world
from threadcast import ApprovalNeeded
from threadcast_client.schemas.chats import (
    ChatMessage,
    ChatUserMessage,
    ChatWithMessages,
    Pill,
    PillContainer,
    PillsReasoning,
)

STYLE = re.compile(r"\x1b\[\d+m")  # which the client itself writes
COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture(autouse=True)
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The busy agent finds all of its points reached."""
    monkeypatch.chdir(tmp_path)
    for point in ("tools", "files"):
        (tmp_path / point).touch()


async def says(house: House, *arguments: str, code: int = 0) -> list[str]:
    """What the client prints, with its styles, line by line."""
    environment = {"THREADCAST_TOKEN": house.token()}
    options = ["--url", house.url, *arguments]
    result = await to_thread.run_sync(lambda: CliRunner().invoke(main, options, env=environment, color=True))
    assert result.exit_code == code, result.output
    return result.output.splitlines()


def bare(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+\.\d seconds", "N seconds", STYLE.sub("", line)) for line in lines]


def chat_of(lines: list[str]) -> str:
    return next(line.removeprefix("chat ") for line in bare(lines) if line.startswith("chat "))


async def test_what_an_agent_does_has_lines_of_its_own_between_what_it_says(settings: Settings) -> None:
    async with open_house(settings, agent=OwnAgent(answer)) as house:
        styled = await says(house, "--prompt", "work")
    chat, *lines, end = [line for line in bare(styled) if line != "work"]  # the title comes when it comes
    assert chat == f"chat {chat_of(styled)}"
    assert lines == [
        "First I look at what there is.",
        "Searching the tables (search): started",
        "Counting rows: started",
        "Counting rows: failed, N seconds",
        "Searching the tables (search): completed, N seconds",
        "revenue.yml: writing",
        "board.yml: writing",
        "revenue.yml: completed",
        "board.yml: completed",
        "Found 1 source",
        "  The handbook https://docs.example.com/handbook?q=1#top",
        "Revenue was 40 rows. I may publish it.",
    ]
    assert end == "1 messages, titled “work”"
    assert all(
        line.startswith("\x1b[2m") or "\x1b[2m" in line for line in styled if ": completed" in line or ": failed" in line
    )


async def test_a_source_has_its_address_only_where_it_leads_to_the_web(settings: Settings) -> None:
    async with open_house(settings, agent=OwnAgent(answer)) as house:
        lines = bare(await says(house, "--prompt", "sources"))
    begin = lines.index("Found sources")
    assert lines[begin + 1 : begin + 8] == [
        "  The handbook https://docs.example.com/handbook?q=1#top",
        "  A mirror of it https://docs.example.com/handbook?q=1#top",
        "  Upper case HTTP://example.com/",
        "  A script",
        "  A hidden script",
        "  A page of its own",
        "  No host https://",
    ]


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//example.com", "https://[x", "https://x/\x07", 7, None]
)
def test_the_client_itself_trusts_no_address_that_a_server_calls_a_link(
    capsys: pytest.CaptureFixture[str], url: object
) -> None:
    pill = Pill("1", "A source", "url", url)  # type: ignore[arg-type]
    step = PillsReasoning(uuid4(), "Found", None, [PillContainer("Sources", [pill])], "completed")
    user = ChatUserMessage("?", uuid4(), "Alice", None)
    when = datetime.now(UTC)
    message = ChatMessage(uuid4(), user, [], {}, [step.id], {step.id: step}, when, None, False)
    chat = ChatWithMessages(uuid4(), "", False, [message.id], {message.id: message}, when, when, step.id, step.id, "", None)
    Screen().show(chat, message)
    assert capsys.readouterr().out == f"chat {chat.id}\nFound\n  A source\n"


async def test_nothing_that_an_agent_says_commands_the_terminal(settings: Settings) -> None:
    async with open_house(settings, agent=OwnAgent(answer)) as house:
        styled = await says(house, "--prompt", "hostile")
        styled += await says(house, "--prompt", HOSTILE.replace("\x00", ""))
    printed = "\n".join(STYLE.sub("", line) for line in styled)
    assert printed.count("<img src=x") > 8
    assert "onerror=alert(1)>]0;owned[31m31mred" in printed  # what is left of the commands
    assert COMMANDS.findall(printed) == []


@pytest.mark.parametrize(("option", "approved"), [("--approve", True), ("--deny", False)])
async def test_a_question_is_printed_with_what_to_type_and_is_answered_so(
    settings: Settings, option: str, approved: bool
) -> None:
    async with open_house(settings, agent=OwnAgent(answer)) as house:
        lines = await says(house, "--prompt", "ask")
        chat = chat_of(lines)
        assert bare(lines)[-4:] == [
            "The agent asks, and waits for your answer:",
            "  Delete the report?",
            f"  to approve: make chat CHAT={chat} APPROVE=delete",
            f"  to deny: make chat CHAT={chat} DENY=delete",
        ]
        said = bare(await says(house, "--chat", chat, option, "delete"))
        assert f"delete: {approved}, None. " in said
        refused = await says(house, "--chat", chat, option, "delete", code=1)
    assert bare(refused) == ["BAD_REQUEST approvals[0].id: already answered"]


async def test_several_questions_are_answered_at_once_with_their_values(settings: Settings) -> None:
    async with open_house(settings, agent=OwnAgent(answer)) as house:
        lines = await says(house, "--prompt", "ask two with value")
        chat = chat_of(lines)
        assert f'  to deny: make chat CHAT={chat} DENY="delete tell"' in bare(lines)
        assert sum("--value" in line and '"limit": {"type": "integer"}' in line for line in bare(lines)) == 2
        values = ["--value", "delete", '{"limit": 3}']
        said = bare(await says(house, "--chat", chat, "--approve", "delete", "--deny", "tell", *values))
    assert "delete: True, {'limit': 3}. tell: False, None. " in said


@pytest.mark.parametrize(
    ("values", "says_why"),
    [(["delete", "{limit"], "{limit is no JSON"), (["other", "1"], "other has neither --approve nor --deny")],
)
def test_a_value_that_cannot_be_sent_is_refused_before_anything_is(values: list[str], says_why: str) -> None:
    result = CliRunner().invoke(main, ["--url", "ws://127.0.0.1:1", "--chat", "c", "--approve", "delete", "--value", *values])
    assert result.exit_code == 2
    assert says_why in result.output


async def test_an_id_that_a_shell_or_make_would_run_is_told_so_that_neither_does(settings: Settings, tmp_path: Path) -> None:
    id = "$(shell touch owned) '`touch owned`'; touch owned"

    async def ask(task: AgentTask) -> Said:
        for said in task.approvals:
            yield f"answered {said.id == id}"
        if not task.approvals:
            yield ApprovalNeeded(id, "Well?")

    async with open_house(settings, agent=OwnAgent(ask)) as house:
        lines = bare(await says(house, "--prompt", "ask"))
        (line,) = (line for line in lines if line.startswith("  to approve: "))
        command = line.partition("python -m clients.terminal")[2]
        printed = subprocess.check_output(["sh", "-c", f"printf '%s\\n' {command}"], text=True)  # noqa: ASYNC221 - at once
        assert "answered True" in bare(await says(house, *printed.splitlines()))
    assert not (tmp_path / "owned").exists()


def test_make_hands_several_ids_on(tmp_path: Path) -> None:
    """With a Python that prints what it is given in place of the real one."""
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\ncase "$1" in server.py) echo token;; *) printf "%s\\n" "$THREADCAST_TOKEN" "$@";; esac\n')
    stub.chmod(0o700)
    (tmp_path / ".installed").touch()
    assert shutil.which("make")
    command = ["make", "-s", "chat", f"BIN={tmp_path}", "CHAT=c", "APPROVE=one two", "DENY=*"]
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "PROMPT", "ASSET")}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "token"
    assert said[-5:] == ["--chat", "c", "--approve=one", "--approve=two", "--deny=*"]


async def test_what_a_cut_interrupts_is_printed_once_and_whole(settings: Settings) -> None:
    said, may_go_on = asyncio.Event(), asyncio.Event()

    async def pausing(task: AgentTask) -> Said:
        yield "one "
        said.set()
        await may_go_on.wait()
        yield "two"

    async with open_house(settings, agent=OwnAgent(pausing)) as house:
        proxy = Proxy(urlsplit(house.url).port or 0)
        async with proxy.serving() as port:
            behind = replace(house, url=f"ws://127.0.0.1:{port}/api/v1/ws")
            async with asyncio.TaskGroup() as tasks:
                printing = tasks.create_task(says(behind, "--prompt", "count"))
                await said.wait()
                proxy.cut()
                may_go_on.set()
    chat, answer, end = bare(await printing)
    assert (chat.split()[0], answer, end) == ("chat", "one two", "1 messages, titled “count”")


def started(program: Program, folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The client in a process of its own, with its output as it comes."""
    token = run(folder, "token", "alice@acme.example").stdout.strip()
    command = [sys.executable, "-u", "-m", "clients.terminal", "--url", program.url, *arguments]
    env = environment(folder, TOKEN=token)
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=PIPE, stderr=STDOUT, text=True)


def test_a_server_that_dies_and_comes_back_in_mid_stream_ends_the_answer(tmp_path: Path) -> None:
    with serving(world(tmp_path), OFFLINE_DELAY_MS="200") as program:
        client = started(program, tmp_path, "--prompt", "Tell me a long story")
        assert client.stdout
        line = client.stdout.readline()
        assert line.startswith("chat ")
        program.stop(signal.SIGKILL)
    port = str(urlsplit(program.url).port)
    with serving(tmp_path, "--port", port):
        rest, _ = client.communicate(timeout=TIMEOUT_S)
        assert client.returncode == 0
    assert rest.splitlines()[-2:] == ["Interrupted", "1 messages, titled “Tell me a long story”"]


def test_ctrl_c_leaves_at_once_with_the_terminal_in_order(tmp_path: Path) -> None:
    with serving(world(tmp_path), OFFLINE_DELAY_MS="200") as program:
        client = started(program, tmp_path, "--prompt", "Tell me a long story")
        assert client.stdout
        said = client.stdout.readline() + client.stdout.read(5)
        client.send_signal(signal.SIGINT)
        rest, _ = client.communicate(timeout=TIMEOUT_S)
        assert client.returncode == 130
    assert said.startswith("chat ")
    assert rest.endswith("\n")
    assert "Traceback" not in rest


@pytest.mark.parametrize(("token", "says_why"), [("", "no connection: "), ("wrong", "the server does not take the token")])
async def test_a_server_that_is_not_there_or_wants_another_token_is_told(settings: Settings, token: str, says_why: str) -> None:
    async with open_house(settings) as house:
        url = house.url if token else f"ws://127.0.0.1:{free_port()}/api/v1/ws"
        options = ["--url", url, "--prompt", "x"]
        ran = await to_thread.run_sync(lambda: CliRunner().invoke(main, options, env={"THREADCAST_TOKEN": token or "t"}))
    assert ran.exit_code == 1
    assert ran.output.startswith(f"{url}: {says_why}")


async def test_a_stop_ends_what_is_answered_and_tells_where_the_chat_is(settings: Settings) -> None:
    said = asyncio.Event()

    async def endless(task: AgentTask) -> Said:
        yield "one "
        said.set()
        await asyncio.Event().wait()

    async with open_house(settings, agent=OwnAgent(endless)) as house, house.connect() as other:
        await other.send({"prompt": "count"})
        chat = (await other.frame())["payload"]["id"]
        await said.wait()
        assert bare(await says(house, "--stop", "--chat", chat)) == ["Stopped", "1 messages, titled “count”"]
        refused = await says(house, "--stop", "--chat", chat, code=1)
    assert bare(refused) == ["NOT_FOUND not found"]
