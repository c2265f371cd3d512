"""`POST /api/v1/chats` with `Accept: text/event-stream`: the frames of that post alone, as Server-Sent Events.

It is a stream of events like that of `/api/v1/events`, on a connection that leaves out all that is not of its post. The post is
one as on a socket: the run belongs to the server, and goes on if the client goes.
"""

from functools import partial
from uuid import UUID

from starlette.types import Receive, Scope, Send

from backends.brief import END
from backends.frame import Frame
from backends.resume import Resumption
from backends.streams import DELTA, ERROR
from handlers.authenticate import refusal
from handlers.connection import GONE, Connection
from handlers.errors import describe
from handlers.http.events import COMMENT, EventStream
from handlers.post_thread import post_thread, tell_end
from handlers.services import Services
from schemas.errors import WsError
from schemas.requests import ChatCreateNewChat
from schemas.users import Sender

ANSWERED = (1000, "the post is answered")


class PostConnection(Connection):
    """A connection that hears of one post, from the first frame that answers it on, and is closed after its end.

    A retry may join a run that somebody else has asked for: what is told of its message then belongs to the post, too. Before
    that it does not: of a message that is replaced the frames of its last run may still come.
    """

    has_ended = False
    refused: WsError | None = None  # why there is no stream; it is an HTTP status if nothing was sent before
    _has_begun = False  # the stream of the post, by a frame that answers it
    _has_told = False  # anything, be it only a comment
    _delta = _end = b""
    _message_id: UUID | None = None

    def hear_of(self, message_id: UUID) -> None:
        """Hear what is told of the post of this message."""
        # As they stand in a frame's text, and nowhere else there, since a quote inside a text is escaped.
        self._message_id = message_id
        self._delta = b'","message_id":"%s"' % str(message_id).encode()
        self._end = b'"%s"],"messages":' % str(message_id).encode()

    def put(self, frame: Frame) -> None:
        if frame is COMMENT:
            self._has_told = True
            super().put(frame)
        elif not self.has_ended and self._is_of_the_post(frame):
            self._tell(frame)

    def _tell(self, frame: Frame) -> None:
        is_error = frame.data.startswith(ERROR)
        self.has_ended = is_error or frame.data.startswith(END)
        if is_error and not self._has_told:
            self.refused = frame.message.error
            return self.close(GONE)
        self._has_told = self._has_begun = True
        super().put(frame)
        if self.has_ended:
            self.close_when_sent(ANSWERED)

    def _is_of_the_post(self, frame: Frame) -> bool:
        if frame.asked_by == self.id or not self._has_begun:
            return frame.asked_by == self.id
        if frame.data.startswith(END):
            return frame.about == self._message_id or self._end in frame.data
        return frame.data.startswith(DELTA) and self._delta in frame.data


class PostStream(EventStream):
    """The stream of a post; or its refusal, if it comes before anything else."""

    def __init__(self, services: Services, connection: PostConnection, payload: ChatCreateNewChat, message_id: UUID) -> None:
        super().__init__(services, connection)
        self._post = partial(_post, services, connection, payload, message_id)
        self._asker = connection
        connection.hear_of(message_id)

    def begin(self, resumption: Resumption | None) -> None:
        self._services.tasks.start_soon(self._post)  # the run belongs to the server: the client may go

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        if self._asker.refused:
            await refusal(self._asker.refused)(scope, receive, send)


async def _post(services: Services, connection: PostConnection, payload: ChatCreateNewChat, message_id: UUID) -> None:
    """Post, and see to it that the connection is told the end, even if the stream of a run that was joined has not told it."""
    sender = Sender(connection.user, connection.id)
    try:
        with services.requests.entered_by(sender.user.id):
            end = await post_thread(services, sender, payload)
            if _is_awaited(services, connection):
                await services.backends.broker.caught_up()  # the end may be on its way
    except Exception as error:
        services.backends.metrics.refused(error)
        end = describe(error)
    if _is_awaited(services, connection):
        tell_end(services, sender, message_id, end)


def _is_awaited(services: Services, connection: PostConnection) -> bool:
    return not connection.has_ended and connection in services.connections
