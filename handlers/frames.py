"""How handlers send: an answer or an error becomes one encoded frame, whoever and however many receive it."""

from msgspec import UNSET

from backends.broker import Broker
from backends.frame import Frame
from backends.lease import Lease
from backends.resume import Resumption
from handlers.errors import describe
from handlers.services import Services
from schemas.chats import ChatListItem, ChatWithMessages
from schemas.errors import ThreadcastError, WsError
from schemas.events import Container, GoingAway, Heartbeat, Resumed, WsEvent
from schemas.frames import SentBy, WsResponseMessage, WsRoutes, WsSendMethod
from schemas.users import Sender


def send_ws_message(
    broker: Broker,
    sender: Sender,
    route: WsRoutes,
    event: WsEvent,
    payload: Container | list[ChatListItem],
    method: WsSendMethod = WsSendMethod.ALL,
    lease: Lease | None = None,
) -> None:
    """Send an answer to the sender's user, by default to all of their connections."""
    _send(broker, sender, WsResponseMessage(route, event, payload, _sent_by(sender), None, method), lease)


def send_chat(
    services: Services, sender: Sender, route: WsRoutes, asked: WsEvent, event: WsEvent, chat: ChatWithMessages
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
        send_ws_message(broker, sender, route, event, chat, WsSendMethod.SENDER_ONLY)


def send_error_message(
    broker: Broker,
    sender: Sender,
    route: WsRoutes | str,
    event: WsEvent | str,
    error: WsError,
    method: WsSendMethod = WsSendMethod.SENDER_ONLY,
) -> None:
    """Send a refusal or a failure, by default only to the connection that asked."""
    _send(broker, sender, WsResponseMessage(route, event, None, _sent_by(sender), error, method))


def resumed_frames(sender: Sender, resumption: Resumption) -> list[Frame]:
    """What a connection that can resume is told first: how it stands, then what it has missed."""
    payload = Resumed(resumption.epoch, resumption.offset, resumption.recovered)
    return [_stream_frame(sender, WsEvent.RESUMED, payload), *resumption.frames]


def going_away_frame(sender: Sender, seconds: float) -> Frame:
    """What a connection is told before the server closes it, in `seconds` at the latest."""
    return _stream_frame(sender, WsEvent.GOING_AWAY, GoingAway(seconds))


def heartbeat_frame(sender: Sender, seconds: float) -> Frame:
    """Tell a connection that nothing else was sent to it for so many seconds."""
    return _stream_frame(sender, WsEvent.HEARTBEAT, Heartbeat(seconds))


def _stream_frame(sender: Sender, event: WsEvent, payload: Resumed | GoingAway | Heartbeat) -> Frame:
    """Of the connection itself and of no request: it has no number and is in no log."""
    method = WsSendMethod.SENDER_ONLY
    return Frame(WsResponseMessage(WsRoutes.STREAM, event, payload, _sent_by(sender), None, method))


def _sent_by(sender: Sender) -> SentBy:
    return SentBy(sender.user.id, sender.user.name)


def _send(broker: Broker, sender: Sender, message: WsResponseMessage, lease: Lease | None = None) -> None:
    message.request_id = UNSET if sender.request_id is None else sender.request_id
    broker.publish(sender.user.id, message, sender.connection_id, lease)
