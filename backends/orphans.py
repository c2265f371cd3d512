"""Unfinished messages that nobody answers any more, finished as they stand."""

from collections.abc import AsyncGenerator, Callable, Container
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy import bindparam, or_

from backends.messages import NAME_CHAT, UPDATE_UNFINISHED, title_from, unfinished
from backends.storage import Conflict, NothingStored, Row, Storage
from backends.stored import WITH_NODE, Stored, stored_of
from backends.tables import messages, nodes

ORPHANS = WITH_NODE.where(unfinished, or_(nodes.c.id.is_(None), messages.c.owner == bindparam("me")))
ORPHANS_OF_CHAT = ORPHANS.where(messages.c.chat_id == bindparam("chat"))

# Called when nobody knows whether a message was finished: with the message, and its new owner in case it was finished.
Unsure = Callable[[Stored, UUID], object]


async def finish_orphans(
    storage: Storage, me: UUID, unsure: Unsure, alive: Container[UUID] = (), chat_id: UUID | None = None
) -> AsyncGenerator[Stored, None]:
    """Finish as they stand the unfinished messages, of one chat or of all, that nobody answers. Each that it finished, at once.

    These are the messages of dead nodes, and those of this node whose run is not in `alive`. If a write's outcome is unknown,
    call `unsure` and re-raise.
    """
    if chat_id:
        found = await storage.fetch_all(ORPHANS_OF_CHAT, me=me, chat=chat_id)
    else:
        found = await storage.fetch_all(ORPHANS, me=me)
    for row in found:
        if row["id"] not in alive and await _interrupt(storage, row, unsure):
            yield stored_of(row)


async def _interrupt(storage: Storage, row: Row, unsure: Unsure) -> bool:
    closing = uuid4()
    end = {
        "message": row["id"],
        "of_node": row["owner"],
        "of_run": row["run"],
        "owner": closing,  # its owner, if it comes back, sees that it was somebody else; we see that it was this try
        "is_completed": True,
        "final_reasoning_message": "Interrupted",
        "finish_reason": "interrupted",
        "updated_at": datetime.now(UTC),
    }
    title = {"chat": row["chat_id"], "title": title_from(row["request"])}
    try:
        return await storage.write((NAME_CHAT, title), only_if=(UPDATE_UNFINISHED, end))
    except (Conflict, NothingStored):
        raise
    except Exception:
        unsure(stored_of(row), closing)
        raise
