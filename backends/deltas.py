"""Deltas of a growing text, and what makes several of them one."""

from collections.abc import Hashable, Iterable, Sequence
from typing import cast

from msgspec.structs import replace

from schemas.chats import FilesReasoning, TextReasoning, TextResponse
from schemas.events import Container, GeneratingReasoningMessage, GeneratingResponseMessage, GeneratingTitle


def delta_key(payload: object) -> Hashable | None:
    """A key that is equal for deltas which can be joined when they are adjacent. None if the payload is no delta."""
    match payload:
        case GeneratingTitle(message_id=message, title=None):
            return "title", message
        case GeneratingResponseMessage(TextResponse(id=part, message=None), message_id=message):
            return "response", message, part
        case GeneratingReasoningMessage(TextReasoning(id=step, message=None), message_id=message):
            return "reasoning", message, step
        case GeneratingReasoningMessage(FilesReasoning(id=step, files=files), message_id=message):
            whole = any(file.file.text is not None for file in files.values())
            return None if whole else ("files", message, step, *files)
        case _:
            return None


def chunk_of(delta: object) -> str:
    """The characters that a delta brings; of several files, all of them."""
    match delta:
        case GeneratingTitle(title_chunk=chunk) | GeneratingResponseMessage(TextResponse(message_chunk=chunk)):
            return chunk or ""
        case GeneratingReasoningMessage(TextReasoning(message_chunk=chunk)):
            return chunk or ""
        case GeneratingReasoningMessage(FilesReasoning(files=files)):
            return _text(file.file.text_chunk for file in files.values())
        case _:
            return ""


def join(deltas: Sequence[Container]) -> Container:
    """One delta with the chunks of all, and in everything else the last. They are adjacent and have one key.

    Takes time in proportion to what it is given.
    """
    match deltas[-1]:
        case GeneratingTitle() as last:
            titles = cast(Sequence[GeneratingTitle], deltas)
            return replace(last, title_chunk=_text(title.title_chunk for title in titles))
        case GeneratingResponseMessage(TextResponse() as part) as last:
            parts = [cast(TextResponse, delta.response_message) for delta in cast(Sequence[GeneratingResponseMessage], deltas)]
            return replace(last, response_message=replace(part, message_chunk=_text(part.message_chunk for part in parts)))
        case GeneratingReasoningMessage() as last:
            steps = [delta.reasoning for delta in cast(Sequence[GeneratingReasoningMessage], deltas)]
            if isinstance(last.reasoning, TextReasoning):
                return replace(last, reasoning=_join_texts(cast(list[TextReasoning], steps)))
            return replace(last, reasoning=_join_files(cast(list[FilesReasoning], steps)))
        case other:
            raise TypeError(f"{type(other).__name__} is not a delta")


def _join_texts(steps: list[TextReasoning]) -> TextReasoning:
    return replace(steps[-1], message_chunk=_text(step.message_chunk for step in steps))


def _join_files(steps: list[FilesReasoning]) -> FilesReasoning:
    files = {
        id: replace(file, file=replace(file.file, text_chunk=_text(step.files[id].file.text_chunk for step in steps)))
        for id, file in steps[-1].files.items()
    }
    return replace(steps[-1], files=files)


def _text(chunks: Iterable[str | None]) -> str:
    return "".join(chunk or "" for chunk in chunks)
