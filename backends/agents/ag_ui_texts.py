"""What an agent over AG-UI says, as it may stand here: ids, errors, results and questions of any length and shape."""

from hashlib import sha256
from typing import Any

from backends.agent_events import JSON_BYTES, ApprovalNeeded
from backends.agents.ag_ui_events import Interrupt
from backends.statements import to_json

LONGEST_ID = 200  # characters of a call's id; some agents put whole signatures there
LONGEST_TITLE = 500  # characters of a tool's name, or of a question
LONGEST_ERROR = 1000  # characters of what an agent says of its failure, in the log


def short(id: str) -> str:
    """The id, as a step may have it."""
    return id if 0 < len(id) <= LONGEST_ID else sha256(id.encode(errors="replace")).hexdigest()


def one_line(text: str) -> str:
    """The beginning of a foreign text, as one line that can control no terminal."""
    return "".join(each if each.isprintable() else " " for each in text[:LONGEST_ERROR])


def result_text(content: Any) -> str:
    """A result: of its parts the texts, and of others only what they are."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return to_json(content)
    return "\n\n".join(map(_part, content))


def _part(part: Any) -> str:
    match part:
        case {"type": "text", "text": str() as text}:
            return text
        case {"type": str() as kind}:
            return f"({kind[:LONGEST_ID]})"
        case _:
            return to_json(part)


def question_of(interrupt: Interrupt, id: str) -> ApprovalNeeded:
    """What the user is asked. A schema that is too large to be kept is left out."""
    title = interrupt.message or interrupt.reason or "May the agent go on?"
    schema = interrupt.response_schema
    if len(title) > LONGEST_TITLE:
        title = f"{title[: LONGEST_TITLE - 1]}…"
    return ApprovalNeeded(id, title, schema if len(to_json(schema)) <= JSON_BYTES else None)
