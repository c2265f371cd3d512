"""What an agent is told: the three loaders, and that a new asset type is one entry in one table."""

from collections.abc import AsyncIterator
from uuid import UUID

import msgspec
import pytest

from backends import open_storage
from backends.assets import find_asset
from backends.storage import Storage
from handlers.context import KINDS, Context, Kind, load_dashboard, load_metric
from handlers.load_file import load_file
from schemas.assets import METRIC, AssetPermissionRole, AssetType, IdentityType
from schemas.errors import NotFound
from schemas.load import LoadAsset, LoadFile
from settings import Settings
from tests.support.client import fold, unsettled
from tests.support.house import House
from tests.support.settling import settle
from tests.support.world import (
    ACME,
    ALICE,
    BOARD,
    BOB,
    CAROL,
    EMPTY_BOARD,
    FOREIGN_BOARD,
    MISSING,
    ORG_METRIC,
    REVENUE,
    SECRET_METRIC,
    TEAM_METRIC,
    dashboard,
    grant,
    uuid,
)

REPORT = AssetType("report")


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    await settle(settings)
    async with open_storage(settings) as opened:
        yield opened


def ids(context: Context) -> list[UUID]:
    return [asset.id for asset in context.assets]


async def test_a_metric_is_itself(storage: Storage) -> None:
    assert ids(await load_metric(storage, ALICE, REVENUE)) == [REVENUE]


async def test_a_dashboard_brings_its_metrics_in_its_order_without_those_that_may_not_be_seen(storage: Storage) -> None:
    assert ids(await load_dashboard(storage, ALICE, BOARD)) == [BOARD, TEAM_METRIC, REVENUE]
    assert ids(await load_dashboard(storage, ALICE, EMPTY_BOARD)) == [EMPTY_BOARD]


async def test_a_dashboard_names_a_metric_once_and_nothing_but_metrics(storage: Storage) -> None:
    odd = dashboard(uuid(99), "Odd", [REVENUE, BOARD, REVENUE], owner=ALICE)
    await load_file(storage, msgspec.json.encode(LoadFile(assets=[odd]), enc_hook=str))
    assert ids(await load_dashboard(storage, ALICE, uuid(99))) == [uuid(99), REVENUE]


@pytest.mark.parametrize(
    ("user", "id"), [(ALICE, SECRET_METRIC), (ALICE, MISSING), (ALICE, BOARD), (BOB, REVENUE), (BOB, ORG_METRIC)]
)
async def test_a_metric_that_may_not_be_seen_is_not_found(storage: Storage, user: UUID, id: UUID) -> None:
    with pytest.raises(NotFound):
        await load_metric(storage, user, id)


@pytest.mark.parametrize("id", [FOREIGN_BOARD, MISSING, REVENUE])
async def test_a_dashboard_that_may_not_be_seen_is_not_found(storage: Storage, id: UUID) -> None:
    with pytest.raises(NotFound):
        await load_dashboard(storage, ALICE, id)


class ReportContent(msgspec.Struct):
    """What a report has to hold."""

    pages: list[str]


async def load_report(storage: Storage, user_id: UUID, id: UUID) -> Context:
    """A report with the metric that all reports are about."""
    report = await find_asset(storage, user_id, id, REPORT)
    if report is None:
        raise NotFound
    return Context((report, *(await load_metric(storage, user_id, REVENUE)).assets))


async def test_a_new_asset_type_is_one_entry_in_one_table(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, REPORT, Kind(load_report, wire_names=("report", "report_file"), content=ReportContent))
    report = LoadAsset(uuid(50), REPORT, "Yearly report", ACME, CAROL, {"pages": ["One page"]})
    allowed = grant(uuid(50), REPORT, IdentityType.USER, ALICE, AssetPermissionRole.CAN_VIEW)
    file = msgspec.json.encode(LoadFile(assets=[report], permissions=[allowed]), enc_hook=str)
    await load_file(house.backends.storage, file)
    asked = {"asset_id": str(uuid(50)), "asset_type": "report_file"}
    async with house.connect() as client, house.connect(BOB) as bob:
        opened = await client.post(**asked)
        answered = await client.post(**asked, prompt="What does it say?")
        assert (await bob.refusal(asked))["code"] == "NOT_FOUND"
    assert opened[1]["payload"]["response_message"]["file_type"] == "report"
    assert opened[-1]["payload"]["title"] == "View Yearly report"
    assert unsettled(fold(answered)) == unsettled(answered[-1]["payload"])
    assert "One page" in str(answered[-1]["payload"])
    assert "All about Revenue." in str(answered[-1]["payload"])


async def test_without_its_entry_a_type_is_refused_at_its_field(house: House) -> None:
    async with house.connect() as client:
        for name in ("report", "chat"):
            error = await client.refusal({"asset_id": str(REVENUE), "asset_type": name})
            assert error == {"code": "BAD_REQUEST", "message": f"Invalid enum value '{name}' - at `$.payload.asset_type`"}


def test_what_a_chat_can_be_about_has_wire_names_and_content() -> None:
    assert {str(name): kind.wire_names for name, kind in KINDS.items()} == {
        "metric": ("metric", "metric_file"),
        "dashboard": ("dashboard", "dashboard_file"),
        "chat": (),
    }
    assert KINDS[METRIC].content is not None
