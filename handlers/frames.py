"""How handlers send: an answer or an error becomes one encoded frame, whoever and however many receive it."""

from msgspec import UNSET

from backends.broker import Broker
from handlers.services import Sender
from schemas.chats import ChatListItem
from schemas.errors import WsError
from schemas.events import Container, WsEvent
from schemas.frames import SentBy, WsResponseMessage, WsRoutes, WsSendMethod, encode


def send_ws_message(
    broker: Broker,
    sender: Sender,
    route: WsRoutes,
    event: WsEvent,
    payload: Container | list[ChatListItem],
    method: WsSendMethod = WsSendMethod.ALL,
) -> None:
    """Send an answer to the sender's user, by default to all of their connections."""
    _send(broker, sender, WsResponseMessage(route, event, payload, _sent_by(sender), None, method))


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


def _sent_by(sender: Sender) -> SentBy:
    return SentBy(sender.user.id, sender.user.name)


def _send(broker: Broker, sender: Sender, message: WsResponseMessage) -> None:
    message.request_id = UNSET if sender.request_id is None else sender.request_id
    broker.publish(sender.user.id, encode(message).decode(), message.send_method, sender.connection_id)
