"""The end of a run: its answer, stored as finished before anybody is told, by the one whose end it is."""

import logging
from datetime import UTC, datetime

from msgspec.structs import replace

from backends.lease import LeaseLost
from backends.messages import find_message, finish_message
from backends.storage import Conflict, DatabaseAway
from handlers.runs import Run
from handlers.services import Services
from handlers.transcript import Transcript
from schemas.assets import Asset
from schemas.chats import ChatWithMessages
from schemas.errors import ServiceUnavailable

PAUSE_S, LONGEST_PAUSE_S = 0.25, 2.0  # between tries: many ends may wait, and each is to be told soon after the outage
TRIES = 3  # of a database that is there and yet does not store this

logger = logging.getLogger("threadcast")


class EndNotStored(ServiceUnavailable):
    """The server stops while the database does not take the end of an answer. It stays unfinished, as it was stored last."""

    def __init__(self) -> None:
        what = "the server stopped before the end of this answer could be stored, get the chat for what there is"
        super().__init__(what, retry_after=None)


async def finish_chat(
    services: Services, run: Run, transcript: Transcript, files: tuple[Asset, ...], how: str | None
) -> ChatWithMessages:
    """Store the message as it stands and as finished, however long the database is locked, full or away. `how`: it ended.

    Raises LeaseLost when the message is not this run's to finish any more, EndNotStored when the server stops before that, and
    what the database says when it is there and does not store this.
    """
    chat, message = transcript.chat, transcript.message
    ended, moved = replace(message, final_reasoning_message=how), replace(chat, updated_at=datetime.now(UTC))
    left, pause = TRIES, PAUSE_S
    while True:
        try:
            if not await finish_message(services.backends.storage, moved, ended, files, run.owner):
                stored = await find_message(services.backends.storage, message.id)
                if stored is None or stored.owner != run.owner:
                    raise LeaseLost
                # Or else an earlier try has done it, and only its answer was lost.
            message.final_reasoning_message, message.is_completed = how, True
            chat.updated_at = moved.updated_at
            return transcript.snapshot()
        except (LeaseLost, Conflict):
            raise
        except Exception as error:
            if not isinstance(error, DatabaseAway | OSError):
                left -= 1
            if not left:
                raise
            if pause == PAUSE_S:  # the first one tells enough
                logger.warning("the end of message %s could not be stored, and is tried again", message.id, exc_info=True)
            if await services.runs.are_interrupted_within(pause):
                services.runs.cannot_end = True
                raise EndNotStored from error
            pause = min(2 * pause, LONGEST_PAUSE_S)
