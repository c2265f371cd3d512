"""What the terminal client prints of each frame. Nothing that comes from the server can send the terminal a command."""

import json
import re
import shlex
import sys
from typing import Any
from urllib.parse import urlsplit

import click

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # C0, DEL and C1, but for tab and newline
HARMLESS = re.compile(r"[\w.:@+][\w.:@+-]*", re.ASCII)  # what neither make nor a shell reads as anything else

Dict = dict[str, Any]


def plain(text: object) -> str:
    """Text from outside without the characters that a terminal obeys."""
    return CONTROL.sub("", str(text))


def in_line(text: object) -> str:
    """The same in one line, so that it does not look like several."""
    return " ".join(plain(text).split())


class Screen:
    """Shows one stream. Texts come in pieces, and what else comes meanwhile has lines of its own."""

    def __init__(self) -> None:
        self._is_fresh = True  # the cursor is where a line begins
        self._streamed: set[str] = set()  # texts that came as deltas
        self._told: set[tuple[str, str]] = set()  # steps and files, each with its status

    def show(self, frame: Dict) -> bool:
        """Print what is new in a frame. Returns whether it is the last one."""
        payload = frame["payload"]
        match frame["event"]:
            case _ if frame["error"]:
                self._line(f"{click.style(in_line(frame['error']['code']), fg='red')} {plain(frame['error']['message'])}")
                sys.exit(1)
            case "initializeChat":
                self._line(f"chat {in_line(payload['id'])}", dim=True)
            case "generatingTitle" if payload["title"]:
                self._line(in_line(payload["title"]), bold=True)
            case "generatingReasoningMessage":
                self._reasoning(payload["reasoning"])
            case "generatingResponseMessage":
                self._response(payload["response_message"])
            case "complete":
                self._line(f"{len(payload['message_ids'])} messages, titled “{in_line(payload['title'])}”", dim=True)
                self._questions(payload)
                return True
        return False

    def _write(self, text: str, **style: Any) -> None:
        if text:
            click.secho(text, nl=False, **style)
            self._is_fresh = text.endswith("\n")

    def _line(self, text: str, **style: Any) -> None:
        self._write("" if self._is_fresh else "\n")
        click.secho(text, **style)
        self._is_fresh = True

    def _reasoning(self, step: Dict) -> None:
        match step["type"]:
            case "pills":
                self._found(step)
            case "files":
                for file in step["files"].values():
                    how = "writing" if file["status"] == "loading" else file["status"]
                    self._stands(file["id"], file["status"], f"{in_line(file['file_name'])}: {in_line(how)}")
            case "text" if tool := step.get("tool"):
                name = f" ({in_line(tool['name'])})" if tool["name"] else ""
                how = "started" if step["status"] == "loading" else step["status"]
                took = f", {in_line(step['secondary_title'])}" if step["secondary_title"] else ""
                self._stands(step["id"], step["status"], f"{in_line(step['title'])}{name}: {in_line(how)}{took}")
            case "text":
                self._write(plain(step["message_chunk"] or "") or ("" if self._is_fresh else "\n"), dim=True)

    def _stands(self, id: str, status: str, line: str) -> None:
        """Say how a tool or a file stands, once for each status."""
        if (id, status) not in self._told:
            self._told.add((id, status))
            self._line(line, dim=True, fg="red" if status == "failed" else None)

    def _found(self, step: Dict) -> None:
        pills = [pill for group in step["pill_containers"] for pill in group["pills"]]
        others = [in_line(pill["text"]) for pill in pills if pill["type"] != "url"]
        self._line(": ".join([in_line(step["title"]), *filter(None, [", ".join(others)])]), fg="cyan")
        for pill in pills:
            if pill["type"] == "url":
                self._line(f"  {in_line(pill['text'])}{_address(pill.get('url'))}", fg="cyan")

    def _response(self, part: Dict) -> None:
        if part["type"] == "file":
            name = f"{in_line(part['file_name'])}, version {in_line(part['version_number'])}"
            self._line(f"[{in_line(part['file_type'])}] {name}", fg="cyan")
        elif part["message_chunk"]:
            self._streamed.add(part["id"])
            self._write(plain(part["message_chunk"]))
        elif part["id"] not in self._streamed:
            self._write(plain(part["message"] or ""))

    def _questions(self, chat: Dict) -> None:
        """Print the open questions of the last message, and how to answer them."""
        last = chat["messages"][chat["message_ids"][-1]]
        asked = [each for each in last.get("approvals") or () if each["approved"] is None]
        if not asked:
            return
        self._line("The agent asks, and waits for your answer:", bold=True)
        for question in asked:
            self._line(f"  {in_line(question['title'])}")
            if question["schema"] is not None:
                self._line(f"    with --value, if you like, as {in_line(json.dumps(question['schema']))}", dim=True)
        for name in ("approve", "deny"):
            self._line(f"  to {name}: {_command(in_line(chat['id']), name, [each['id'] for each in asked])}")
        if len(asked) > 1:
            self._line("All are answered at once, each with one of the two.", dim=True)


def _address(url: object) -> str:
    try:
        leads = isinstance(url, str) and urlsplit(url).scheme in ("http", "https") and url.isprintable()
    except ValueError:
        leads = False
    return f" {in_line(url)}" if leads else ""


def _command(chat: str, name: str, ids: list[str]) -> str:
    """What to type. Make would read more into some ids than they say, and so would a shell."""
    if all(map(HARMLESS.fullmatch, [chat, *ids])):
        several = f'"{" ".join(ids)}"' if len(ids) > 1 else ids[0]
        return f"make chat CHAT={chat} {name.upper()}={several}"
    given = " ".join(shlex.quote(f"--{name}={plain(id)}") for id in ids)
    return f"python -m clients.terminal --chat {shlex.quote(chat)} {given}"
