"""Who and what there is in the tests: two organizations, a team, and assets that some may see and others may not."""

from uuid import UUID

import msgspec

from schemas.assets import DASHBOARD, METRIC, AssetPermissionRole, AssetType, IdentityType
from schemas.load import LoadAsset, LoadFile, LoadPermission, LoadUser


def uuid(number: int) -> UUID:
    """A UUID that is easy to recognise in a failure."""
    return UUID(f"00000000-0000-4000-8000-{number:012d}")


ACME, OTHER = uuid(1), uuid(2)
TEAM = uuid(3)
ALICE, BOB, CAROL = uuid(11), uuid(12), uuid(13)

REVENUE, TEAM_METRIC, ORG_METRIC, SECRET_METRIC, FOREIGN_METRIC, MISSING = (uuid(20 + n) for n in range(6))
BOARD, EMPTY_BOARD, FOREIGN_BOARD = (uuid(30 + n) for n in range(3))

USERS = [
    LoadUser(ALICE, "alice@acme.example", ACME, "Alice", [TEAM]),
    LoadUser(BOB, "bob@other.example", OTHER, "Bob"),
    LoadUser(CAROL, "carol@acme.example", ACME),
]


def metric(id: UUID, name: str, organization: UUID = ACME, owner: UUID = CAROL) -> LoadAsset:
    """A metric whose description names it."""
    content = {"description": f"All about {name}.", "sql": "SELECT 1", "columns": [{"name": "n", "type": "number"}]}
    return LoadAsset(id, METRIC, name, organization, owner, content)


def dashboard(id: UUID, name: str, metrics: list[UUID], organization: UUID = ACME, owner: UUID = CAROL) -> LoadAsset:
    """A dashboard of these metrics."""
    return LoadAsset(id, DASHBOARD, name, organization, owner, {"metric_ids": [str(id) for id in metrics]}, version_number=4)


ASSETS = [
    metric(REVENUE, "Revenue"),
    metric(TEAM_METRIC, "Team's metric"),
    metric(ORG_METRIC, "Everybody's metric"),
    metric(SECRET_METRIC, "Secret metric"),
    metric(FOREIGN_METRIC, "Foreign metric", OTHER, BOB),
    dashboard(BOARD, "Board", [TEAM_METRIC, SECRET_METRIC, MISSING, FOREIGN_METRIC, REVENUE]),
    dashboard(EMPTY_BOARD, "Empty board", []),
    dashboard(FOREIGN_BOARD, "Foreign board", [FOREIGN_METRIC], OTHER, BOB),
]


def grant(asset: UUID, kind: AssetType, identity: IdentityType, id: UUID, role: AssetPermissionRole) -> LoadPermission:
    """One permission."""
    return LoadPermission(asset, kind, identity, id, role)


PERMISSIONS = [
    grant(REVENUE, METRIC, IdentityType.USER, ALICE, AssetPermissionRole.CAN_VIEW),
    grant(TEAM_METRIC, METRIC, IdentityType.TEAM, TEAM, AssetPermissionRole.CAN_EDIT),
    grant(ORG_METRIC, METRIC, IdentityType.ORGANIZATION, ACME, AssetPermissionRole.FULL_ACCESS),
    grant(BOARD, DASHBOARD, IdentityType.USER, ALICE, AssetPermissionRole.OWNER),
    grant(EMPTY_BOARD, DASHBOARD, IdentityType.USER, ALICE, AssetPermissionRole.CAN_VIEW),
]

WORLD = msgspec.json.encode(LoadFile(USERS, ASSETS, PERMISSIONS), enc_hook=str)
