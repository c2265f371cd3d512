"""Messages as they stand in the database, whoever asks: whose they are, and who answers them."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select

from backends.messages import PLACE, Owner, unfinished
from backends.storage import Row, Storage
from backends.tables import messages, nodes

WITH_NODE = select(
    messages.c.id,
    messages.c.chat_id,
    messages.c.created_by,
    messages.c.owner,
    messages.c.run,
    messages.c.request,
    messages.c.is_completed,
    nodes.c.id.label("node"),
).join(nodes, nodes.c.id == messages.c.owner, isouter=True)
MESSAGE = WITH_NODE.where(messages.c.id == bindparam("message"))
RUNNING_IN_CHAT = WITH_NODE.where(unfinished, messages.c.chat_id == bindparam("chat"))
STATE = (
    select(messages.c.state)
    .where(messages.c.chat_id == bindparam("chat"), messages.c.position < PLACE, messages.c.state.is_not(None))
    .order_by(messages.c.position.desc())
    .limit(1)
)


class Stored(NamedTuple):
    """A message, its user and owner, and the living node that answers it: None if it is finished, or orphaned."""

    id: UUID
    chat_id: UUID
    user_id: UUID
    owner: Owner
    node: UUID | None


async def find_message(storage: Storage, message_id: UUID) -> Stored | None:
    """The message, whoever asks."""
    return next(map(stored_of, await storage.fetch_all(MESSAGE, message=message_id)), None)


async def find_running(storage: Storage, chat_id: UUID) -> Stored | None:
    """The chat's unfinished message, whoever asks."""
    return next(map(stored_of, await storage.fetch_all(RUNNING_IN_CHAT, chat=chat_id)), None)


async def find_state(storage: Storage, chat_id: UUID, message_id: UUID) -> str | None:
    """What the runs before this message have left for the next one, as JSON: the latest."""
    found = await storage.fetch_all(STATE, chat=chat_id, message=message_id)
    return found[0]["state"] if found else None


def stored_of(row: Row) -> Stored:
    node = None if row["is_completed"] else row["node"]
    return Stored(row["id"], row["chat_id"], row["created_by"], Owner(row["owner"], row["run"]), node)
