"""Containers and transcripts to say."""

from datetime import UTC, datetime
from uuid import UUID

from handlers.transcript import Transcript
from schemas.chats import (
    ChatMessage,
    ChatUserMessage,
    ChatWithMessages,
    TextResponse,
)
from schemas.events import Container, GeneratingResponseMessage
from tests.support.world import ALICE, uuid

CHAT = uuid(1)


def response(message: UUID, id: UUID, chunk: str) -> Container:
    return GeneratingResponseMessage(TextResponse(id, None, chunk, False), CHAT, message, "in_progress")


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def transcript() -> Transcript:
    request = ChatUserMessage("What is it all about?", ALICE, "Alice", None)
    message = ChatMessage(uuid(2), request, [], {}, [], {}, NOW, None, False)
    chat = ChatWithMessages(uuid(3), "", False, [uuid(2)], {uuid(2): message}, NOW, NOW, ALICE, ALICE, "Alice", None)
    return Transcript(chat, message)
