"""`/chats/post`: each post is answered by a run, by what was stored before, or by a run that it joins, and by one end."""

from functools import partial
from uuid import UUID

from backends.broker import send_error_message
from handlers.cluster import RunElsewhere
from handlers.errors import describe
from handlers.frames import send_chat
from handlers.post_chat import Closed, Failed, Joined, JoinedElsewhere, Ran, Replayed, post_chat_handler
from handlers.read_chat import read_chat
from handlers.runs import Run
from handlers.services import Services
from handlers.stream import ROUTE, Stream
from schemas.chats import ChatWithMessages
from schemas.errors import WsError, WsErrorCode
from schemas.events import WS_EVENTS, ThreadEvent, WsEvent
from schemas.requests import ChatCreateNewChat
from schemas.users import Sender

FAILED_ELSEWHERE = WsError(WsErrorCode.INTERNAL_SERVER_ERROR, "the run that this post joined has failed")


async def post_thread(services: Services, sender: Sender, request: ChatCreateNewChat) -> ChatWithMessages | WsError:
    """Answer one post with a stream that ends exactly once, and return that end. Goes on whatever becomes of the connection."""
    try:
        with services.posts.entered():
            match await post_chat_handler(services, request, sender.user, Stream(services, sender)):
                case Ran(chat):
                    return chat
                case Failed(error):
                    return error
                case Replayed(chat):
                    _tell_sender(services, sender, ThreadEvent.COMPLETED, request.message_id, chat)
                    return chat
                case Joined(run):
                    return await _follow(services, sender, run)
                case JoinedElsewhere(elsewhere):
                    return await _follow_elsewhere(services, sender, elsewhere)
                case Closed(run):
                    return _end_of(run)
    except Exception as error:  # before the stream has begun
        services.backends.metrics.refused(error)
        end = describe(error)
        tell_end(services, sender, request.message_id, end)
        return end


async def _follow_elsewhere(services: Services, sender: Sender, run: RunElsewhere) -> ChatWithMessages | WsError:
    """Wait for the end of a run on another node, which tells its stream to the sender, too, if it can."""
    with services.requests.needed_by(sender.connection_id):
        was_told = await run.follow(sender)
        chat, _ = await read_chat(services, sender.user, run.stored.chat_id)
        if not was_told:
            _tell_sender(services, sender, ThreadEvent.COMPLETED, run.stored.id, chat)
        return chat
    return FAILED_ELSEWHERE  # nobody is there to hear it


async def _follow(services: Services, sender: Sender, run: Run) -> ChatWithMessages | WsError:
    """Tell the sender how far the run is, and wait for its end, which its own stream tells, if it can."""
    was_told = await run.tell(partial(_tell_sender, services, sender, ThreadEvent.INITIALIZE_CHAT, run.message_id))
    with services.requests.needed_by(sender.connection_id):
        await run.ended.wait()
    end = _end_of(run)
    if not was_told:
        tell_end(services, sender, run.message_id, end)
    return end


def tell_end(services: Services, sender: Sender, message_id: UUID | None, end: ChatWithMessages | WsError) -> None:
    """Tell the sender alone how a post has ended, whose stream has not told them."""
    if isinstance(end, WsError):
        send_error_message(services.backends.broker, sender, ROUTE, WsEvent.POST_THREAD, end)
    else:
        _tell_sender(services, sender, ThreadEvent.COMPLETED, message_id, end)


def _end_of(run: Run) -> ChatWithMessages | WsError:
    return run.end or (describe(run.error) if run.error else FAILED_ELSEWHERE)


def _tell_sender(
    services: Services, sender: Sender, event: ThreadEvent, message_id: UUID | None, chat: ChatWithMessages
) -> None:
    """Answer a retry: the sender's other connections have it already."""
    send_chat(services, sender, ROUTE, WsEvent.POST_THREAD, WS_EVENTS[event], chat, about=message_id)
