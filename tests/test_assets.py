"""Rights: who may view an asset, over every role and every way of being given it."""

from collections.abc import AsyncIterator
from itertools import product
from uuid import UUID

import msgspec
import pytest

from backends import open_storage
from backends.assets import find_asset, visible_assets
from backends.storage import Storage
from handlers.load_file import load_file
from schemas.assets import DASHBOARD, METRIC, AssetPermissionRole, IdentityType
from schemas.load import LoadFile, LoadUser
from settings import Settings
from tests.database import opened
from tests.world import MISSING, grant, metric, uuid

MEMBER, STRANGER = uuid(101), uuid(102)
HOLDERS = {  # whom a permission is given to, so that MEMBER has it and STRANGER has not
    IdentityType.USER: MEMBER,
    IdentityType.TEAM: uuid(103),
    IdentityType.ORGANIZATION: uuid(104),
}
USERS = [
    LoadUser(MEMBER, "member@x.example", uuid(104), "Member", [uuid(103)]),
    LoadUser(STRANGER, "stranger@x.example", uuid(105), "Stranger", [uuid(106)]),
]


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with open_storage(settings) as opened_storage:
        yield opened_storage


async def load(storage: Storage, **sections: object) -> None:
    file = LoadFile(users=USERS)
    for name, value in sections.items():
        setattr(file, name, value)
    await load_file(storage, msgspec.json.encode(file, enc_hook=str))


@pytest.mark.parametrize(("role", "identity"), list(product(AssetPermissionRole, IdentityType)))
async def test_each_role_lets_its_holder_view_and_nobody_else(
    storage: Storage, role: AssetPermissionRole, identity: IdentityType
) -> None:
    assets = [metric(uuid(200), "Given", uuid(104), STRANGER), metric(uuid(201), "Not given", uuid(104), STRANGER)]
    await load(storage, assets=assets, permissions=[grant(uuid(200), METRIC, identity, HOLDERS[identity], role)])
    assert set(await visible_assets(storage, MEMBER, [uuid(200), uuid(201)])) == {uuid(200)}
    assert set(await visible_assets(storage, STRANGER, [uuid(200), uuid(201)])) == set()


@pytest.mark.parametrize("identity", IdentityType)
async def test_an_id_counts_only_as_what_it_was_given_as(storage: Storage, identity: IdentityType) -> None:
    others = [id for kind, id in HOLDERS.items() if kind is not identity]
    permissions = [grant(uuid(200), METRIC, identity, id, AssetPermissionRole.OWNER) for id in others if id != MEMBER]
    if identity is IdentityType.USER:
        permissions = []  # a team's id is no user: the file is refused
    await load(storage, assets=[metric(uuid(200), "Given", uuid(1), STRANGER)], permissions=permissions)
    assert await visible_assets(storage, MEMBER, [uuid(200)]) == {}


@pytest.mark.parametrize(("organization", "sees"), [(uuid(104), True), (uuid(1), False)])
async def test_the_creator_views_it_while_in_its_organization(storage: Storage, organization: UUID, sees: bool) -> None:
    await load(storage, assets=[metric(uuid(200), "Own", organization, MEMBER)])
    assert (await find_asset(storage, MEMBER, uuid(200), METRIC) is not None) is sees
    assert await find_asset(storage, STRANGER, uuid(200), METRIC) is None


async def test_being_in_the_organization_alone_shows_nothing(storage: Storage) -> None:
    await load(storage, assets=[metric(uuid(200), "Not mine", uuid(104), STRANGER)])
    assert await find_asset(storage, MEMBER, uuid(200), METRIC) is None


async def test_deleted_missing_and_of_another_type_are_all_none(storage: Storage, settings: Settings) -> None:
    everything = [metric(uuid(200), "Own", uuid(104), MEMBER)]
    await load(storage, assets=everything)
    found = await find_asset(storage, MEMBER, uuid(200), METRIC)
    assert found is not None
    assert (found.name, found.version_number, found.content["sql"]) == ("Own", 1, "SELECT 1")
    assert await find_asset(storage, MEMBER, uuid(200), DASHBOARD) is None
    assert await find_asset(storage, MEMBER, MISSING, METRIC) is None
    assert await visible_assets(storage, MEMBER, []) == {}
    with opened(settings.database_path) as connection:
        connection.execute("UPDATE assets SET deleted_at = created_at")
    assert await find_asset(storage, MEMBER, uuid(200), METRIC) is None


async def test_a_permission_for_another_type_of_the_same_id_is_none(storage: Storage, settings: Settings) -> None:
    await load(
        storage,
        assets=[metric(uuid(200), "Given", uuid(1), STRANGER)],
        permissions=[grant(uuid(200), METRIC, IdentityType.USER, MEMBER, AssetPermissionRole.OWNER)],
    )
    with opened(settings.database_path) as connection:
        connection.execute("UPDATE asset_permissions SET asset_type = 'dashboard'")
    assert await find_asset(storage, MEMBER, uuid(200), METRIC) is None
