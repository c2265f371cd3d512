"""The Python client where only Python can fail: cancelled, left by an exception, listened to by bad listeners, collected."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

from backends.agent import AgentTask
from backends.agents.own import OwnAgent
from settings import Settings
from tests.support.client import TIMEOUT_S
from tests.support.house import House, open_house
from tests.support.postgres import free_port
from threadcast_client import Answer, Threadcast, ThreadcastError
from threadcast_client.requests import MOST_WAITING

Doing = Callable[[Threadcast, Answer], Awaitable[object]]
CHAT = "33333333-3333-4333-8333-333333333331"


async def endless(task: AgentTask) -> AsyncGenerator[Any, None]:
    yield "one "
    await asyncio.Event().wait()


def base(house: House) -> str:
    return house.url.removesuffix("/api/v1/ws")


async def first_piece(answer: Answer) -> str:
    async for text in answer:
        return text
    raise AssertionError("nothing was said")


def where(task: asyncio.Task[Any]) -> str:
    """The file of what the task runs."""
    return str(getattr(getattr(task.get_coro(), "cr_code", None), "co_filename", ""))


async def read(client: Threadcast, answer: Answer) -> str:
    return "".join([text async for text in answer])


DOINGS: dict[str, Doing] = {
    "iterating": read,
    "done": lambda client, answer: asyncio.ensure_future(answer.done),
    "stopping": lambda client, answer: client.post("later").stop() if client.state == "live" else answer.stop(),
    "listing": lambda client, answer: client.chats.list(),
    "opening": lambda client, answer: client.chats.open(CHAT),
    "asking": lambda client, answer: client.request("/chats/list", {}),
}


@pytest.mark.parametrize("websocket", [True, False])
async def test_a_block_that_an_exception_leaves_has_nothing_running(settings: Settings, websocket: bool) -> None:
    async with open_house(settings, agent=OwnAgent(endless)) as house:
        before = asyncio.all_tasks()
        client = Threadcast(base(house), house.token(), websocket=websocket)
        answer = client.post("count")

        async def leave() -> None:
            async with client:
                await first_piece(answer)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(TIMEOUT_S):  # the server says nothing that would end what is read
                await leave()
        assert not [task for task in asyncio.all_tasks() - before if "threadcast_client" in where(task)]
        assert client.state == "closed"
        with pytest.raises(ThreadcastError, match="CLOSED"):
            await answer.done


@pytest.mark.parametrize("name", DOINGS)
async def test_whatever_waits_for_a_connection_can_be_cancelled_and_nobody_complains(name: str) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with asyncio.timeout(TIMEOUT_S):
        async with Threadcast(f"http://127.0.0.1:{free_port()}", "token") as client:
            answer = client.post("x")
            doing = asyncio.ensure_future(DOINGS[name](client, answer))
            if name == "stopping":
                with pytest.raises(ThreadcastError, match="STOPPED"):
                    await answer.done
            await asyncio.sleep(0)
            doing.cancel()
            await asyncio.wait([doing])
            left = asyncio.ensure_future(DOINGS[name](client, client.post("y")))  # which nobody asks for its end
            await asyncio.sleep(0)
        await asyncio.wait([left])
        assert isinstance(left.exception(), ThreadcastError | None)
    del doing, left, answer, client
    gc.collect()
    asyncio.get_running_loop().set_exception_handler(None)
    assert complaints == []


async def test_a_listener_that_fails_disturbs_no_other_and_is_told_to_the_loop(house: House) -> None:
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
    heard: list[str] = []
    async with Threadcast(base(house), house.token()) as client:
        client.chats.subscribe(lambda: 1 / 0)
        leave = client.chats.subscribe(lambda: heard.append("x"))
        await client.post("Hi").done
        leave()
        leave()
        count = len(heard)
        await client.post("Again").done
    loop.set_exception_handler(None)
    assert 0 < count == len(heard)
    assert set(complaints) == {"a listener of threadcast_client failed"}


async def test_more_than_a_hundred_posts_or_requests_are_refused_at_once() -> None:
    client = Threadcast("http://127.0.0.1:1", "token")
    for _ in range(MOST_WAITING):
        client.post("x")
    with pytest.raises(ThreadcastError, match="QUEUE_FULL"):
        client.post("x")
    await client.close()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://a", "http://", "http://user:secret@host"])
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="url must be http") as refused:
        Threadcast(url, "token")
    assert "secret" not in str(refused.value)


async def test_a_token_is_in_no_note_and_a_function_s_own_error_neither() -> None:
    def failing() -> str:
        raise RuntimeError("secret")

    notes: list[str] = []
    noted = asyncio.Event()
    for token in ("sec\nret", failing, "secret"):
        client = Threadcast(f"http://127.0.0.1:{free_port()}", token)
        client.on("note", notes.append)
        client.on("note", lambda _: noted.set())
        client.connect()
        await noted.wait()
        noted.clear()
        await client.close()
    assert len(notes) >= 3
    assert "sec" not in " ".join(notes)
