"""What an agent does beside thinking and answering: it finds things, calls tools, writes files and shows assets.

Tools and files take time, and several may be open at once: they stand in the transcript's `open` until they end.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol
from uuid import UUID, uuid4

from msgspec.structs import replace

from backends.agent_events import (
    AgentEvent,
    ApprovalNeeded,
    AssetsFound,
    AssetShown,
    FileChunk,
    FilesEnded,
    Remembered,
    SourcesFound,
    ToolEnded,
    ToolInput,
    ToolStarted,
)
from backends.statements import to_json
from handlers.growing import Delta, Growing
from handlers.open_asset import file_of
from handlers.pills import pills
from schemas.chats import (
    Approval,
    FileContent,
    FilesReasoning,
    ReasoningFile,
    ReasoningMessage,
    Status,
    TextReasoning,
    Tool,
    Usage,
)
from schemas.events import GeneratingReasoningMessage, Item, ThreadEvent

if TYPE_CHECKING:
    from handlers.transcript import Transcript

TOOL, FILES = "tool", "files"  # the first half of a key of `open`; the second is the agent's own id

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


def take_step(kept: "Transcript", event: AgentEvent) -> Iterator[Delta | Item]:
    """Yield what clients are told of the event, which `kept` takes up, as `Transcript.apply` does."""
    match event:
        case ToolStarted(id):
            yield from _start(kept, event)
        case ToolInput(id, text):
            yield from _pieces(kept, id, text)
        case ToolEnded(id, text, failed):
            yield from _pieces(kept, id, text, ends=True)
            yield kept.add_reasoning(kept.open.pop((TOOL, id)).ended(failed=failed), "completed")
            kept.is_parted = True
        case FileChunk():
            yield from _write(kept, event)
        case FilesEnded(step, title, failed):
            if isinstance(files := kept.open.pop((FILES, step), None), FilesStep):
                files.step.title = title
                yield kept.add_reasoning(files.ended(failed=failed), "completed")
        case AssetsFound() | SourcesFound():
            yield from kept.end_thinking()
            yield kept.add_reasoning(pills(event), "completed")
        case AssetShown(asset, message):
            kept.shown[asset.id] = asset
            yield kept.add_response(file_of(asset, message), "completed")
        case Remembered(state):
            kept.state = to_json(state)
            kept.size += len(kept.state)
        case ApprovalNeeded():
            yield from _ask(kept, event)
        case Usage():
            kept.message.usage = _sum(kept.message.usage, event)


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


def _start(kept: "Transcript", event: ToolStarted) -> Iterator[Delta | Item]:
    yield from kept.end_thinking()
    if before := kept.open.pop((TOOL, event.id), None):  # another call under an id that is still open
        yield kept.add_reasoning(before.ended(failed=True), "completed")
    step = ToolStep(event, (kept.chat.id, kept.message.id))
    kept.open[TOOL, event.id] = step
    kept.is_parted = True
    kept.add_reasoning(step.step, "in_progress")
    yield kept.grow(step.text, "")


def _pieces(kept: "Transcript", id: str, text: str, *, ends: bool = False) -> Iterator[Delta | Item]:
    """The next characters of a tool's step. What comes of it stands in a paragraph below what it was given."""
    if (TOOL, id) not in kept.open:
        yield from _start(kept, ToolStarted(id, id))
    step = kept.open[TOOL, id]
    if isinstance(step, ToolStep) and text:
        yield kept.grow(step.text, f"\n\n{text}" if ends and any(step.text.pieces) else text)


def _ask(kept: "Transcript", event: ApprovalNeeded) -> Iterator[Item]:
    """Ask, in the step of the tool that waits, or in one of its own. The step stays as it is until the user has answered."""
    yield from kept.end_thinking()
    tool = kept.open.pop((TOOL, event.id), None) or ToolStep(
        ToolStarted(event.id, event.title), (kept.chat.id, kept.message.id)
    )
    question = Approval(event.id, event.title, event.schema)
    kept.size += len(to_json(question))
    others = [other for other in kept.message.approvals or () if other.id != event.id]
    kept.message.approvals = [*others, question]
    yield kept.add_reasoning(tool.so_far(), "completed")


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


def _write(kept: "Transcript", event: FileChunk) -> Iterator[Delta | Item]:
    files = kept.open.get((FILES, event.step))
    if not isinstance(files, FilesStep):
        yield from kept.end_thinking()
        files = FilesStep(event.title, (kept.chat.id, kept.message.id))
        kept.open[FILES, event.step] = files
        kept.add_reasoning(files.step, "in_progress")
    if event.id not in files.texts:
        files.add(event)
        kept.size += len(to_json(files.step)) + len(to_json(event.file_name))
    yield kept.grow(files.texts[event.id], event.text)


def _sum(before: Usage | None, more: Usage) -> Usage:
    if before is None:
        return more
    counts = ("input_tokens", "output_tokens", "reasoning_tokens")
    return Usage(more.model, *(_total(getattr(before, count), getattr(more, count)) for count in counts))


def _total(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else one + other


def _status(failed: bool) -> Status:
    return "failed" if failed else "completed"
