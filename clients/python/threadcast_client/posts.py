"""Posts that are not answered yet, through cuts: each is sent until its message is heard of."""

from uuid import UUID

from threadcast_client.answer import Answer
from threadcast_client.errors import ThreadcastError
from threadcast_client.feed import Feed
from threadcast_client.fold import Fold
from threadcast_client.owner import now
from threadcast_client.schemas.chats import ChatWithMessages
from threadcast_client.wire import Failure

MOST_WAITING = 100  # for a connection, or to be heard of


class Posts:
    """All that are not settled. Of the chats `being_got` more is known soon."""

    def __init__(self, feed: Feed, fold: Fold) -> None:
        self._feed, self._fold = feed, fold
        self._all: dict[str, Answer] = {}
        self.being_got: set[UUID] = set()

    def add(self, answer: Answer) -> None:
        """Send it as soon as that can be. Raises ThreadcastError when too many wait already."""
        if sum(not answer.is_heard for answer in self._all.values()) >= MOST_WAITING:
            raise ThreadcastError("QUEUE_FULL", f"{MOST_WAITING} posts wait already")
        self._all[answer.label] = answer
        self.flush()

    def of(self, label: str) -> Answer | None:
        """The one with this label."""
        return self._all.get(label)

    def chats(self) -> set[UUID]:
        """The chats in which something is not settled."""
        return {answer.chat_id for answer in self._all.values() if answer.chat_id}

    def heard_chats(self) -> set[UUID]:
        """The same, without those in which all is only waiting to be heard of, but for replacements."""
        return {a.chat_id for a in self._all.values() if a.chat_id and (a.is_heard or (a.replaces and a.was_sent))}

    def has_message(self, id: UUID) -> bool:
        """Whether one of them is about this message."""
        return any(answer.message_id == id for answer in self._all.values())

    def flush(self) -> None:
        """Send what can be sent."""
        for answer in list(self._all.values()):
            if not self._feed.is_caught_up or self._feed.is_draining:
                return
            waits = answer.is_heard or answer.sent_at is not None or answer.not_before > now()
            if waits or (answer.is_doubtful and answer.chat_id in self.being_got):
                continue
            answer.sent_at, answer.was_sent = now(), True
            self._feed.send(answer.label, "/chats/post", answer.payload)

    def tick(self) -> None:
        """Send again what may be sent twice and was not heard of for two heartbeats."""
        for answer in self._all.values():
            is_silent = answer.sent_at is not None and now() - answer.sent_at > 2 * self._feed.seconds
            if is_silent and not answer.is_heard and not answer.replaces and not (self._feed.line and self._feed.line.by_http):
                answer.sent_at = None
        self.flush()

    def lost(self) -> None:
        """The connection went: what was sent on it and not heard of may not have come there."""
        for answer in self._all.values():
            if not answer.is_heard:
                answer.is_doubtful = answer.is_doubtful or answer.sent_at is not None
                answer.sent_at = None
                answer.not_before = 0.0  # the next server may not be as busy

    def refused(self, label: str, failure: Failure) -> UUID | None:
        """An error came for this post, if it is one. Returns the chat that is to be got."""
        answer = self._all.get(label)
        if not answer:
            return None
        if failure.retry_after is not None and not answer.is_heard:
            answer.sent_at, answer.not_before = None, now() + failure.retry_after
            return None
        self.end(answer, ThreadcastError(failure.code, failure.message, failure.retry_after))
        return answer.chat_id if answer.is_heard else None

    def update(self, chat_id: UUID, event: str, label: str | None) -> None:
        """The chat is held, and has changed."""
        if chat := self._fold.whole.get(chat_id):
            for answer in list(self._all.values()):
                if message := chat.messages.get(answer.message_id):
                    answer.update(chat, message, event, label)
                    if answer.is_settled:
                        del self._all[answer.label]

    def lack(self, chat: ChatWithMessages) -> None:
        """End what the chat has no message for any more: another device has replaced one before it."""
        for answer in list(self._all.values()):
            if answer.is_heard and answer.chat_id == chat.id and answer.message_id not in chat.message_ids:
                self.end(answer, ThreadcastError("NOT_FOUND", "the message is there no more"))

    def gone(self, chat_id: UUID) -> None:
        """End what is about a chat that is not there."""
        for answer in list(self._all.values()):
            if answer.chat_id == chat_id and (answer.is_heard or answer.replaces):
                self.end(answer, ThreadcastError("NOT_FOUND", "the chat is there no more"))

    def end(self, answer: Answer, error: ThreadcastError) -> None:
        """End one with an error."""
        self._all.pop(answer.label, None)
        answer.fail(error)

    def fail(self, error: ThreadcastError) -> None:
        """End them all."""
        for answer in list(self._all.values()):
            self.end(answer, error)
