"""Context of a prompt: the kinds of assets that a chat can be about, and how each is loaded.

`KINDS` is the one table: a new asset type is one entry in it. The entry's wire names make the type valid in a request, its
content struct makes `load` accept it, its loader makes both flows of a post work.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol
from uuid import UUID

import msgspec

from backends.assets import find_asset, visible_assets
from backends.chats import find_chat, linked_files
from backends.storage import Storage
from backends.stored import Stored
from schemas.assets import CHAT, DASHBOARD, METRIC, Asset, AssetPermissionRole, AssetType, DashboardContent, MetricContent
from schemas.chats import ChatWithMessages
from schemas.errors import NotFound

QUOTED_TYPE = 64  # characters of an unknown type that an error repeats


class Context(msgspec.Struct, frozen=True):
    """An asset and the assets that belong to it, in this order; or a chat, with the assets that it has been about."""

    assets: tuple[Asset, ...] = ()
    chat: ChatWithMessages | None = None
    roles: frozenset[AssetPermissionRole] = frozenset()  # the user's roles for the chat
    running: Stored | None = None  # the chat's unfinished message, at the same moment
    sizes: dict[UUID, int] = {}  # about the bytes of each of its messages, in order


class ContextLoader(Protocol):
    """Loads one kind of thing."""

    async def __call__(self, storage: Storage, user_id: UUID, id: UUID) -> Context:
        """Load the thing, with what the user may view of it. Raises NotFound when the user may not view the thing itself."""


class Kind(msgspec.Struct, frozen=True):
    """All there is to know of an asset type. Without wire names it cannot be posted as an asset."""

    load: ContextLoader
    wire_names: tuple[str, ...] = ()
    content: type[msgspec.Struct] | None = None


async def load_metric(storage: Storage, user_id: UUID, id: UUID) -> Context:
    return Context((await _asset(storage, user_id, id, METRIC),))


async def load_dashboard(storage: Storage, user_id: UUID, id: UUID) -> Context:
    """The dashboard and, in its order, those of its metrics that the user may view."""
    dashboard = await _asset(storage, user_id, id, DASHBOARD)
    ids = msgspec.convert(dashboard.content, DashboardContent).metric_ids
    metrics = await visible_assets(storage, user_id, ids)
    shown = (metrics[id] for id in dict.fromkeys(ids) if id in metrics and metrics[id].asset_type == METRIC)
    return Context((dashboard, *shown))


async def load_chat(storage: Storage, user_id: UUID, id: UUID) -> Context:
    """The chat, and the assets that it has been about, the latest first, as far as the user may still view them."""
    found = await find_chat(storage, user_id, id)
    if not found:
        raise NotFound
    assets: dict[UUID, Asset] = {}
    for asset_id, asset_type in await linked_files(storage, id):
        with suppress(NotFound):
            about = await KINDS[asset_type].load(storage, user_id, asset_id)
            assets |= {asset.id: asset for asset in about.assets if asset.id not in assets}
    return Context(tuple(assets.values()), found.chat, found.roles, found.running, found.sizes)


KINDS: dict[AssetType, Kind] = {
    METRIC: Kind(load_metric, wire_names=("metric", "metric_file"), content=MetricContent),
    DASHBOARD: Kind(load_dashboard, wire_names=("dashboard", "dashboard_file"), content=DashboardContent),
    CHAT: Kind(load_chat),
}


def posted_type_hook(expected: type, value: Any) -> Any:
    """msgspec's `dec_hook` for the asset types that can be posted."""
    return _find_type(value, posted_types())


def known_type_hook(expected: type, value: Any) -> Any:
    """msgspec's `dec_hook` for every type that can have permissions: also for those that cannot be posted."""
    return _find_type(value, posted_types() | {str(asset_type): asset_type for asset_type in KINDS})


def posted_types() -> dict[str, AssetType]:
    """The asset types that a post may name, by all of their names on the wire."""
    return {name: asset_type for asset_type, kind in KINDS.items() for name in kind.wire_names}


def _find_type(value: Any, names: Mapping[str, AssetType]) -> AssetType:
    """Raises ValueError, worded as msgspec words it for an enum; msgspec adds where."""
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    if value not in names:
        raise ValueError(f"Invalid enum value {value[:QUOTED_TYPE]!r}")
    return names[value]


async def _asset(storage: Storage, user_id: UUID, id: UUID, asset_type: AssetType) -> Asset:
    if asset := await find_asset(storage, user_id, id, asset_type):
        return asset
    raise NotFound
