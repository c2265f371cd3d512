"""Assets, which chats can be about, and the permissions on them."""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec


class AssetType(str):
    """The wire name of a kind of asset, such as `metric`.

    Not an enum: which types exist is decided by one table, `KINDS` in `handlers/context.py`, so that a new type is one entry
    there. Decoders turn a string into an `AssetType` through that table's hook and refuse what it does not know.
    """

    __slots__ = ()


METRIC = AssetType("metric")
DASHBOARD = AssetType("dashboard")
CHAT = AssetType("chat")


class IdentityType(enum.Enum):
    """The kind of identity that has a permission."""

    USER = "user"
    TEAM = "team"
    ORGANIZATION = "organization"


class AssetPermissionRole(enum.Enum):
    """What a permission allows; every role may view."""

    OWNER = "owner"
    FULL_ACCESS = "full_access"
    CAN_EDIT = "can_edit"
    CAN_VIEW = "can_view"


EDITING_ROLES = frozenset({AssetPermissionRole.OWNER, AssetPermissionRole.FULL_ACCESS, AssetPermissionRole.CAN_EDIT})


class MetricContent(msgspec.Struct):
    """The least that a metric's `content` holds; further keys are kept as they are."""

    description: str
    sql: str
    columns: list[Any]


class DashboardContent(msgspec.Struct):
    """The least that a dashboard's `content` holds; further keys are kept as they are."""

    metric_ids: list[UUID]


class Asset(msgspec.Struct, frozen=True):
    """An asset as it is stored. `content` is its definition: any JSON object that fits its type's content struct."""

    id: UUID
    asset_type: AssetType
    name: str
    content: dict[str, Any]
    version_number: int
    organization_id: UUID
    created_by: UUID
    created_at: datetime
    updated_at: datetime
