"""What frames add up to: the chats that are held whole, and the list. Nothing that was given out changes later."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

from msgspec.structs import replace

from threadcast_client.schemas.chats import (
    ChatListItem,
    ChatMessage,
    ChatWithMessages,
    DeletedChats,
    FileContent,
    FileResponse,
    FilesReasoning,
    MessageFeedback,
    ReasoningMessage,
    ResponseMessage,
    TextReasoning,
    TextResponse,
)
from threadcast_client.schemas.events import GeneratingReasoningMessage, GeneratingResponseMessage, GeneratingTitle

MOST_CHATS = 30  # held whole beside those that are open or being answered: what a person goes back and forth between
MOST_LISTED = 500


@dataclass(frozen=True)
class Snapshot:
    """The chats as they stand: those of the list, the newest first, and by id those that are held with their messages."""

    list: tuple[ChatListItem, ...]
    chats: Mapping[UUID, ChatWithMessages]


class Fold:
    """`is_kept` says of a chat's id whether the chat is not to be let go."""

    def __init__(self, is_kept: Callable[[UUID], bool]) -> None:
        self._is_kept = is_kept
        self.forget()

    def forget(self) -> None:
        """Hold nothing."""
        self.whole: dict[UUID, ChatWithMessages] = {}  # the latest last
        self.stale: set[UUID] = set()  # chats that miss frames, until they are got
        self.unordered: set[UUID] = set()  # messages that were got beside the stream, which may have told the same or not
        self._listed: dict[UUID, ChatListItem] = {}
        self._titles: dict[UUID, str] = {}  # those that grow
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """The same object until something changes."""
        if self._snapshot is None:
            self._snapshot = Snapshot(tuple(self._listed.values()), MappingProxyType(dict(self.whole)))
        return self._snapshot

    def doubt(self) -> None:
        """Frames are missing: what is held is not how it stands."""
        for id in list(self.whole):
            if self._is_kept(id):
                self.stale.add(id)
            else:
                self.let_go(id)

    def let_go(self, id: UUID) -> None:
        """Hold the chat no more. The list may still have it."""
        self.stale.discard(id)
        self._titles.pop(id, None)
        if self.whole.pop(id, None):
            self._snapshot = None

    def take(self, event: str, payload: Any, *, by_http: bool = False) -> UUID | None:
        """Take a frame's payload. Returns the id of a chat that would have to be got to understand it."""
        match payload:
            case ChatWithMessages():
                self._hold(payload)
                if event == "initializeChat" and not payload.title:
                    self._titles[payload.id] = ""
                for id, message in payload.messages.items():
                    if by_http and not message.is_completed:
                        self.unordered.add(id)
                    else:
                        self.unordered.discard(id)
            case GeneratingTitle():
                return self._change(payload, lambda chat, _: self._entitle(chat, payload))
            case GeneratingResponseMessage(response_message=part):
                return self._change(payload, lambda chat, message: _in_chat(chat, _with_response(message, part)))
            case GeneratingReasoningMessage(reasoning=step):
                return self._change(payload, lambda chat, message: _in_chat(chat, _with_reasoning(message, step)))
            case ChatListItem() if not (by_http and self._is_older(payload)):
                self._list(payload)
                if chat := self.whole.get(payload.id):
                    names = ("title", "is_favorited", "updated_at")
                    self._put(replace(chat, **{name: getattr(payload, name) for name in names}))
            case DeletedChats():
                for id in payload.ids:
                    self.let_go(id)
                    self._listed.pop(id, None)
                self._snapshot = None
            case MessageFeedback():
                chat = self.whole.get(payload.chat_id)
                if chat and (rated := chat.messages.get(payload.message_id)):
                    self._put(_in_chat(chat, replace(rated, feedback=payload.feedback)))
            case list():
                self._list(*(item for item in payload if not (by_http and self._is_older(item))))
        return None

    def _is_older(self, item: ChatListItem) -> bool:
        """Whether the stream has told more of the chat than this item has, which came beside it."""
        held = self._listed.get(item.id)
        return held is not None and held.updated_at > item.updated_at

    def _put(self, chat: ChatWithMessages) -> None:
        self.whole[chat.id] = chat
        self._snapshot = None

    def _hold(self, chat: ChatWithMessages) -> None:
        if missing := [id for id in chat.message_ids if id not in chat.messages]:  # with `last`, or with `messages=new`
            before = self.whole.get(chat.id)
            if not before or chat.id in self.stale or any(id not in before.messages for id in missing):
                return
            messages = {id: chat.messages.get(id) or before.messages[id] for id in chat.message_ids}
            chat = replace(chat, messages=messages)
        self.let_go(chat.id)
        self._put(chat)
        if len(self.whole) > MOST_CHATS:
            unkept = [id for id in self.whole if not self._is_kept(id)]
            for id in unkept[: max(0, len(unkept) - MOST_CHATS)]:
                self.let_go(id)
        self._list(_listed(chat, self._listed.get(chat.id)))

    def _list(self, *items: ChatListItem) -> None:
        every = self._listed | {item.id: item for item in items}
        newest = sorted(every.values(), key=lambda item: item.updated_at, reverse=True)
        self._listed = {item.id: item for item in newest[:MOST_LISTED]}
        self._snapshot = None

    def _change(self, frame: Any, change: Callable[[ChatWithMessages, ChatMessage], ChatWithMessages]) -> UUID | None:
        chat = self.whole.get(frame.chat_id)
        message: ChatMessage | None = chat.messages.get(frame.message_id) if chat else None
        if not chat or not message or chat.id in self.stale or message.id in self.unordered:
            return cast(UUID, frame.chat_id)
        if not message.is_completed:  # else it was got over HTTP before its stream has come to the end
            self._put(change(chat, message))
        return None

    def _entitle(self, chat: ChatWithMessages, frame: GeneratingTitle) -> ChatWithMessages:
        title = frame.title
        if title is None:
            if chat.id not in self._titles:  # its first pieces are not known
                return chat
            title = self._titles[chat.id] = self._titles[chat.id] + (frame.title_chunk or "")
        else:
            self._titles.pop(chat.id, None)
        chat = replace(chat, title=title)
        self._list(_listed(chat, self._listed.get(chat.id)))
        return chat


def text_of(message: ChatMessage) -> str:
    """The text of an answer, all its parts joined."""
    parts = map(message.response_messages.get, message.response_message_ids)
    return "".join(part.message or "" for part in parts if isinstance(part, TextResponse))


def _listed(chat: ChatWithMessages, before: ChatListItem | None) -> ChatListItem:
    names = ("id", "title", "is_favorited", "created_at", "updated_at")
    owner = ("created_by", "created_by_id", "created_by_name", "created_by_avatar")
    known = {name: getattr(chat, name) for name in names + owner} | {"last_edited": chat.updated_at}
    if files := [part for message in chat.messages.values() for part in _files_of(message)]:
        file = files[-1]
        known |= {"latest_file_id": file.id, "latest_file_type": file.file_type, "latest_version_number": file.version_number}
    return replace(before, **known) if before else ChatListItem(**known)


def _files_of(message: ChatMessage) -> list[FileResponse]:
    parts = map(message.response_messages.get, message.response_message_ids)
    return [part for part in parts if isinstance(part, FileResponse)]


def _in_chat(chat: ChatWithMessages, message: ChatMessage) -> ChatWithMessages:
    return replace(chat, messages=chat.messages | {message.id: message})


def _with_response(message: ChatMessage, part: ResponseMessage) -> ChatMessage:
    before = message.response_messages.get(part.id)
    if isinstance(part, TextResponse):
        part = replace(part, message=_grown(before, part), message_chunk=None)
    ids = message.response_message_ids if before else [*message.response_message_ids, part.id]
    return replace(message, response_message_ids=ids, response_messages=message.response_messages | {part.id: part})


def _with_reasoning(message: ChatMessage, step: ReasoningMessage) -> ChatMessage:
    before = message.reasoning_messages.get(step.id)
    if isinstance(step, TextReasoning):
        step = replace(step, message=_grown(before, step), message_chunk=None)
    if isinstance(step, FilesReasoning):
        files = dict(before.files) if isinstance(before, FilesReasoning) else {}
        for id, file in step.files.items():
            text = file.file.text
            if text is None:
                text = ((files[id].file.text if id in files else None) or "") + (file.file.text_chunk or "")
            files[id] = replace(file, file=FileContent(text, None, file.file.modified))
        step = replace(step, files=files)
    ids = message.reasoning_message_ids if before else [*message.reasoning_message_ids, step.id]
    return replace(message, reasoning_message_ids=ids, reasoning_messages=message.reasoning_messages | {step.id: step})


def _grown(before: object, part: TextResponse | TextReasoning) -> str:
    """The whole text: what a frame says is whole, which may also take back, or what there was and the next piece."""
    if part.message is not None:
        return part.message
    text = before.message if isinstance(before, TextResponse | TextReasoning) else None
    return (text or "") + (part.message_chunk or "")
