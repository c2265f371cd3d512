"""Notices that nodes send each other about their runs, and what a node does with a notice that it gets.

Notices are best effort: the truth stands in the database, and whoever waits for a notice looks there, too.
"""

import logging
from functools import partial
from typing import Literal
from uuid import UUID

import msgspec

from backends.broker import send_ws_message
from backends.stored import Stored
from handlers.crowding import end_silent
from handlers.nodes.node import Node, Question
from handlers.read_chat import excerpt
from handlers.runs import Run
from schemas.chats import ChatWithMessages
from schemas.events import WsEvent
from schemas.frames import WsRoutes, WsSendMethod
from schemas.requests import GetChat
from schemas.users import Sender

logger = logging.getLogger("threadcast")


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """Asks the node that answers this user's message to stop."""

    node: UUID
    message_id: UUID
    user_id: UUID
    run: UUID | None = None  # unknown to nodes of the version before, which stop whatever run the message has


class Ask(msgspec.Struct, tag="ask", frozen=True):
    """Asks the node that answers the sender's own message to tell the sender how far it is, in the stream's order."""

    node: UUID
    message_id: UUID
    question_id: UUID
    answer: Literal["initializeChat", "getChat"]
    sender: Sender
    get: GetChat | None = None  # unknown to nodes of the version before, which tell all messages


class Answered(msgspec.Struct, tag="answered", frozen=True):
    """Tells the asking node that the sender was told, or that there is nothing to tell any more."""

    question_id: UUID
    told: bool


class Ended(msgspec.Struct, tag="ended", frozen=True):
    """Tells all nodes that a run in this chat has ended.

    With `failed`, the error that this node tells the user next, on all connections, is the end of this message's stream.
    """

    chat_id: UUID
    message_id: UUID | None = None
    user_id: UUID | None = None
    failed: bool = False


class Crowded(msgspec.Struct, tag="crowded", frozen=True):
    """Tells all nodes that this user has a connection too many, so a dead one has to go."""

    user_id: UUID


Notice = Stop | Ask | Answered | Ended | Crowded
NOTICE_DECODER = msgspec.json.Decoder[Notice](Notice)
ASKED_ROUTES = {"initializeChat": WsRoutes.CHATS_POST, "getChat": WsRoutes.CHATS_GET}


def tell_stop(node: Node, running: Stored) -> bool:
    """Have a run of another node stopped. False when that node cannot be told now."""
    return running.node is not None and _tell(node, Stop(running.node, running.id, running.user_id, running.owner.run))


def tell_ask(
    node: Node,
    running: Stored,
    question: Question,
    answer: Literal["initializeChat", "getChat"],
    sender: Sender,
    get: GetChat | None = None,
) -> bool:
    """Have the sender told of their own run on another node. False when that node cannot be told now."""
    return running.node is not None and _tell(node, Ask(running.node, running.id, question.id, answer, sender, get))


def tell_end(node: Node, chat_id: UUID) -> None:
    """Tell the other nodes that a run of this chat has ended and is stored."""
    _tell(node, Ended(chat_id))


def tell_run_ended(node: Node, run: Run, lost: bool) -> None:
    """Tell the others that a run of this node has ended. `lost`: another node has closed it."""
    streams = node.backends.broker.streams
    if lost:
        streams.remember(run.user_id, run.chat_id, run.message_id)
    else:
        streams.end(run.user_id, run.message_id)
    _tell(node, Ended(run.chat_id, run.message_id, run.user_id, failed=not lost and run.end is None))


def tell_crowded(node: Node, user_id: UUID) -> bool:
    """Have the other nodes end one of this user's connections that does not answer. Whether there are others."""
    return _tell(node, Crowded(user_id))


def hear(node: Node, data: bytes) -> None:
    """Do what another node's notice asks for. Neither waits nor raises."""
    try:
        notice = NOTICE_DECODER.decode(data)
    except msgspec.DecodeError:  # a node of a newer version sent it
        logger.warning("a notice was not understood", exc_info=True)
        return
    match notice:
        case Stop(node=node.id):
            run = node.runs.get(notice.message_id)
            if run and run.user_id == notice.user_id and notice.run in (None, run.id):
                run.stop()
        case Ask(node=node.id):
            node.tasks.start_soon(_answer, node, notice)
        case Answered(question_id, told):
            node.awaited.answered(question_id, told)
        case Crowded(user_id):
            node.tasks.start_soon(end_silent, node.outboxes.share_of(user_id))
        case Ended(chat_id):
            node.awaited.ended(chat_id)
            if notice.failed and notice.message_id and notice.user_id:
                node.backends.broker.streams.failing(notice.user_id, notice.message_id)


async def _answer(node: Node, ask: Ask) -> None:
    run = node.runs.get(ask.message_id)
    try:
        if run and run.user_id == ask.sender.user.id:
            await run.begun.wait()
            if run.transcript and not run.is_over and await run.tell(partial(_tell_sender, node, ask)):
                return
        _tell(node, Answered(ask.question_id, told=False))
    except Exception:
        logger.exception("another node's question could not be answered")


def _tell_sender(node: Node, ask: Ask, chat: ChatWithMessages) -> None:
    broker, shown = node.backends.broker, excerpt(chat, ask.get) if ask.get else chat
    send_ws_message(broker, ask.sender, ASKED_ROUTES[ask.answer], WsEvent(ask.answer), shown, WsSendMethod.SENDER_ONLY)
    _tell(node, Answered(ask.question_id, told=True))


def _tell(node: Node, notice: Notice) -> bool:
    return node.backends.broker.tell(msgspec.json.encode(notice))
