"""A chat in the terminal: posts once and shows the stream as it comes. `make chat` runs it."""

import json
import os
import sys
from typing import Any
from uuid import uuid4

import click
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from clients.shown import Screen, plain


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
    asset_type, _, asset_id = (asset or "").partition(":")
    approvals = answers(approve, deny, value)
    fields = {"prompt": prompt, "chat_id": chat, "asset_type": asset_type, "asset_id": asset_id, "approvals": approvals}
    route = "/chats/post"
    payload = {name: given for name, given in fields.items() if given}
    if stop:
        route, payload = "/chats/stop", {"id": chat or ""}
    request_id = uuid4().hex
    headers = {"authorization": f"Bearer {os.environ.get('THREADCAST_TOKEN', '')}"}
    try:
        with connect(url, additional_headers=headers, max_size=None) as socket:
            socket.send(json.dumps({"route": route, "id": request_id, "payload": payload}))
            screen = Screen()
            for data in socket:
                frame = json.loads(data)
                # A stop is answered by the end of the stream that it stops, which has the label of another request.
                ends = stop and frame["event"] == "complete" and frame["payload"]["id"] == chat
                if (ends or frame.get("request_id") == request_id) and screen.show(frame):
                    break
    except (OSError, WebSocketException) as error:
        sys.exit(f"{url}: {plain(error)}")


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
