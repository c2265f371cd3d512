"""Assets as a user may see them."""

from collections.abc import Collection
from datetime import UTC
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, Select, and_, bindparam, false, or_, select

from backends.rights import granted_to, in_organizations_of
from backends.storage import Row, Storage
from backends.tables import asset_permissions, assets
from schemas.assets import Asset, AssetType

ASSETS_AT_ONCE = 100  # assets in one query: SQLite takes expressions up to a depth of 1,000
KEPT_QUERIES = 64  # queries that are kept, one for each number of assets: a dashboard has few


async def visible_assets(storage: Storage, user_id: UUID, ids: Collection[UUID]) -> dict[UUID, Asset]:
    """The assets that exist and that the user may view, by id.

    A user may view an asset that was granted to them, to their team or to their organization, in any role. A user may also view
    an asset that they made, for as long as they are in the organization that it belongs to.
    """
    found, all_ids = dict[UUID, Asset](), list(ids)
    for first in range(0, len(all_ids), ASSETS_AT_ONCE):
        wanted = {f"id{number}": id for number, id in enumerate(all_ids[first : first + ASSETS_AT_ONCE])}
        rows = await storage.fetch_all(_visible(len(wanted)), user=user_id, **wanted)
        found |= {row["id"]: _asset(row) for row in rows}
    return found


async def find_asset(storage: Storage, user_id: UUID, asset_id: UUID, asset_type: AssetType) -> Asset | None:
    """The asset, or None when it does not exist, is of another type or may not be viewed: the same answer for all three."""
    asset = (await visible_assets(storage, user_id, [asset_id])).get(asset_id)
    return asset if asset and asset.asset_type == asset_type else None


@lru_cache(KEPT_QUERIES)
def _visible(count: int) -> Select[Any]:
    user: BindParameter[UUID] = bindparam("user")
    granted = (
        select(asset_permissions.c.asset_id)
        .where(asset_permissions.c.asset_id == assets.c.id, asset_permissions.c.asset_type == assets.c.asset_type)
        .where(granted_to(user))
    )
    own = and_(assets.c.created_by == user, in_organizations_of(user, assets.c.organization_id))
    wanted = or_(false(), *(assets.c.id == bindparam(f"id{number}") for number in range(count)))
    return select(assets).where(wanted, assets.c.deleted_at.is_(None), or_(granted.exists(), own))


def _asset(row: Row) -> Asset:
    return Asset(
        id=row["id"],
        asset_type=row["asset_type"],
        name=row["name"],
        content=row["content"],
        version_number=row["version_number"],
        organization_id=row["organization_id"],
        created_by=row["created_by"],
        created_at=row["created_at"].replace(tzinfo=UTC),
        updated_at=row["updated_at"].replace(tzinfo=UTC),
    )
