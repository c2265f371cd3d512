"""The order of a chat's messages, as it was said and as it is read."""

from typing import Any

from tests.support.client import Client


async def said(client: Client, prompt: str, **rest: object) -> dict[str, Any]:
    """The chat after this post."""
    chat: dict[str, Any] = (await client.post(prompt=prompt, **rest))[-1]["payload"]
    return chat


def prompts_of(chat: dict[str, Any]) -> list[str]:
    return [chat["messages"][id]["request_message"]["request"] for id in chat["message_ids"]]


async def got(client: Client, chat_id: str) -> dict[str, Any]:
    await client.send({"id": chat_id}, "/chats/get")
    chat: dict[str, Any] = (await client.frame())["payload"]
    return chat
