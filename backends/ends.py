"""Ends of messages as the database has them, for nodes that tell an end in the place of the node that stored it.

The owner of a finished message tells its end. A node that wants to tell it instead must first become the owner. Only one of
several nodes can do so. If the old owner comes back, it sees that it must not tell this end any more.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import bindparam, or_, select, update

from backends.messages import Owner, owned, unfinished
from backends.storage import Storage
from backends.tables import messages, nodes

ENDS_AT_ONCE = 64  # messages in one query; overdue ends are few

ALL_RUNNING = select(messages.c.id, messages.c.chat_id, messages.c.created_by).where(unfinished)
ENDS = (
    select(messages.c.id, messages.c.owner, messages.c.run, messages.c.is_completed, nodes.c.id.label("node"))
    .join(nodes, nodes.c.id == messages.c.owner, isouter=True)
    .where(or_(*(messages.c.id == bindparam(f"id{number}") for number in range(ENDS_AT_ONCE))))
)
TAKE_OVER = update(messages).where(messages.c.id == bindparam("message"), ~unfinished, owned)


class Running(NamedTuple):
    """The messages that any node is answering now, and their chats, each with the user who asked."""

    messages: set[UUID]
    chats: set[tuple[UUID, UUID]]


class End(NamedTuple):
    """A message's owner, whether the owner's node lives, and whether the message is finished."""

    owner: Owner
    is_alive: bool
    is_stored: bool


async def find_all_running(storage: Storage) -> Running:
    """Few messages are ever unfinished, and an index has those."""
    found = await storage.fetch_all(ALL_RUNNING)
    return Running({row["id"] for row in found}, {(row["chat_id"], row["created_by"]) for row in found})


async def find_ends(storage: Storage, message_ids: Sequence[UUID]) -> dict[UUID, End]:
    """The ends of these messages, by message id. A message that was deleted has none."""
    ends: dict[UUID, End] = {}
    for start in range(0, len(message_ids), ENDS_AT_ONCE):
        some = message_ids[start : start + ENDS_AT_ONCE]
        wanted = {f"id{number}": some[min(number, len(some) - 1)] for number in range(ENDS_AT_ONCE)}
        for row in await storage.fetch_all(ENDS, **wanted):
            ends[row["id"]] = End(Owner(row["owner"], row["run"]), row["node"] is not None, row["is_completed"])
    return ends


async def take_over(storage: Storage, message_id: UUID, owner: Owner) -> bool:
    """Become who tells the end of this message. False when its owner is another one by now."""
    taken = uuid4()  # neither a node's id nor a run's: so a run that comes back sees that somebody else has ended it
    values = {"message": message_id, "of_node": owner.node, "of_run": owner.run, "owner": taken, "run": taken}
    return await storage.write(only_if=(TAKE_OVER, values))
