"""Whether frames are as `/asyncapi.json` says. All that a test gets over `House.connect` has to be."""

import json
import re
from functools import cache
from typing import Any

import msgspec
from jsonschema_rs import Draft7Validator

from handlers.http.asyncapi import asyncapi_document
from tests.support.client import Client, Frame

KNOWN_ROUTES = (
    *("/chats/post", "/chats/get", "/chats/list", "/chats/stop"),
    *("/chats/update", "/chats/delete", "/chats/duplicate", "/messages/update"),
)
DOCUMENT: dict[str, Any] = json.loads(msgspec.json.encode(asyncapi_document("1.2.3", 4096)))
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]


class FittingClient(Client):
    """One connection of a user, whose every frame fits the schema of its message."""

    async def frame(self) -> Frame:
        frame = await super().frame()
        message(name_of(frame)).validate(frame)
        return frame


def name_of(frame: Frame) -> str:
    """What the document calls a frame of the server."""
    if frame["error"]:
        return f"{frame['event']}Error" if frame["route"] in KNOWN_ROUTES else "error"
    return str(frame["event"])


@cache
def message(name: str) -> Draft7Validator:
    """What the message of this name must be."""
    return validator(MESSAGES[name]["payload"])


def validator(schema: object) -> Draft7Validator:
    """Of a schema in the document, which may refer to others there."""
    whole = {"allOf": [schema], "components": DOCUMENT["components"]}
    return Draft7Validator(whole, validate_formats=True, formats={"uuid": is_uuid})  # which is no format of draft 7 itself


def is_uuid(text: str) -> bool:
    """Whether it is a UUID with its dashes."""
    return bool(re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", text))
