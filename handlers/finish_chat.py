"""The end of a run: its answer, stored as finished before anybody is told, by the one whose end it is."""

import logging
from datetime import UTC, datetime

import anyio

from backends.messages import find_message, finish_message
from backends.nodes import Lease
from backends.storage import Conflict, ping
from handlers.services import Services
from handlers.transcript import Transcript
from schemas.assets import Asset
from schemas.chats import ChatWithMessages

PING_S = 2.0
PAUSE_S = 0.5  # between looks whether the database is back
TRIES = 3  # of a database that answers and yet does not store this

logger = logging.getLogger("threadcast")


class LeaseLost(Exception):
    """Another node took this one for dead, and has closed the run."""


async def finish_chat(services: Services, lease: Lease, transcript: Transcript, files: tuple[Asset, ...]) -> ChatWithMessages:
    """Store the message as it now stands and as finished. Raises LeaseLost when it is not ours to finish any more.

    Where another node would close the run if this one told an error and left it, an outage of the database is waited for.
    """
    chat, message = transcript.chat, transcript.message
    chat.updated_at = datetime.now(UTC)
    left = TRIES if services.nodes.shared else 1
    while True:
        try:
            if not await finish_message(services.backends.storage, chat, message, files, lease.id):
                stored = await find_message(services.backends.storage, message.id)
                if stored is None or stored.owner != lease.id:
                    raise LeaseLost
                # Or else an earlier try has done it, and only its answer was lost.
            message.is_completed = True
            return transcript.snapshot()
        except (LeaseLost, Conflict):
            raise
        except Exception:
            left -= 1
            if not left or services.runs.interrupted:
                raise
            logger.warning("the end of message %s could not be stored, and is tried again", message.id, exc_info=True)
            await _outlast(services)


async def _outlast(services: Services) -> None:
    """Wait until the database answers, or the server is to stop."""
    while not services.runs.interrupted:
        await anyio.sleep(PAUSE_S)
        try:
            with anyio.fail_after(PING_S):
                return await ping(services.backends.storage)
        except Exception:
            logger.debug("the database is still away")
