"""What every client has to keep, whatever has befallen it: it holds what the server has."""

import asyncio
from typing import Any
from uuid import UUID

from tests.support.client import TIMEOUT_S
from tests.support.crowd import ask, chats_of, token_of
from tests.support.driver import Driver
from tests.support.hostile import Hostile

SETTLED_S = 20  # in which a client that is connected has mended what it holds
STRANGE = "novelty"  # the key that the hostile proxy adds


async def opened(driver: Driver, hostile: Hostile, user: UUID, **more: Any) -> None:
    """Open the client, which is live when it is; `tokens` are good ones unless there are others."""
    tokens = [token_of(user) for _ in range(3)]
    options: dict[str, Any] = {"url": hostile.url, "tokens": tokens, "heartbeat": 1}
    await driver.says("open", **options | more)


async def until_said(driver: Driver, name: str, text: str) -> None:
    """Wait until the answer has this text."""
    async with asyncio.timeout(TIMEOUT_S):
        while text not in await driver.text(name):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)


async def chat_of(driver: Driver, message: str) -> str:
    """The chat that has this message. If frames were missing after its end, a client may have let it go: then it is opened."""
    chats = (await driver.says("chats"))["chats"]
    for id, chat in chats.items():
        if message in chat["messages"]:
            return str(id)
    for item in await driver.says("list"):
        if message in (await driver.says("openChat", chat=item["id"]))["messages"]:
            return str(item["id"])
    raise AssertionError(f"no chat has the message {message}")


def known(value: Any) -> Any:
    """Without the hostile proxy's own keys, which a client may keep or drop."""
    match value:
        case dict():
            return {key: known(each) for key, each in value.items() if key != STRANGE}
        case list():
            return [known(each) for each in value]
    return value


def differences(held: Any, true: Any, at: str = "") -> list[str]:
    """Where the two differ, for a person to read."""
    if isinstance(held, dict) and isinstance(true, dict):
        keys = held.keys() | true.keys()
        return [
            found
            for key in sorted(keys)
            for found in differences(held.get(key, "(absent)"), true.get(key, "(absent)"), f"{at}.{key}")
        ]
    return [] if held == true else [f"{at}: held {str(held)[:150]!r}, the server has {str(true)[:150]!r}"]


async def disagreements(driver: Driver, port: int, user: UUID) -> list[str]:
    """What of the held chats and list items is not as the server has it. Of an item only what it has is compared."""
    true = await chats_of(port, user)
    items = {item["id"]: item for item in await ask(port, user, "/chats/list", {"page_size": 100})}
    held = known(await driver.says("chats"))
    found = differences(held["chats"], {id: true.get(id, "(none)") for id in held["chats"]}, "chats")
    for item in held["list"]:
        whole = items.get(item["id"], {})
        assert {"id", "title", "is_favorited"} <= item.keys()
        found += differences(item, {key: whole.get(key, "(absent)") for key in item}, f"list.{item['id']}")
    return found


async def agrees(driver: Driver, port: int, user: UUID, *wanted: str) -> None:
    """Wait until the client is live, holds the wanted chats, and all that it holds is as the server has it."""
    await driver.live()
    give_up = asyncio.get_running_loop().time() + SETTLED_S
    while found := await disagreements(driver, port, user):
        assert asyncio.get_running_loop().time() < give_up, "\n".join(found)
        await asyncio.sleep(0.1)
    chats = (await driver.says("chats"))["chats"]
    assert set(wanted) <= chats.keys()


async def posted_once(port: int, user: UUID, *prompts: str) -> None:
    """Each of these different prompts is on the server exactly once, whatever was sent again."""
    chats = await chats_of(port, user)
    messages = [message for chat in chats.values() for message in chat["messages"].values()]
    asked = [message["request_message"]["request"] for message in messages if message["request_message"]]
    assert sorted(asked) == sorted(prompts)


def text_of(message: dict[str, Any]) -> str:
    """The answer's text."""
    parts = (message["response_messages"][id] for id in message["response_message_ids"])
    return "".join(part["message"] for part in parts if part["type"] == "text")
