"""The answer to a post without a prompt: no agent, the asset itself and a word on how to go on."""

import time
from uuid import uuid4

from schemas.assets import Asset
from schemas.chats import FileMetadata, FileResponse, ResponseMessage, TextResponse


def open_asset(assets: tuple[Asset, ...]) -> list[ResponseMessage]:
    """The file, then the text. `assets` begins with the one to open; the others belong to it."""
    file = file_of(assets[0], f"Opened the {assets[0].asset_type}")
    return [file, TextResponse(uuid4(), _introduction(assets), None, True)]


def file_of(asset: Asset, message: str) -> FileResponse:
    """The part of an answer that opens the asset; `message` says what has happened to it."""
    return FileResponse(
        id=asset.id,
        file_type=str(asset.asset_type),
        file_name=asset.name,
        version_number=asset.version_number,
        version_id=asset.id,
        filter_version_id=None,
        metadata=[FileMetadata("completed", message, int(time.time()))],
    )


def _introduction(assets: tuple[Asset, ...]) -> str:
    opened, *related = assets
    shows = ", ".join(f"“{one.name}”" for one in related) or opened.content.get("description") or "what its definition says"
    return (
        f"I opened the {opened.asset_type} “{opened.name}”. It shows: {shows}\n\n"
        "Ask about it to go on: what it means, how it is calculated, or what to look at next."
    )
