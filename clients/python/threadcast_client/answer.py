"""One post, and the answer to it as it comes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any
from uuid import UUID

from threadcast_client.errors import ThreadcastError
from threadcast_client.fold import text_of
from threadcast_client.schemas.chats import ChatMessage, ChatWithMessages

Parts = tuple[object, ...]


class Done:
    """Can be awaited, also several times: the finished message, or a ThreadcastError."""

    def __init__(self, wait: Callable[[], Generator[Any, None, ChatMessage]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, ChatMessage]:
        return self._wait()


class Answer:
    """What came of a post so far. Iterate over it for the pieces of its text.

    The iterator holds a place in the text: who reads slowly gets longer pieces. When the server takes text back, it goes on
    after what the old and the new text have in common, so what it gave out may not add up to `text`, which is right.
    """

    def __init__(
        self,
        message_id: UUID,
        payload: dict[str, Any],
        stop: Callable[["Answer"], Awaitable[None]],
        before: Parts | None,
    ) -> None:
        self.message_id = message_id
        self.chat: ChatWithMessages | None = None
        self.message: ChatMessage | None = None
        self.error: ThreadcastError | None = None
        self.payload = payload
        self.label = f"post-{message_id.hex[:12]}-{id(self) & 0xFFFFFF:x}"
        self.replaces = "once" not in payload
        self.chat_id = UUID(payload["chat_id"]) if payload.get("chat_id") else None
        self.is_heard = False  # the server has the message
        self.is_settled = False
        self.was_sent = False  # ever
        self.is_doubtful = False  # it was sent on a connection that went
        self.sent_at: float | None = None  # on this connection
        self.not_before = 0.0
        self._before = before
        self._stop = stop
        self._text = ""
        self._changed = asyncio.Event()

    @property
    def text(self) -> str:
        """The text of the answer, as it stands."""
        return self._text

    @property
    def done(self) -> Done:
        """Awaited, the finished message. Raises ThreadcastError if there is none."""
        return Done(lambda: self.settled().__await__())

    async def stop(self) -> None:
        """Stop answering, and wait until that is done. What is not sent yet is withdrawn."""
        await self._stop(self)

    async def __aiter__(self) -> AsyncIterator[str]:
        given = ""
        while True:
            text, is_settled = self._text, self.is_settled
            at = len(given) if text.startswith(given) else in_common(given, text)
            given = text
            if at < len(text):
                yield text[at:]
            elif is_settled:
                return
            if text is self._text and is_settled == self.is_settled:
                if is_settled:
                    return
                await self._changed.wait()

    async def heard(self) -> None:
        """Wait until the server has the message, or the answer is settled."""
        while not (self.is_heard or self.is_settled):
            await self._changed.wait()

    async def settled(self) -> ChatMessage:
        """The same as awaiting `done`."""
        while not self.is_settled:
            await self._changed.wait()
        if self.error or self.message is None:
            raise self.error or ThreadcastError("CLOSED", "nothing was heard of it")
        return self.message

    def update(self, chat: ChatWithMessages, message: ChatMessage, event: str, label: str | None) -> None:
        """Its message has changed, or it has come to be."""
        if self.replaces and not self.is_heard and not self._is_new(message, event, label):
            return
        self.is_heard = True
        self.chat_id, self.chat, self.message, self._text = chat.id, chat, message, text_of(message)
        self.is_settled = message.is_completed
        self._tell()

    def fail(self, error: ThreadcastError) -> None:
        """There is no more to come."""
        if not self.is_settled:
            self.error, self.is_settled = error, True
            self._tell()

    def _is_new(self, message: ChatMessage, event: str, label: str | None) -> bool:
        """Whether the message is that of the replacement, and not the one that it replaces."""
        if not self.was_sent:
            return False
        if label == self.label or (event == "initializeChat" and not message.is_completed):
            return True
        return self.is_doubtful and event == "getChat" and self._before is not None and parts_of(message) != self._before

    def _tell(self) -> None:
        self._changed.set()  # whoever waits now goes on
        self._changed.clear()


def parts_of(message: ChatMessage) -> Parts:
    """What tells two answers of one message apart."""
    return (*message.response_message_ids, *message.reasoning_message_ids)


def in_common(one: str, other: str) -> int:
    """With how many characters both begin."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
