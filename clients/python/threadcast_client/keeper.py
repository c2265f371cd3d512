"""What is held and what is waited for, kept true by the frames that come."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

from threadcast_client.answer import Answer
from threadcast_client.errors import ThreadcastError
from threadcast_client.fold import Fold
from threadcast_client.link import Link
from threadcast_client.listeners import Listeners
from threadcast_client.owner import State, now
from threadcast_client.posts import Posts
from threadcast_client.requests import Requests
from threadcast_client.schemas.chats import ChatWithMessages, DeletedChats
from threadcast_client.wire import Frame, payload_of

EVENTS = ("frame", "sent", "note", "state", "replaced")
GET_AGAIN_S = 1.0  # over HTTP a chat that is being answered is got, and got again


class Keeper:
    """The owner of the link."""

    def __init__(self, link: Link) -> None:
        self.told = {name: Listeners() for name in EVENTS}
        self.chats_told = Listeners()
        self.open_ids: set[UUID] = set()  # the chats that are to be kept true
        self.feed = link.feed
        self._over = ""  # why nothing is tried any more
        self.fold = Fold(self._is_kept)
        self.requests = Requests(link.feed)
        self.posts = Posts(link.feed, self.fold)
        self._heard_at: dict[UUID, float] = {}  # of kept chats, when the last frame came
        self._to_get: dict[UUID, float] = {}  # over HTTP, and when
        link.owner = link.feed.owner = self

    def post(self, answer: Answer) -> None:
        """Raises ThreadcastError when the client is closed, or too many wait already."""
        self._check_open()
        self.posts.add(answer)

    def _check_open(self) -> None:
        if self._over:
            raise ThreadcastError("CLOSED", self._over)

    async def ask(self, route: str, payload: dict[str, Any], *, is_urgent: bool = False) -> Frame:
        self._check_open()
        answered: asyncio.Future[Frame | ThreadcastError] = asyncio.get_running_loop().create_future()

        def ended(how: Frame | ThreadcastError) -> None:
            if not answered.done():  # else whoever waited was cancelled
                answered.set_result(how)

        request = self.requests.add(route, payload, ended, is_urgent)
        try:
            how = await answered
        finally:
            self.requests.drop(request)
        if isinstance(how, ThreadcastError):
            raise how
        return how

    async def stop(self, answer: Answer) -> None:
        if not answer.was_sent:
            self.posts.end(answer, ThreadcastError("STOPPED", "it was stopped before it was sent"))
        for _ in range(2):
            if answer.sent_at is None or answer.chat_id is None:
                await answer.heard()
            if answer.is_settled:
                return
            try:
                await self.ask("/chats/stop", {"id": str(answer.chat_id), "message_id": str(answer.message_id)})
                break
            except ThreadcastError as error:  # it has ended meanwhile, or has not come there yet
                if error.code != "NOT_FOUND":
                    raise
                await answer.heard()
        with suppress(ThreadcastError):
            await answer.settled()

    def _is_kept(self, id: UUID) -> bool:
        return id in self.open_ids or id in self.posts.chats()

    def _get(self, id: UUID) -> None:
        """Get a chat that this client is to know, unless that is being done."""
        if id in self.posts.being_got:
            return
        if self.feed.line and self.feed.line.by_http and id in self.fold.whole and id not in self.fold.stale:
            self._to_get.setdefault(id, now() + GET_AGAIN_S)
            return

        def got(how: Frame | ThreadcastError) -> None:
            self.posts.being_got.discard(id)
            if isinstance(how, ThreadcastError) and how.code == "NOT_FOUND":
                self.posts.gone(id)
                self.fold.let_go(id)
                self.chats_told.tell()
            self.posts.flush()

        self.posts.being_got.add(id)
        try:
            self.requests.add("/chats/get", {"id": str(id)}, got, is_urgent=True)
        except ThreadcastError:  # later then: the chat stays silent
            self.posts.being_got.discard(id)

    def on_state(self, state: State) -> None:
        if state != "closed":
            self._over = ""
        self.told["state"].tell(state)

    def on_note(self, text: str) -> None:
        self.told["note"].tell(text)

    def on_sent(self, text: str) -> None:
        self.told["sent"].tell(text)

    def on_text(self, text: str) -> None:
        self.told["frame"].tell(text)

    def on_frame(self, frame: Frame) -> None:
        if frame.error:
            if chat_id := self.posts.refused(frame.request_id or "", frame.error):
                self._get(chat_id)
        elif not self._is_known_better(payload := payload_of(frame), frame):
            self._take(frame, payload)
        self.requests.take(frame)

    def _take(self, frame: Frame, payload: Any) -> None:
        before = self.fold.snapshot()
        missing = self.fold.take(frame.event, payload, by_http=frame.by_http)
        chat_id = payload.id if isinstance(payload, ChatWithMessages) else getattr(payload, "chat_id", None)
        if isinstance(payload, ChatWithMessages):
            self.posts.lack(payload)
        if isinstance(payload, DeletedChats):
            for id in payload.ids:
                self.posts.gone(id)
        if chat_id:
            self.posts.update(chat_id, frame.event, frame.request_id)
            if frame.event == "complete":
                self.requests.completed(chat_id, frame)
            if self._is_kept(chat_id):
                self._heard_at[chat_id] = now()
        if missing and (self._is_kept(missing) or self.posts.has_message(payload.message_id)):
            self._get(missing)
        if self.fold.snapshot() is not before:
            self.chats_told.tell()

    def _is_known_better(self, payload: Any, frame: Frame) -> bool:
        """The answer to a post over HTTP is no news when the stream has come to its end, and may be older than what is held."""
        if not (frame.by_http and frame.route == "/chats/post" and isinstance(payload, ChatWithMessages)):
            return False
        chat = self.fold.whole.get(payload.id)
        answer = self.posts.of(frame.request_id or "")
        return bool(chat and chat.id not in self.fold.stale and not answer)

    def on_resumed(self, missed: bool) -> None:
        self._to_get.clear()
        if missed:
            self.fold.doubt()
            for id in self.open_ids | self.posts.heard_chats():
                self._get(id)
        self.requests.flush()

    def on_live(self) -> None:
        self._heard_at = dict.fromkeys(self.open_ids | self.posts.chats(), now())
        self.posts.flush()
        self.requests.flush()

    def on_lost(self) -> None:
        self.posts.lost()
        self.requests.lost()

    def on_tick(self) -> None:
        self.posts.tick()
        self.requests.tick()
        for id, at in list(self._to_get.items()):
            if at <= now():
                del self._to_get[id]
                self.fold.stale.add(id)
                self._get(id)
        for id in self.open_ids | self.posts.heard_chats():
            chat = self.fold.whole.get(id)
            is_answered = chat and all(message.is_completed for message in chat.messages.values())
            if not is_answered and now() - self._heard_at.setdefault(id, now()) > 2 * self.feed.seconds:
                self._heard_at[id] = now()
                self._get(id)

    def on_over(self, why: str) -> None:
        self._over = why
        self._fail(ThreadcastError("CLOSED", why))

    def on_replaced(self) -> None:
        self._fail(ThreadcastError("REPLACED", "the token is another user's"))
        self.fold.forget()
        self.open_ids.clear()
        self.told["replaced"].tell()
        self.chats_told.tell()

    def _fail(self, error: ThreadcastError) -> None:
        self.posts.fail(error)
        self.requests.fail(error)
        self.posts.being_got.clear()
