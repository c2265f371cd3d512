"""The steps of an agent that go on: tools that run, questions that wait and files that are written."""

import time
from collections.abc import Iterable
from typing import Protocol
from uuid import UUID, uuid4

from msgspec.structs import replace

from backends.agent_events import ApprovalNeeded, FileChunk, ToolStarted
from handlers.growing import Growing
from schemas.chats import Approval, FileContent, FilesReasoning, ReasoningFile, ReasoningMessage, Status, TextReasoning, Tool
from schemas.events import GeneratingReasoningMessage, ThreadEvent

TOOL, FILES, QUESTION = "tool", "files", "question"

Key = tuple[str, str]  # one of these, and the agent's own id
Ids = tuple[UUID, UUID]  # of the chat and the message


class OpenStep(Protocol):
    """A step that goes on."""

    @property
    def step(self) -> ReasoningMessage:
        """The step as it began."""

    def so_far(self) -> ReasoningMessage:
        """The step as it stands."""

    def ended(self, *, failed: bool) -> ReasoningMessage:
        """The step as it would be if it ended now."""


class ToolStep:
    """A call of a tool. Its text is what the tool is given, and then what comes of it."""

    def __init__(self, event: ToolStarted, ids: Ids) -> None:
        tool = Tool(event.name, event.id)
        self.step = step = TextReasoning(uuid4(), event.title, None, None, None, "loading", tool)
        self.text = Growing(
            ThreadEvent.GENERATING_REASONING_MESSAGE,
            lambda chunk: GeneratingReasoningMessage(replace(step, message_chunk=chunk), *ids, "in_progress"),
        )
        self._began = time.monotonic()

    def so_far(self) -> TextReasoning:
        return replace(self.step, message="".join(self.text.pieces))

    def ended(self, *, failed: bool) -> TextReasoning:
        took = f"{time.monotonic() - self._began:.1f} seconds"
        return replace(self.so_far(), secondary_title=took, status=_status(failed))


class QuestionStep:
    """A question to the user, in the step of the tool that waits. Where the run does not end by itself it is withdrawn."""

    def __init__(self, event: ApprovalNeeded, tool: ToolStep) -> None:
        self.step = tool.so_far()
        self.question = Approval(event.id, event.title, event.schema)

    def so_far(self) -> TextReasoning:
        return self.step

    def ended(self, *, failed: bool) -> TextReasoning:
        return replace(self.step, status=_status(failed))


class FilesStep:
    """A step that writes files."""

    def __init__(self, title: str, ids: Ids) -> None:
        self.step = FilesReasoning(uuid4(), title, None, "loading", [], {})
        self.texts: dict[str, Growing] = {}  # of each file, by the agent's own id of it
        self._files: dict[str, ReasoningFile] = {}
        self._ids = ids

    def add(self, event: FileChunk) -> None:
        """Begin this file. The deltas of the others name all files, so they change with it."""
        try:
            id = UUID(event.id)
        except ValueError:
            id = uuid4()
        empty = FileContent(None, None, None)
        file = ReasoningFile(id, event.file_type, event.file_name, event.version_number, id, "loading", empty)
        self._files[event.id] = file
        self.step = replace(self.step, file_ids=[file.id for file in self._files.values()])
        for key, file in self._files.items():
            pieces = self.texts[key].pieces if key in self.texts else []
            self.texts[key] = self._growing(self.step, file, pieces)

    def so_far(self) -> FilesReasoning:
        return self._with("loading")

    def ended(self, *, failed: bool) -> FilesReasoning:
        return self._with(_status(failed))

    def _with(self, status: Status) -> FilesReasoning:
        whole = {
            file.id: replace(file, status=status, file=FileContent("".join(self.texts[key].pieces), None, None))
            for key, file in self._files.items()
        }
        return replace(self.step, status=status, files=whole)

    def _growing(self, step: FilesReasoning, file: ReasoningFile, pieces: list[str]) -> Growing:
        ids = self._ids

        def delta_of(chunk: str) -> GeneratingReasoningMessage:
            grown = replace(file, file=FileContent(None, chunk, None))
            return GeneratingReasoningMessage(replace(step, files={file.id: grown}), *ids, "in_progress")

        return Growing(ThreadEvent.GENERATING_REASONING_MESSAGE, delta_of, pieces)


def awaits_tool(keys: Iterable[Key]) -> bool:
    """Whether one of these is a tool at work, whose time is not the agent's."""
    return any(kind == TOOL for kind, _ in keys)


def questions_of(steps: Iterable[OpenStep]) -> list[Approval]:
    """What the agent asks its user with these."""
    return [step.question for step in steps if isinstance(step, QuestionStep)]


def _status(failed: bool) -> Status:
    return "failed" if failed else "completed"
