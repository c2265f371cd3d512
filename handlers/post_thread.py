"""`/chats/post`: a run at one end of a channel, the frames that it is told by at the other, and the one end of each stream."""

import time
from contextlib import AsyncExitStack, aclosing, closing, suppress
from functools import partial

import anyio

from backends.broker import answer_to, send_error_message, send_frame, send_ws_message
from backends.frame import Template
from backends.lease import Lease
from handlers.channel import Channel, Errand
from handlers.errors import describe
from handlers.frames import send_chat
from handlers.growing import Delta, Growing
from handlers.post_chat import Closed, Joined, JoinedElsewhere, Ran, Replayed, post_chat_handler
from handlers.read_chat import read_chat
from handlers.runs import Run
from handlers.services import Services
from schemas.chats import ChatWithMessages
from schemas.errors import ServiceUnavailable, WsError, WsErrorCode
from schemas.events import WS_EVENTS, ThreadEvent, WsEvent
from schemas.frames import WsRoutes, WsSendMethod
from schemas.requests import ChatCreateNewChat
from schemas.users import Sender

ROUTE = WsRoutes.CHATS_POST
FAILED_ELSEWHERE = WsError(WsErrorCode.INTERNAL_SERVER_ERROR, "the run that this post joined has failed")


async def post_thread(services: Services, sender: Sender, request: ChatCreateNewChat) -> ChatWithMessages | WsError:
    """Answer one post with a stream that ends exactly once, and return that end. Goes on whatever becomes of the connection."""
    try:
        with services.posts.entered():
            channel = Channel(services.flush_seconds)
            lease = services.cluster.lease
            async with AsyncExitStack() as until_told, anyio.create_task_group() as tasks:
                tasks.start_soon(_stream, services, sender, lease, channel)
                end = await _post(services, sender, request, lease, channel, until_told)
    except ServiceUnavailable as error:
        end = describe(error)
        send_error_message(services.backends.broker, sender, ROUTE, WsEvent.POST_THREAD, end)
    return end


async def _post(
    services: Services,
    sender: Sender,
    request: ChatCreateNewChat,
    lease: Lease,
    channel: Channel,
    until_told: AsyncExitStack,
) -> ChatWithMessages | WsError:
    with closing(channel):
        try:
            match await post_chat_handler(services, request, sender.user, channel, lease, until_told):
                case Ran(chat):
                    await channel.send([(chat, ThreadEvent.COMPLETED)])
                case Replayed(chat):
                    _tell_sender(services, sender, ThreadEvent.COMPLETED, chat)
                case Joined(run):
                    return await _follow(services, sender, run)
                case JoinedElsewhere(run):
                    with services.requests.needed_by(sender.connection_id):
                        was_told = await run.follow(sender)
                        chat, _ = await read_chat(services, sender.user, run.stored.chat_id)
                        if not was_told:
                            _tell_sender(services, sender, ThreadEvent.COMPLETED, chat)
                        return chat
                    return FAILED_ELSEWHERE  # nobody is there to hear it
                case Closed(run):
                    return _end_of(run)
            return chat
        except Exception as error:  # whatever happens in a run ends only that run
            services.backends.metrics.refused(error)
            end = describe(error)
            with suppress(anyio.BrokenResourceError):  # the stream has failed, and has said so
                await channel.send([end])
            return end


async def _stream(services: Services, sender: Sender, lease: Lease, channel: Channel) -> None:
    """Make frames of the items as they come. An error that ends a stream goes to all who have seen it begin.

    While it is unsure whether the run is still ours, nothing is told of it, here or to the other nodes. Once it is lost only a
    `complete` is told, since there is one only if we have stored the end.
    """
    broker, metrics, arrived = services.backends.broker, services.backends.metrics, time.monotonic()
    audience = WsSendMethod.SENDER_ONLY
    templates: dict[Growing, Template] = {}
    async with aclosing(channel.flushes(metrics.traffic)) as flushes:
        try:
            async for flush in flushes:
                for entry in flush:
                    match entry:
                        case Delta(text):
                            audience = WsSendMethod.ALL
                            if await lease.settled():
                                template = templates.get(text) or templates.setdefault(text, _template(sender, text))
                                send_frame(broker, sender, template.frame(entry.chunk), lease)
                        case (container, event):
                            audience = WsSendMethod.ALL
                            under = None if event is ThreadEvent.COMPLETED else lease
                            if under is None or await under.settled():
                                send_ws_message(broker, sender, ROUTE, WS_EVENTS[event], container, audience, under)
                                if seconds := metrics.latencies.get(event):
                                    seconds.observe(time.monotonic() - arrived)
                        case WsError():
                            send_error_message(broker, sender, ROUTE, WsEvent.POST_THREAD, entry, audience)
                        case Errand():
                            entry.run(await lease.settled())
        except Exception as error:
            send_error_message(broker, sender, ROUTE, WsEvent.POST_THREAD, describe(error), audience)


def _template(sender: Sender, text: Growing) -> Template:
    """A template of the frames that tell this text."""
    event = WS_EVENTS[text.event]
    return Template(lambda chunk: answer_to(sender, ROUTE, event, text.delta(chunk), None, WsSendMethod.ALL))


async def _follow(services: Services, sender: Sender, run: Run) -> ChatWithMessages | WsError:
    """Tell the sender how far the run is, and wait for its end, which its own stream tells, if it can."""
    was_told = await run.tell(partial(_tell_sender, services, sender, ThreadEvent.INITIALIZE_CHAT))
    with services.requests.needed_by(sender.connection_id):
        await run.ended.wait()
    end = _end_of(run)
    if was_told:
        return end
    if isinstance(end, WsError):
        send_error_message(services.backends.broker, sender, ROUTE, WsEvent.POST_THREAD, end)
    else:
        _tell_sender(services, sender, ThreadEvent.COMPLETED, end)
    return end


def _end_of(run: Run) -> ChatWithMessages | WsError:
    return run.end or (describe(run.error) if run.error else FAILED_ELSEWHERE)


def _tell_sender(services: Services, sender: Sender, event: ThreadEvent, chat: ChatWithMessages) -> None:
    """Answer a retry: the sender's other connections have it already."""
    send_chat(services, sender, ROUTE, WsEvent.POST_THREAD, WS_EVENTS[event], chat)
