"""Permissions as SQL, in this one place."""

from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, and_, or_, select

from backends.tables import asset_permissions, organization_members, team_members
from schemas.assets import IdentityType

User = UUID | BindParameter[UUID]


def in_organizations_of(user_id: User, organization_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """True where the user is a member of the organization."""
    return organization_id.in_(select(organization_members.c.organization_id).where(organization_members.c.user_id == user_id))


def granted_to(user_id: User) -> ColumnElement[bool]:
    """True for a row of `asset_permissions` that speaks of this user, of a team or of an organization of theirs."""
    kind, identity = asset_permissions.c.identity_type, asset_permissions.c.identity_id
    teams = select(team_members.c.team_id).where(team_members.c.user_id == user_id)
    return or_(
        and_(kind == IdentityType.USER.value, identity == user_id),
        and_(kind == IdentityType.TEAM.value, identity.in_(teams)),
        and_(kind == IdentityType.ORGANIZATION.value, in_organizations_of(user_id, identity)),
    )
