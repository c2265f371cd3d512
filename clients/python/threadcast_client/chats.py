"""The user's chats, as far as this client has heard of them, and what can be done to them."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from threadcast_client.errors import ThreadcastError
from threadcast_client.fold import Fold, Snapshot
from threadcast_client.listeners import Listeners
from threadcast_client.schemas.chats import ChatListItem, ChatWithMessages, DeletedChats, MessageFeedback
from threadcast_client.wire import Frame, payload_of

Id = UUID | str
T = TypeVar("T")


class Asks(Protocol):
    """Sends a request, and returns the frame that answers it."""

    async def __call__(self, route: str, payload: dict[str, Any], *, is_urgent: bool = False) -> Frame: ...


class Chats:
    """`open_ids` are those that are kept true through every cut."""

    def __init__(self, fold: Fold, ask: Asks, listeners: Listeners, open_ids: set[UUID]) -> None:
        self._fold, self._ask, self._listeners, self._open_ids = fold, ask, listeners, open_ids

    def subscribe(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Have the listener called after each change. Returns what ends that."""
        return self._listeners.add(listener)

    def get_snapshot(self) -> Snapshot:
        """The list and the chats, which do not change any more: the same object until something does."""
        return self._fold.snapshot()

    def get(self, id: Id) -> ChatWithMessages | None:
        """The chat, if it is held: another object each time that it has changed."""
        return self._fold.whole.get(as_id(id))

    async def open(self, id: Id) -> ChatWithMessages:
        """The chat, which from then on is kept true through every cut, until `close(id)`."""
        id = as_id(id)
        self._open_ids.add(id)
        if id not in self._fold.whole or id in self._fold.stale:
            try:
                frame = await self._ask("/chats/get", {"id": str(id)}, is_urgent=True)
            except ThreadcastError:
                self._open_ids.discard(id)
                raise
            return self._fold.whole.get(id) or _told(frame, ChatWithMessages)
        return self._fold.whole[id]

    def close(self, id: Id) -> None:
        """Let the chat be forgotten when there are many others."""
        self._open_ids.discard(as_id(id))

    async def list(self, *, page_token: int = 0, page_size: int = 25, query: str | None = None) -> list[ChatListItem]:
        """One page of the chats, the newest first, which also goes into the snapshot's list."""
        search = {"query": query} if query else {}
        return _told(await self._ask("/chats/list", {"page_token": page_token, "page_size": page_size, **search}), list)

    async def update(self, id: Id, *, title: str | None = None, is_favorited: bool | None = None) -> ChatListItem:
        """Name the chat, or have it among one's favourites, or not."""
        change = {"title": title, "is_favorited": is_favorited}
        given = {name: value for name, value in change.items() if value is not None}
        return _told(await self._ask("/chats/update", {"id": str(id), **given}), ChatListItem)

    async def delete(self, ids: Iterable[Id]) -> tuple[UUID, ...]:
        """Delete chats, for everybody. Those that are gone."""
        frame = await self._ask("/chats/delete", {"ids": [str(id) for id in ids]})
        return tuple(_told(frame, DeletedChats).ids)

    async def duplicate(self, id: Id, message_id: Id | None = None) -> ChatWithMessages:
        """Copy the chat, up to and with this message. It is not sent again when the connection goes."""
        upto = {"message_id": str(message_id)} if message_id else {}
        return _told(await self._ask("/chats/duplicate", {"id": str(id), **upto}), ChatWithMessages)

    async def feedback(self, message_id: Id, feedback: Literal["positive", "negative"] | None) -> MessageFeedback:
        """Say what one thinks of an answer; None takes it back."""
        return _told(await self._ask("/messages/update", {"id": str(message_id), "feedback": feedback}), MessageFeedback)


def as_id(id: Id, name: str = "id") -> UUID:
    """Raises ValueError for what is none."""
    try:
        return id if isinstance(id, UUID) else UUID(id)
    except ValueError:
        raise ValueError(f"{name} is no UUID") from None


def _told(frame: Frame, kind: type[T]) -> T:
    payload = payload_of(frame)
    if not isinstance(payload, kind):
        raise ThreadcastError("INTERNAL_SERVER_ERROR", f"the answer to {frame.route} is nothing that this client can read")
    return payload
