"""The pydantic models of `fastapi_pydantic.py`. A frame is generic in its payload, so that pydantic knows what to expect."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel

Payload = TypeVar("Payload")


class Prompt(BaseModel):
    prompt: str


class Post(BaseModel):
    route: Literal["/chats/post"]
    payload: Prompt


class Sender(BaseModel):
    id: str
    name: str


class Text(BaseModel):
    id: str
    type: Literal["text"] = "text"
    message: str | None = None
    message_chunk: str | None = None
    is_final_message: bool = False


class Response(BaseModel):
    response_message: Text
    chat_id: str
    message_id: str
    progress: Literal["in_progress", "completed"]


class Message(BaseModel):
    id: str
    request_message: dict[str, str]
    response_message_ids: list[str]
    response_messages: dict[str, Text]
    is_completed: bool


class Chat(BaseModel):
    id: str
    title: str
    message_ids: list[str]
    messages: dict[str, Message]


class Frame(BaseModel, Generic[Payload]):
    route: str = "/chats/post"
    event: str
    payload: Payload
    sent_by: Sender
    error: None = None
    send_method: Literal["All"] = "All"
