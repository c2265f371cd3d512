"""Frames that are not part of a stream: a chat for one connection, and what the server says of the connection itself."""

from uuid import UUID

from backends.broker import send_error_message, send_ws_message, sent_by
from backends.frame import Frame
from backends.resume import Resumption
from handlers.errors import describe
from handlers.services import Services
from schemas.chats import ChatWithMessages
from schemas.errors import ThreadcastError
from schemas.events import GoingAway, Heartbeat, Resumed, WsEvent
from schemas.frames import WsResponseMessage, WsRoutes, WsSendMethod
from schemas.users import Sender


def send_chat(
    services: Services,
    sender: Sender,
    route: WsRoutes,
    asked: WsEvent,
    event: WsEvent,
    chat: ChatWithMessages,
    about: UUID | None = None,
) -> None:
    """Send the chat to the sender alone, or refuse what was `asked` while too much waits for the user's connections.

    For an answer in a stream's order: it cannot wait for room as others do.
    """
    broker = services.backends.broker
    try:
        services.connections.outboxes.check(sender.user.id)
    except ThreadcastError as error:
        services.backends.metrics.refused(error)
        send_error_message(broker, sender, route, asked, describe(error))
    else:
        send_ws_message(broker, sender, route, event, chat, WsSendMethod.SENDER_ONLY, about=about)


def resumed_frames(sender: Sender, resumption: Resumption) -> list[Frame]:
    """The first frames of a connection that can resume: where it stands, then the frames that it has missed."""
    payload = Resumed(resumption.epoch, resumption.offset, resumption.recovered)
    return [_stream_frame(sender, WsEvent.RESUMED, payload), *resumption.frames]


def going_away_frame(sender: Sender, seconds: float) -> Frame:
    """The frame that announces that the server closes the connection, in `seconds` at the latest."""
    return _stream_frame(sender, WsEvent.GOING_AWAY, GoingAway(seconds))


def heartbeat_frame(sender: Sender, seconds: float) -> Frame:
    """Tell a connection that nothing else was sent to it for so many seconds."""
    return _stream_frame(sender, WsEvent.HEARTBEAT, Heartbeat(seconds))


def _stream_frame(sender: Sender, event: WsEvent, payload: Resumed | GoingAway | Heartbeat) -> Frame:
    """A frame about the connection and about no request: it has no number and is in no log."""
    method = WsSendMethod.SENDER_ONLY
    return Frame(WsResponseMessage(WsRoutes.STREAM, event, payload, sent_by(sender), None, method))
