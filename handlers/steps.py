"""What an agent does beside thinking and answering: it finds things, calls tools, writes files and shows assets.

Tools and files take time, and several may be open at once: they stand in the transcript's `open` until they end.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

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
from handlers.growing import Delta
from handlers.open_asset import file_of
from handlers.open_steps import FILES, QUESTION, TOOL, FilesStep, QuestionStep, ToolStep
from handlers.pills import pills
from schemas.chats import Usage
from schemas.events import Item

if TYPE_CHECKING:
    from handlers.transcript import Transcript


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
    yield from kept.end_thinking()
    if before := kept.open.pop((QUESTION, event.id), None):  # the same question in other words
        yield kept.add_reasoning(before.ended(failed=True), "completed")
    tool = kept.open.pop((TOOL, event.id), None)
    if not isinstance(tool, ToolStep):
        tool = ToolStep(ToolStarted(event.id, event.title), (kept.chat.id, kept.message.id))
    step = QuestionStep(event, tool)
    kept.open[QUESTION, event.id] = step
    kept.size += len(to_json(step.question))
    yield kept.add_reasoning(step.step, "completed")


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
