"""A chat in the terminal: posts once and shows the stream as it comes. `make chat` runs it."""

import asyncio
import json
import os
import sys
from typing import Any

import click

from clients.shown import Screen, plain
from threadcast_client import State, Threadcast, ThreadcastError
from threadcast_client.schemas.chats import ChatWithMessages


@click.command()
@click.option("--url", default="ws://127.0.0.1:8000/api/v1/ws", show_default=True)
@click.option("--prompt", default=None, help="What to ask.")
@click.option("--asset", default=None, help="What it is about, as TYPE:ID.")
@click.option("--chat", default=None, help="The id of a chat to go on with.")
@click.option(
    "--approve", multiple=True, metavar="ID", help="Say yes to this question of the chat's agent; any number of them."
)
@click.option("--deny", multiple=True, metavar="ID", help="Say no to it.")
@click.option("--value", type=(str, str), multiple=True, metavar="ID JSON", help="The value that goes with an answer.")
@click.option("--stop", is_flag=True, help="Stop what is being answered in that chat.")
def main(
    url: str,
    prompt: str | None,
    asset: str | None,
    chat: str | None,
    approve: tuple[str, ...],
    deny: tuple[str, ...],
    value: tuple[tuple[str, str], ...],
    stop: bool,
) -> None:
    """Post one message and print its stream. The token is read from THREADCAST_TOKEN."""
    if stop and not chat:
        raise click.UsageError("--stop needs --chat")
    approvals = answers(approve, deny, value)
    asset_type, _, asset_id = (asset or "").partition(":")
    post: dict[str, Any] = {"prompt": prompt or None, "chat_id": chat or None, "approvals": approvals or None}
    if asset:
        post["asset"] = (asset_type, asset_id)
    try:
        sys.exit(asyncio.run(talk(url, os.environ.get("THREADCAST_TOKEN", ""), chat if stop else None, post)))
    except KeyboardInterrupt:
        sys.exit(130)


async def talk(url: str, token: str, stopped: str | None, post: dict[str, Any]) -> int:
    """Post, or stop what is answered in a chat, and show what comes of it. The exit code."""
    screen, lost = Screen(), Lost()
    try:
        async with Threadcast(url.removesuffix("/api/v1/ws"), token) as client:
            lost.watch(client, screen)
            screen.end(await (stop_chat(client, stopped) if stopped else ask(client, screen, post)))
            return 0
    except ThreadcastError as error:
        if lost.why:
            screen.say(f"{url}: {plain(lost.why)}")
        else:
            screen.fail(error)
    except ValueError as error:
        screen.say(f"{url}: {plain(error)}")
    finally:
        screen.break_line()
    return 1


class Lost:
    """Says when the connection is away. Closes the client when there is none to begin with, or the token is refused."""

    def __init__(self) -> None:
        self.why = ""
        self._note = ""
        self._was_live = False
        self._closing: asyncio.Task[None] | None = None

    def watch(self, client: Threadcast, screen: Screen) -> None:
        """Begin."""

        def noted(note: str) -> None:
            self._note = note

        def changed(state: State) -> None:
            self._was_live = self._was_live or state == "live"
            if state == "waiting" and self._was_live:
                screen.say("The connection is lost. It goes on when the server is back; Ctrl-C leaves.", dim=True)
            elif state in ("waiting", "refused"):
                self.why = "the server does not take the token" if state == "refused" else self._note
                self._closing = asyncio.create_task(client.close())

        client.on("note", noted)
        client.subscribe(changed)


async def ask(client: Threadcast, screen: Screen, post: dict[str, Any]) -> ChatWithMessages:
    """The chat, once the answer in it has ended. It is shown as it grows."""
    answer = client.post(**post)

    def show() -> None:
        if answer.chat and answer.message:
            screen.show(answer.chat, answer.message)

    client.chats.subscribe(show)
    await answer.done
    show()
    if answer.chat is None:
        raise ThreadcastError("NOT_FOUND", "the chat is not there")
    return answer.chat


async def stop_chat(client: Threadcast, chat: str) -> ChatWithMessages:
    """The chat, once nothing is being answered in it."""
    await client.request("/chats/stop", {"id": chat})
    return await client.chats.open(chat)


def answers(approve: tuple[str, ...], deny: tuple[str, ...], values: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    """What is said to each question, as a post has it."""
    given: dict[str, Any] = {}
    for id, text in values:
        try:
            given[id] = json.loads(text)
        except ValueError as error:
            raise click.BadParameter(f"{text} is no JSON: {error}", param_hint="--value") from None
    said = [(id, True) for id in approve] + [(id, False) for id in deny]
    if left := given.keys() - {id for id, _ in said}:
        raise click.BadParameter(f"{min(left)} has neither --approve nor --deny", param_hint="--value")
    return [{"id": id, "approved": approved} | ({"value": given[id]} if id in given else {}) for id, approved in said]


if __name__ == "__main__":
    main()
