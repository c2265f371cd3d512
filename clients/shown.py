"""What the terminal client prints of an answer. Nothing that comes from the server can send the terminal a command."""

import json
import re
import shlex
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from threadcast_client import ThreadcastError
from threadcast_client.schemas.chats import (
    ChatMessage,
    ChatWithMessages,
    FileResponse,
    FilesReasoning,
    PillsReasoning,
    ReasoningMessage,
    ResponseMessage,
    TextReasoning,
)

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # C0, DEL and C1, but for tab and newline
HARMLESS = re.compile(r"[\w.:@+][\w.:@+-]*", re.ASCII)  # what neither make nor a shell reads as anything else


def plain(text: object) -> str:
    """Text from outside without the characters that a terminal obeys."""
    return CONTROL.sub("", str(text))


def in_line(text: object) -> str:
    """The same in one line, so that it does not look like several."""
    return " ".join(plain(text).split())


class Screen:
    """Shows one answer as it grows. Texts come in pieces, and what else comes meanwhile has lines of its own."""

    def __init__(self) -> None:
        self._is_fresh = True  # the cursor is where a line begins
        self._printed: dict[object, str] = {}  # of each text
        self._told: set[tuple[object, ...]] = set()  # what has had its line: steps and files, each with its status

    def show(self, chat: ChatWithMessages, message: ChatMessage) -> None:
        """Print what is new in the answer."""
        self._once(("chat",), f"chat {in_line(chat.id)}", dim=True)
        for id in message.reasoning_message_ids:
            self._reasoning(message.reasoning_messages[id])
        for id in message.response_message_ids:
            self._response(message.response_messages[id])

    def end(self, chat: ChatWithMessages) -> None:
        """Print how the last answer ended, how the chat stands, and what its agent asks."""
        last = chat.messages[chat.message_ids[-1]]
        if last.finish_reason not in (None, "stop"):
            self.say(in_line(last.final_reasoning_message), dim=True)
        self.say(f"{len(chat.message_ids)} messages, titled “{in_line(chat.title)}”", dim=True)
        self._questions(chat)

    def fail(self, error: ThreadcastError) -> None:
        """Print what went wrong."""
        self.say(f"{click.style(in_line(error.code), fg='red')} {plain(error.message)}")

    def say(self, text: str, **style: Any) -> None:
        """Print a line."""
        self.break_line()
        click.secho(text, **style)

    def break_line(self) -> None:
        """Let what follows begin a line."""
        if not self._is_fresh:
            click.echo()
        self._is_fresh = True

    def _write(self, text: str, **style: Any) -> None:
        if text:
            click.secho(text, nl=False, **style)
            self._is_fresh = text.endswith("\n")

    def _once(self, key: tuple[object, ...], line: str, **style: Any) -> None:
        if key not in self._told:
            self._told.add(key)
            self.say(line, **style)

    def _grow(self, id: object, text: str, **style: Any) -> None:
        """Print what has been appended to a text. One that was taken back begins anew."""
        before = self._printed.get(id, "")
        if not text.startswith(before):
            self.break_line()
            before = ""
        self._printed[id] = text
        self._write(plain(text[len(before) :]), **style)

    def _reasoning(self, step: ReasoningMessage) -> None:
        match step:
            case PillsReasoning():
                self._found(step)
            case FilesReasoning():
                for file in step.files.values():
                    how = "writing" if file.status == "loading" else file.status
                    self._stands(file.id, file.status, f"{in_line(file.file_name)}: {in_line(how)}")
            case TextReasoning(tool=msgspec.UNSET):
                text = step.message or ""
                if step.id not in self._printed and text and text in self._printed.values():
                    self._printed[step.id] = text  # it was shown as an answer, which it turned out not to be
                self._grow(step.id, text, dim=True)
                if step.status != "loading" and ("thought", step.id) not in self._told:
                    self._told.add(("thought", step.id))
                    self.break_line()
            case TextReasoning(tool=tool) if tool:
                name = f" ({in_line(tool.name)})" if tool.name else ""
                how = "started" if step.status == "loading" else step.status
                took = f", {in_line(step.secondary_title)}" if step.secondary_title else ""
                self._stands(step.id, step.status, f"{in_line(step.title)}{name}: {in_line(how)}{took}")

    def _stands(self, id: object, status: str, line: str) -> None:
        """Say how a tool or a file stands, once for each status."""
        self._once((id, status), line, dim=True, fg="red" if status == "failed" else None)

    def _found(self, step: PillsReasoning) -> None:
        pills = [pill for group in step.pill_containers for pill in group.pills]
        others = [in_line(pill.text) for pill in pills if pill.type != "url"]
        self._once((step.id,), ": ".join([in_line(step.title), *filter(None, [", ".join(others)])]), fg="cyan")
        for at, pill in enumerate(pills):
            if pill.type == "url":
                self._once((step.id, at), f"  {in_line(pill.text)}{_address(pill.url)}", fg="cyan")

    def _response(self, part: ResponseMessage) -> None:
        if isinstance(part, FileResponse):
            name = f"{in_line(part.file_name)}, version {in_line(part.version_number)}"
            self._once((part.id,), f"[{in_line(part.file_type)}] {name}", fg="cyan")
        else:
            self._grow(part.id, part.message or "")

    def _questions(self, chat: ChatWithMessages) -> None:
        """Print the open questions of the last message, and how to answer them."""
        approvals = chat.messages[chat.message_ids[-1]].approvals
        asked = [each for each in approvals if each.approved is None] if approvals else []
        if not asked:
            return
        self.say("The agent asks, and waits for your answer:", bold=True)
        for question in asked:
            self.say(f"  {in_line(question.title)}")
            if question.schema is not None:
                self.say(f"    with --value, if you like, as {in_line(json.dumps(question.schema))}", dim=True)
        for name in ("approve", "deny"):
            self.say(f"  to {name}: {_command(in_line(chat.id), name, [each.id for each in asked])}")
        if len(asked) > 1:
            self.say("All are answered at once, each with one of the two.", dim=True)


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
