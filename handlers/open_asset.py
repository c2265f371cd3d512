"""The answer to a post without a prompt: no agent, the asset itself and a word on how to go on."""

import time
from uuid import uuid4

from schemas.assets import Asset
from schemas.chats import FileMetadata, FileResponse, ResponseMessage, TextResponse


def open_asset(assets: tuple[Asset, ...]) -> list[ResponseMessage]:
    """The file, then the text. `assets` begins with the one to open; the others belong to it."""
    opened = assets[0]
    file = FileResponse(
        id=opened.id,
        file_type=str(opened.asset_type),
        file_name=opened.name,
        version_number=opened.version_number,
        version_id=opened.id,
        filter_version_id=None,
        metadata=[FileMetadata("completed", f"Opened the {opened.asset_type}", int(time.time()))],
    )
    return [file, TextResponse(uuid4(), _introduction(assets), None, True)]


def _introduction(assets: tuple[Asset, ...]) -> str:
    opened, *related = assets
    shows = ", ".join(f"“{one.name}”" for one in related) or opened.content.get("description") or "what its definition says"
    return (
        f"I opened the {opened.asset_type} “{opened.name}”. It shows: {shows}\n\n"
        "Ask about it to go on: what it means, how it is calculated, or what to look at next."
    )
