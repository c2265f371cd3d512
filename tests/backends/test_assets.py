"""Rights: who may see which asset, over every role and every kind of identity, in the real database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count, product
from typing import NamedTuple
from uuid import UUID

import pytest

from backends import open_storage
from backends.assets import find_asset, visible_assets
from backends.storage import Storage
from backends.upserts import write_file
from schemas.assets import CHAT, DASHBOARD, METRIC, Asset, AssetPermissionRole, AssetType, IdentityType
from schemas.load import LoadAsset, LoadFile
from settings import Settings
from tests.support.database import opened, where
from tests.support.house import BOTH
from tests.support.world import ACME, ALICE, BOB, CAROL, MISSING, OTHER, TEAM, USERS, grant, metric, uuid

ENGINES = BOTH

NOBODY, OTHER_TEAM = MISSING, uuid(4)
IDENTITIES = (ALICE, BOB, CAROL, TEAM, OTHER_TEAM, ACME, OTHER)
MEMBER_OF = {  # as `world.py` has it: only Alice is in a team
    ALICE: {(IdentityType.USER, ALICE), (IdentityType.TEAM, TEAM), (IdentityType.ORGANIZATION, ACME)},
    BOB: {(IdentityType.USER, BOB), (IdentityType.ORGANIZATION, OTHER)},
    CAROL: {(IdentityType.USER, CAROL), (IdentityType.ORGANIZATION, ACME)},
    NOBODY: set(),
}


class Case(NamedTuple):
    """One asset, and the one permission that there is for it."""

    id: UUID
    role: AssetPermissionRole
    kind: IdentityType
    identity: UUID


# Also identities of the wrong kind, such as a team whose id is a user's: they are nobody.
CASES = [
    Case(uuid(1000 + number), *case)
    for number, case in zip(count(), product(AssetPermissionRole, IdentityType, IDENTITIES), strict=False)
]
EVERY = [case.id for case in CASES]
LONE = uuid(500)


@dataclass
class World:
    """A database that is filled as a test says."""

    storage: Storage
    settings: Settings

    async def add(self, asset: LoadAsset, *roles: tuple[AssetType, IdentityType, UUID]) -> None:
        """Add an asset, and permissions for its id as an asset of any type."""
        permissions = [grant(asset.id, kind, who, id, AssetPermissionRole.OWNER) for kind, who, id in roles]
        await write_file(self.storage, LoadFile(assets=[asset], permissions=permissions))

    async def sees(self, user: UUID, said: AssetType = METRIC) -> tuple[bool, bool]:
        """Whether the user sees the lone asset among others, and finds it as what it is said to be."""
        visible = await visible_assets(self.storage, user, [MISSING, LONE])
        found = await find_asset(self.storage, user, LONE, said)
        assert found is None or found == visible[LONE]
        return LONE in visible, found is not None


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    async with open_storage(settings) as storage:
        await write_file(storage, LoadFile(users=USERS))
        yield World(storage, settings)


@pytest.mark.parametrize("user", MEMBER_OF, ids=["alice", "bob", "carol", "nobody"])
async def test_a_permission_of_any_role_is_for_its_identity_only(world: World, user: UUID) -> None:
    elsewhere = uuid(5)  # nobody's organization, so that nothing is seen for having been made
    assets = [metric(case.id, "Metric", elsewhere) for case in CASES]
    permissions = [grant(case.id, METRIC, case.kind, case.identity, case.role) for case in CASES]
    await write_file(world.storage, LoadFile(assets=assets, permissions=permissions))
    expected = {case.id for case in CASES if (case.kind, case.identity) in MEMBER_OF[user]}
    assert len(expected) == len(MEMBER_OF[user]) * len(AssetPermissionRole)
    assert set(await visible_assets(world.storage, user, EVERY)) == expected
    assert {id for id in EVERY if await find_asset(world.storage, user, id, METRIC)} == expected


async def test_only_what_is_asked_for_comes_and_it_comes_as_it_was_loaded(world: World) -> None:
    loaded = metric(LONE, "Lone", ACME, ALICE)
    await world.add(loaded, (METRIC, IdentityType.USER, ALICE), (METRIC, IdentityType.ORGANIZATION, ACME))
    await world.add(metric(uuid(501), "Another", ACME, ALICE))
    assert await visible_assets(world.storage, ALICE, []) == {}
    (asset,) = (await visible_assets(world.storage, ALICE, [LONE, LONE])).values()
    moments = (asset.created_at, asset.updated_at)
    assert asset == Asset(LONE, METRIC, "Lone", loaded.content, 1, ACME, ALICE, *moments)
    assert all(moment.tzinfo for moment in moments)


@pytest.mark.parametrize(
    ("creator", "organization", "seen"),
    [(ALICE, ACME, {ALICE}), (ALICE, OTHER, set()), (BOB, OTHER, {BOB}), (BOB, ACME, set()), (ALICE, TEAM, set())],
)
async def test_who_made_an_asset_sees_it_while_in_its_organization(
    world: World, creator: UUID, organization: UUID, seen: set[UUID]
) -> None:
    await world.add(metric(LONE, "Lone", organization, creator))
    assert {user for user in MEMBER_OF if await world.sees(user) == (True, True)} == seen
    assert {user for user in MEMBER_OF if await world.sees(user) == (False, False)} == set(MEMBER_OF) - seen


async def test_who_leaves_an_organization_sees_no_longer_what_they_made_there(world: World) -> None:
    await world.add(metric(LONE, "Lone", ACME, ALICE))
    with opened(where(world.settings)) as connection:
        connection.execute("DELETE FROM organization_members WHERE user_id = ?", [str(ALICE)])
    assert await world.sees(ALICE) == (False, False)


async def test_a_deleted_asset_is_seen_by_nobody(world: World) -> None:
    await world.add(metric(LONE, "Lone", ACME, ALICE), (METRIC, IdentityType.USER, BOB), (METRIC, IdentityType.TEAM, TEAM))
    assert [await world.sees(user) for user in (ALICE, BOB)] == [(True, True)] * 2
    with opened(where(world.settings)) as connection:
        connection.execute("UPDATE assets SET deleted_at = updated_at")
    assert [await world.sees(user) for user in MEMBER_OF] == [(False, False)] * 4


@pytest.mark.parametrize("said", [DASHBOARD, CHAT, AssetType("report"), AssetType("metric_file")])
async def test_an_asset_of_another_type_than_was_said_is_not_found(world: World, said: AssetType) -> None:
    await world.add(metric(LONE, "Lone", ACME, ALICE))
    assert await world.sees(ALICE, METRIC) == (True, True)
    assert await world.sees(ALICE, said) == (True, False)


@pytest.mark.parametrize("other", [DASHBOARD, CHAT])
async def test_a_permission_for_the_same_id_as_another_type_is_none(world: World, other: AssetType) -> None:
    await world.add(metric(LONE, "Lone", OTHER, BOB), *((other, kind, id) for kind, id in MEMBER_OF[ALICE]))
    assert [await world.sees(ALICE, said) for said in (METRIC, other)] == [(False, False)] * 2


async def test_a_permission_for_another_asset_is_none(world: World) -> None:
    await world.add(metric(LONE, "Lone", OTHER, BOB))
    await world.add(metric(uuid(501), "Another", OTHER, BOB), *((METRIC, kind, id) for kind, id in MEMBER_OF[ALICE]))
    assert await world.sees(ALICE) == (False, False)
