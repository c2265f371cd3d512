"""Deleted chats are erased when their time is over: each hour, by one of the nodes."""

import logging
from datetime import UTC, datetime, timedelta

import anyio

from backends.retention import claim_sweep, erase_deleted
from handlers.services import Services

LOOK_S = 600.0  # seconds between looks whether the hour is over

logger = logging.getLogger("threadcast")


async def keep_sweeping(services: Services, days: int) -> None:
    """Erase, for ever, what was deleted more than so many days ago. An outage only puts it off."""
    storage = services.backends.storage.apart
    while True:
        before = datetime.now(UTC) - timedelta(days)
        try:
            if await claim_sweep(storage, before):
                erased = await erase_deleted(storage, before)
                logger.info("erased chats that were deleted long ago", extra={"chats": erased, "days": days})
        except Exception as error:
            logger.warning("deleted chats could not be erased, and are later", extra={"error": type(error).__name__})
        await anyio.sleep(LOOK_S)
