"""Chats that have changed are indexed for searches: step by step, and by each node for a part of its time."""

import logging

import anyio

from backends.indexing import index_some
from handlers.services import Services

LOOK_S = 10.0  # seconds between looks: whoever searches does not wait for one
REST = 4  # times as long as it has worked a node leaves the database and its processor to others

logger = logging.getLogger("threadcast")


async def keep_indexing(services: Services) -> None:
    """Index what has changed, and after a migration all chats. An outage only puts it off."""
    storage = services.backends.storage
    while True:
        await anyio.sleep(LOOK_S)
        try:
            began, is_more = anyio.current_time(), True
            while is_more:
                is_more = await index_some(storage)
                await anyio.sleep((anyio.current_time() - began) * REST)
                began = anyio.current_time()
        except Exception as error:
            logger.warning("changed chats could not be indexed, and are later", extra={"error": type(error).__name__})
