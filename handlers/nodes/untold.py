"""The ends of streams that are stored and were not told here: looked up, and told by one of the nodes.

To tell no end twice, a node waits for the time that the owner's frame takes, or until it sees that the owner is dead. Then it
hears all that the other nodes have published. Of the nodes that still want to tell the end, one becomes the message's owner.
"""

import logging
from uuid import UUID

from backends.accounts import find_user
from backends.broker import send_ws_message
from backends.chats import find_chat
from backends.ends import End, Running, find_all_running, find_ends, take_over
from backends.stream import Stream
from backends.streams import STORED_END, Streams
from handlers.nodes.node import Node
from schemas.chats import ChatWithMessages
from schemas.events import WsEvent
from schemas.frames import WsRoutes
from schemas.users import AuthenticatedUser, Sender

# Looks at an end, one each `nodes.RENEW_S`: by then the node that closes a dead node's run has told it.
LOOKS_AT_DEAD = 2
# The same for the end of a living node when a Redis was lost that may have had it. As soon as that node reaches the next Redis,
# it sends again what it sent in the last seconds before the loss. It is 60 s, which covers the pauses between its tries.
LOOKS_AT_LIVING = 20

logger = logging.getLogger("threadcast")


async def tell_untold(node: Node) -> None:
    """Tell the stored ends of the streams that have fallen silent here. To be called at intervals."""
    streams, storage = node.backends.broker.streams, node.backends.storage
    silent = streams.silent()
    if not silent:
        return
    running = await find_all_running(storage)
    ended = [stream for stream in silent if not _goes_on(stream, running)]
    ends = await find_ends(storage, [UUID(stream.message_id) for stream in ended]) if ended else {}
    overdue = [stream for stream in ended if _is_overdue(streams, stream, ends.get(UUID(stream.message_id)), running)]
    # The end of another stream of the chat may be stored, and about to be told: it comes first.
    going_on = {(stream.user_id, stream.chat_id) for stream in streams if stream not in overdue}
    overdue = [stream for stream in overdue if (stream.user_id, stream.chat_id) not in going_on]
    if overdue and await node.backends.broker.caught_up():
        for stream in overdue:
            if stream in streams:  # it is still open
                await _tell(node, stream, UUID(stream.user_id), UUID(stream.message_id))


def _goes_on(stream: Stream, running: Running) -> bool:
    if UUID(stream.message_id) not in running.messages:
        return False
    stream.looks = 0
    return True


def _is_overdue(streams: Streams, stream: Stream, end: End | None, running: Running) -> bool:
    """Whether the stream has a stored end, and the node that has to send it does not."""
    user_id = UUID(stream.user_id)
    if end is None:  # discarded, and the node that did it has told the chat without the message
        streams.end(user_id, UUID(stream.message_id))
    if end is None or not end.is_stored:
        return False
    stream.looks = stream.looks + 1 if stream.looks and stream.owner == end.owner else 1
    stream.owner = end.owner
    if (UUID(stream.chat_id), user_id) in running.chats:  # another stream changes the chat, which is stored without that
        return False
    return stream.looks >= LOOKS_AT_LIVING and stream.has_gap if end.is_alive else stream.looks >= LOOKS_AT_DEAD


async def _tell(node: Node, stream: Stream, user_id: UUID, message_id: UUID) -> None:
    broker = node.backends.broker
    stored = None if stream.is_doubtful else await find_chat_of(node, user_id, UUID(stream.chat_id))
    if stored is None:
        logger.warning("an end cannot be told: connections are closed", extra={"answer": stream.message_id})
        broker.streams.end(user_id, message_id)
        broker.cut_user(user_id)
    elif await take_over(node.backends.storage, message_id, stream.owner):
        logger.warning("the end of another node's run is told", extra={"answer": stream.message_id})
        user, chat = stored
        broker.streams.end(user_id, message_id)
        sender = Sender(user, STORED_END + stream.message_id)
        send_ws_message(broker, sender, WsRoutes.CHATS_POST, WsEvent.COMPLETE, chat, about=message_id)


async def find_chat_of(node: Node, user_id: UUID, chat_id: UUID) -> tuple[AuthenticatedUser, ChatWithMessages] | None:
    """The user, and the chat as it is stored. None: it is not the user's to see any more."""
    storage = node.backends.storage
    row, found = await find_user(storage, user_id), await find_chat(storage, user_id, chat_id)
    if not (row and found):
        return None
    return AuthenticatedUser(user_id, row["email"], row["name"] or row["email"], row["avatar_url"], expires_at=0), found.chat
