"""A chat in the terminal: posts once and shows the stream as it comes. `make chat` runs it."""

import json
import os
import sys
from typing import Any
from uuid import uuid4

import click
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect


@click.command()
@click.option("--url", default="ws://127.0.0.1:8000/api/v1/ws", show_default=True)
@click.option("--prompt", default=None, help="What to ask.")
@click.option("--asset", default=None, help="What it is about, as TYPE:ID.")
@click.option("--chat", default=None, help="The id of a chat to go on with.")
@click.option("--stop", is_flag=True, help="Stop what is being answered in that chat.")
def main(url: str, prompt: str | None, asset: str | None, chat: str | None, stop: bool) -> None:
    """Post one message and print its stream. The token is read from THREADCAST_TOKEN."""
    asset_type, _, asset_id = (asset or "").partition(":")
    fields = {"prompt": prompt, "chat_id": chat, "asset_type": asset_type, "asset_id": asset_id}
    route = "/chats/post"
    payload = {name: value for name, value in fields.items() if value}
    if stop:
        route, payload = "/chats/stop", {"id": chat or ""}
    request_id = uuid4().hex
    headers = {"authorization": f"Bearer {os.environ.get('THREADCAST_TOKEN', '')}"}
    try:
        with connect(url, additional_headers=headers, max_size=None) as socket:
            socket.send(json.dumps({"route": route, "id": request_id, "payload": payload}))
            streamed: set[str] = set()
            for data in socket:
                frame = json.loads(data)
                # A stop is answered by the end of the stream that it stops, which has the label of another request.
                answers = stop and frame["event"] == "complete" and frame["payload"]["id"] == chat
                if (answers or frame.get("request_id") == request_id) and show(frame, streamed):
                    break
    except (OSError, InvalidHandshake) as error:
        sys.exit(f"{url}: {error}")


def show(frame: dict[str, Any], streamed: set[str]) -> bool:
    """Print what is new in a frame. Returns whether it is the last one. `streamed` keeps the texts that came as deltas."""
    payload = frame["payload"]
    match frame["event"]:
        case _ if frame["error"]:
            click.echo(f"\n{click.style(frame['error']['code'], fg='red')} {frame['error']['message']}")
            sys.exit(1)
        case "initializeChat":
            click.secho(f"chat {payload['id']}", dim=True)
        case "generatingTitle" if payload["title"]:
            click.secho(f"\n{payload['title']}", bold=True)
        case "generatingReasoningMessage":
            show_reasoning(payload["reasoning"])
        case "generatingResponseMessage":
            show_response(payload["response_message"], streamed)
        case "complete":
            click.secho(f"\n{len(payload['message_ids'])} messages, titled “{payload['title']}”", dim=True)
            return True
    return False


def show_reasoning(reasoning: dict[str, Any]) -> None:
    if reasoning["type"] == "pills":
        pills = ", ".join(pill["text"] for group in reasoning["pill_containers"] for pill in group["pills"])
        click.secho(f"{reasoning['title']}: {pills}", fg="cyan")
    elif reasoning["type"] == "text":
        click.secho(reasoning["message_chunk"] or "\n", dim=True, nl=False)


def show_response(part: dict[str, Any], streamed: set[str]) -> None:
    if part["type"] == "file":
        opened = f"[{part['file_type']}] {part['file_name']}, version {part['version_number']}"
        click.secho(opened, fg="cyan")
    elif part["message_chunk"]:
        streamed.add(part["id"])
        click.echo(part["message_chunk"], nl=False)
    elif part["id"] not in streamed:
        click.echo(part["message"])


if __name__ == "__main__":
    main()
