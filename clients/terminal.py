"""A chat in the terminal: posts once and shows the stream as it comes. `make chat` runs it."""

import json
import os
import sys
from typing import Any
from uuid import uuid4

import click
from rich.console import Console
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

console = Console(highlight=False, soft_wrap=True)


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
            console.print(f"\n[red]{frame['error']['code']}[/] {frame['error']['message']}", markup=True)
            sys.exit(1)
        case "initializeChat":
            console.print(f"[dim]chat {payload['id']}[/]")
        case "generatingTitle" if payload["title"]:
            console.print(f"\n{payload['title']}", style="bold", markup=False)
        case "generatingReasoningMessage":
            show_reasoning(payload["reasoning"])
        case "generatingResponseMessage":
            show_response(payload["response_message"], streamed)
        case "complete":
            console.print(f"\n[dim]{len(payload['message_ids'])} messages, titled “[/]", end="")
            console.print(payload["title"], style="dim", markup=False, end="")
            console.print("[dim]”[/]")
            return True
    return False


def show_reasoning(reasoning: dict[str, Any]) -> None:
    if reasoning["type"] == "pills":
        pills = ", ".join(pill["text"] for group in reasoning["pill_containers"] for pill in group["pills"])
        console.print(f"{reasoning['title']}: {pills}", style="cyan", markup=False)
    elif reasoning["type"] == "text":
        console.print(reasoning["message_chunk"] or "\n", style="dim", markup=False, end="")


def show_response(part: dict[str, Any], streamed: set[str]) -> None:
    if part["type"] == "file":
        opened = f"[{part['file_type']}] {part['file_name']}, version {part['version_number']}"
        console.print(opened, style="cyan", markup=False)
    elif part["message_chunk"]:
        streamed.add(part["id"])
        console.print(part["message_chunk"], markup=False, end="")
    elif part["id"] not in streamed:
        console.print(part["message"], markup=False)


if __name__ == "__main__":
    main()
