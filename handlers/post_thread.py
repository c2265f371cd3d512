"""`/chats/post` on a socket: the channel between a run and its frames, and the one end of each stream."""

from contextlib import suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from handlers.errors import describe
from handlers.frames import send_error_message, send_ws_message
from handlers.post_chat import post_chat_handler
from handlers.services import Sender, Services
from handlers.transcript import Item
from schemas.chats import ChatCreateNewChat
from schemas.errors import WsError
from schemas.events import WS_EVENTS, ThreadEvent, WsEvent
from schemas.frames import WsRoutes, WsSendMethod

CHANNEL = 1000  # the requirements' number; an agent that is faster than the fan-out waits here
ROUTE = WsRoutes.CHATS_POST


async def post_thread(services: Services, sender: Sender, request: ChatCreateNewChat) -> None:
    """Answer one post with a stream that ends exactly once. Runs to its end whatever becomes of the connection."""
    tx, rx = anyio.create_memory_object_stream[Item | WsError](CHANNEL)
    services.tasks.start_soon(_stream, services, sender, rx)
    end: Item | WsError
    async with tx:
        try:
            end = (await post_chat_handler(services, request, sender.user, tx), ThreadEvent.COMPLETED)
        except Exception as error:  # the run's wrapper: whatever happens in a run ends that run only
            end = describe(error)
        with suppress(anyio.BrokenResourceError):  # the stream has failed, and told so
            await tx.send(end)


async def _stream(services: Services, sender: Sender, rx: MemoryObjectReceiveStream[Item | WsError]) -> None:
    """Make a frame of each item as it comes. An error that ends a stream goes to all who have seen it begin."""
    broker = services.backends.broker
    audience = WsSendMethod.SENDER_ONLY
    async with rx:  # closed early, the run finds its channel broken and ends
        try:
            async for item in rx:
                if isinstance(item, WsError):
                    send_error_message(broker, sender, ROUTE, WsEvent.POST_THREAD, item, audience)
                else:
                    container, event = item
                    audience = WsSendMethod.ALL
                    send_ws_message(broker, sender, ROUTE, WS_EVENTS[event], container, audience)
        except Exception as error:
            send_error_message(broker, sender, ROUTE, WsEvent.POST_THREAD, describe(error), audience)
