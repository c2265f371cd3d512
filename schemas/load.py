"""The file that `python server.py load` takes. Unknown keys are refused: here they are typing errors."""

from typing import Annotated, Any
from uuid import UUID

import msgspec

from schemas.assets import AssetPermissionRole, AssetType, IdentityType
from schemas.chats import Text

Name = Annotated[Text, msgspec.Meta(min_length=1, max_length=500)]


class LoadUser(msgspec.Struct, forbid_unknown_fields=True):
    """A user, with the one organization and the teams that they belong to."""

    id: UUID
    email: Annotated[str, msgspec.Meta(max_length=320, pattern=r"^[^@\s\x00]+@[^@\s\x00]+\Z")]
    organization_id: UUID
    name: Text | None = None
    team_ids: list[UUID] = []


class LoadAsset(msgspec.Struct, forbid_unknown_fields=True):
    """An asset; what `content` must hold depends on its type."""

    id: UUID
    asset_type: AssetType
    name: Name
    organization_id: UUID
    created_by: UUID
    content: dict[str, Any]
    version_number: Annotated[int, msgspec.Meta(ge=1, lt=2**31)] = 1


class LoadPermission(msgspec.Struct, forbid_unknown_fields=True):
    """What a user, a team or an organization may do with an asset."""

    asset_id: UUID
    asset_type: AssetType
    identity_type: IdentityType
    identity_id: UUID
    role: AssetPermissionRole


class LoadApiKey(msgspec.Struct, forbid_unknown_fields=True):
    """A token of audience `api` that stands for its owner."""

    owner_id: UUID
    key: Annotated[Text, msgspec.Meta(min_length=1)]


class LoadFile(msgspec.Struct, forbid_unknown_fields=True):
    """All of it is loaded, or nothing."""

    users: list[LoadUser] = []
    assets: list[LoadAsset] = []
    permissions: list[LoadPermission] = []
    api_keys: list[LoadApiKey] = []
