"""What a run says becomes frames for its user: the one stream of each post, in order, with one end."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

from backends.broker import answer_to, send_error_message, send_frame, send_ws_message
from backends.frame import Template
from handlers.channel import Channel, Entry, Errand
from handlers.errors import describe
from handlers.growing import Delta, Growing
from handlers.services import Services
from schemas.chats import ChatWithMessages
from schemas.errors import WsError
from schemas.events import WS_EVENTS, ThreadEvent, WsEvent
from schemas.frames import WsRoutes, WsSendMethod
from schemas.users import Sender

ROUTE = WsRoutes.CHATS_POST


class Stream:
    """The stream of one post. An error that ends it goes to all who have seen it begin.

    While it is unsure whether the run is still ours, nothing is told of it, here or to the other nodes. Once the lease is lost
    only a `complete` is told, since there is one only if we have stored the end.
    """

    def __init__(self, services: Services, sender: Sender) -> None:
        self._services = services
        self._broker = services.backends.broker
        self._sender = sender
        self.lease = services.cluster.lease  # under which all of it is told
        self._arrived = time.monotonic()
        self._audience = WsSendMethod.SENDER_ONLY
        self._templates: dict[Growing, Template] = {}

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Channel]:
        """A channel. When the block ends, all that was put into it has been told."""
        channel = Channel(self._services.flush_seconds)
        telling = asyncio.create_task(self._follow(channel))
        try:
            yield channel
        finally:
            channel.close()
            await telling

    async def _follow(self, channel: Channel) -> None:
        async with aclosing(channel.flushes(self._services.backends.metrics.traffic)) as flushes:
            with self._failing_alone():
                async for flush in flushes:
                    for entry in flush:
                        await self._tell(entry)

    async def begin(self, chat: ChatWithMessages) -> None:
        """Tell the stream's beginning, before anything is put into its channel: so it waits for no other task."""
        await self._tell((chat, ThreadEvent.INITIALIZE_CHAT))

    async def tell(self, entries: Iterable[Entry]) -> None:
        """Tell entries without a channel: nobody joins this stream."""
        with self._failing_alone():
            for entry in entries:
                await self._tell(entry)

    @contextmanager
    def _failing_alone(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._tell_error(describe(error))

    async def _tell(self, entry: Entry) -> None:
        match entry:
            case Delta(text, chunks):
                self._audience = WsSendMethod.ALL
                if await self.lease.settled():
                    template = self._templates.get(text) or self._templates.setdefault(text, self._template(text))
                    send_frame(self._broker, self._sender, template.frame("".join(chunks)), self.lease)
            case (container, event):
                self._audience = WsSendMethod.ALL
                under = None if event is ThreadEvent.COMPLETED else self.lease
                if under is None or await under.settled():
                    send_ws_message(self._broker, self._sender, ROUTE, WS_EVENTS[event], container, self._audience, under)
                    if seconds := self._services.backends.metrics.latencies.get(event):
                        seconds.observe(time.monotonic() - self._arrived)
            case WsError():
                self._tell_error(entry)
            case Errand():
                entry.run(await self.lease.settled())

    def _tell_error(self, error: WsError) -> None:
        send_error_message(self._broker, self._sender, ROUTE, WsEvent.POST_THREAD, error, self._audience)

    def _template(self, text: Growing) -> Template:
        event = WS_EVENTS[text.event]
        return Template(lambda chunk: answer_to(self._sender, ROUTE, event, text.delta_of(chunk), None, WsSendMethod.ALL))
