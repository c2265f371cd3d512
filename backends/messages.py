"""Messages on their way from asked to answered, in the database. Each function that writes is one transaction.

A message has an owner: the node that answers it, and the run in which it does. An answer is stored only while the
message is unfinished and still that owner's, so if several try to end it, exactly one succeeds. A run that replaces
another one is another owner, also on the same node.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from backends.storage import Change, Storage
from backends.tables import assets, chats, messages, messages_to_files
from schemas.assets import Asset
from schemas.chats import ChatMessage, ChatWithMessages
from schemas.users import AuthenticatedUser

TITLE_WORDS = 8  # of the prompt, if no title was made: about one line of a list
MESSAGE_BYTES = 512

unfinished = messages.c.is_completed == False  # noqa: E712  (as the index `ix_messages_unfinished` says it)

INSERT_CHAT = insert(chats)
LAST = select(func.coalesce(func.max(messages.c.position), 0)).where(messages.c.chat_id == bindparam("chat"))
INSERT_MESSAGE = insert(messages).values(position=LAST.scalar_subquery() + 1)  # after whatever is stored by then
LINK = messages_to_files.c.message_id == bindparam("message"), messages_to_files.c.file_id == bindparam("file")
# An agent may show what is no asset of ours, and a message that is asked anew may show an asset again.
INSERT_LINK = insert(messages_to_files).from_select(
    ["message_id", "file_id", "version_number", "created_at"],
    select(
        bindparam("message", type_=messages.c.id.type),
        assets.c.id,
        bindparam("version", type_=messages_to_files.c.version_number.type),
        bindparam("now", type_=messages_to_files.c.created_at.type),
    ).where(assets.c.id == bindparam("file"), ~select(messages_to_files.c.file_id).where(*LINK).exists()),
)
UPDATE_CHAT = update(chats).where(chats.c.id == bindparam("chat"))
TOUCH = UPDATE_CHAT.where(chats.c.deleted_at.is_(None))
TOUCH_SEEN = TOUCH.where(chats.c.updated_at == bindparam("seen"))
NAME_CHAT = UPDATE_CHAT.where(chats.c.title == "")
UPDATE_MESSAGE = update(messages).where(messages.c.id == bindparam("message"))
PLACE = select(messages.c.position).where(messages.c.id == bindparam("message")).scalar_subquery()
after = messages.c.chat_id == bindparam("chat"), messages.c.position > PLACE
DISCARD_LINKS_AFTER = delete(messages_to_files).where(messages_to_files.c.message_id.in_(select(messages.c.id).where(*after)))
DISCARD_AFTER = delete(messages).where(*after)
owned = and_(
    messages.c.owner.is_not_distinct_from(bindparam("of_node", type_=messages.c.owner.type)),
    messages.c.run.is_not_distinct_from(bindparam("of_run", type_=messages.c.run.type)),
)
UPDATE_UNFINISHED = UPDATE_MESSAGE.where(unfinished, owned)


class Owner(NamedTuple):
    """A node by its lease's id, and the token of one run of it. Nodes of the version before have no such tokens."""

    node: UUID | None
    run: UUID | None


async def create_chat(
    storage: Storage,
    chat: ChatWithMessages,
    message: ChatMessage,
    user: AuthenticatedUser,
    owner: Owner,
    files: Sequence[Asset] = (),
) -> None:
    """Store a new chat with its first message, as far as that is answered, and the assets that it is about.

    Raises Conflict when there is such a message.
    """
    await storage.write(insert_chat(chat), _insert_message(chat.id, message, user, owner), *_links(chat, message, files))


async def add_message(
    storage: Storage,
    chat: ChatWithMessages,
    message: ChatMessage,
    user: AuthenticatedUser,
    owner: Owner,
    seen: datetime | None,
    asked: ChatMessage | None = None,
) -> bool:
    """Store a new message of a chat that exists, and the answers to what an earlier one has `asked`, if this is such a post.

    Raises Conflict when there is such a message. False, and nothing is stored, when the chat has been deleted, or updated since
    it was `seen` with that time.
    """
    answers = [(UPDATE_MESSAGE, {"message": asked.id, **_parts(asked), "approvals": asked.approvals})] if asked else []
    return await storage.write(*answers, _insert_message(chat.id, message, user, owner), only_if=_touch(chat, seen))


async def replace_message(
    storage: Storage, chat: ChatWithMessages, message: ChatMessage, owner: Owner, seen: datetime | None
) -> bool:
    """Discard what was answered to a message and all that came after it, and store what it asks now.

    False, and nothing is changed, when the chat has been deleted, or updated since it was `seen` with that time.
    """
    again = {"message": message.id, **content_of(message, owner)}
    place = {"chat": chat.id, "message": message.id}
    discard = (DISCARD_LINKS_AFTER, place), (DISCARD_AFTER, place)
    return await storage.write(*discard, (UPDATE_MESSAGE, again), only_if=_touch(chat, seen))


async def checkpoint_message(
    storage: Storage, chat: ChatWithMessages, message: ChatMessage, owner: Owner, state: str | None = None
) -> bool:
    """Store what was answered so far, and the title when there is one, so that no end of the process can lose it.

    `state`: what the chat's next run is given, as JSON.

    False, and nothing is stored, when the message is not the owner's to answer any more.
    """
    answer = _answered(message, owner, state) | {"updated_at": datetime.now(UTC)}
    title = [(NAME_CHAT, {"chat": chat.id, "title": chat.title})] if chat.title else []
    return await storage.write(*title, only_if=(UPDATE_UNFINISHED, answer))


async def finish_message(
    storage: Storage,
    chat: ChatWithMessages,
    message: ChatMessage,
    files: Sequence[Asset],
    owner: Owner,
    state: str | None = None,
) -> bool:
    """Store what was answered, as finished, the title, the assets that the message is about, and the state.

    False, and nothing is stored, when the message is not the owner's to finish any more.
    """
    answer = {
        **_answered(message, owner, state),
        **_end(message),
        "is_completed": True,
        "updated_at": chat.updated_at,
    }
    title = [(NAME_CHAT, {"chat": chat.id, "title": chat.title})] if chat.title else []  # unless its user has named it
    moved = UPDATE_CHAT, {"chat": chat.id, "updated_at": chat.updated_at}
    return await storage.write(*title, moved, *_links(chat, message, files), only_if=(UPDATE_UNFINISHED, answer))


def size_of_message(request: str | None) -> int:
    """About how many bytes a message takes as JSON that nothing has been answered to."""
    return MESSAGE_BYTES + len(msgspec.json.encode(request))


def title_from(request: str | None) -> str:
    """A title where none was made: the request's first words."""
    return " ".join((request or "").split()[:TITLE_WORDS])[:100]


def insert_chat(chat: ChatWithMessages) -> Change:
    """The row of a new chat."""
    return INSERT_CHAT, {
        "id": chat.id,
        "title": chat.title,
        "created_by": chat.created_by,
        "created_at": chat.created_at,
        "updated_at": chat.updated_at,
    }


def _insert_message(chat_id: UUID, message: ChatMessage, user: AuthenticatedUser, owner: Owner) -> Change:
    row = {"id": message.id, "chat_id": chat_id, "created_by": user.id, "created_at": message.created_at}
    return INSERT_MESSAGE, {"chat": chat_id, **row, **content_of(message, owner)}


def _links(chat: ChatWithMessages, message: ChatMessage, files: Sequence[Asset]) -> Iterator[Change]:
    for file in files:
        yield INSERT_LINK, {"message": message.id, "file": file.id, "version": file.version_number, "now": chat.updated_at}


def _end(message: ChatMessage) -> dict[str, Any]:
    return {
        "final_reasoning_message": message.final_reasoning_message,
        "finish_reason": message.finish_reason,
        "usage": message.usage,
        "approvals": message.approvals or None,
    }


def _answered(message: ChatMessage, owner: Owner, state: str | None) -> dict[str, Any]:
    return {"message": message.id, "of_node": owner.node, "of_run": owner.run, **_parts(message), "state": state}


def content_of(message: ChatMessage, owner: Owner) -> dict[str, Any]:
    """The columns of a message that is stored whole."""
    return {
        "owner": owner.node,
        "run": owner.run,
        "request": message.request_message.request if message.request_message else None,
        **_parts(message),
        **_end(message),
        "feedback": message.feedback,
        "state": None,
        "is_completed": message.is_completed,
        "updated_at": datetime.now(UTC),
    }


def _parts(message: ChatMessage) -> dict[str, Any]:
    return {
        "response_messages": [message.response_messages[id] for id in message.response_message_ids],
        "reasoning_messages": [message.reasoning_messages[id] for id in message.reasoning_message_ids],
    }


def _touch(chat: ChatWithMessages, seen: datetime | None) -> Change:
    # The chat's row comes before its message. Whoever ends a run takes the other order, but never while another may begin.
    if seen:
        return TOUCH_SEEN, {"chat": chat.id, "updated_at": chat.updated_at, "seen": seen}
    return TOUCH, {"chat": chat.id, "updated_at": chat.updated_at}
