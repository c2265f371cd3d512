"""Statements are compiled once for each engine, and take and give values as their columns say."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import BindParameter, Dialect, bindparam, insert, or_, select, update

from backends.postgres.storage import POSTGRES
from backends.statements import KEPT_STATEMENTS, SQLITE, Prepared, prepared
from backends.tables import assets, users
from schemas.assets import METRIC
from tests.support.world import uuid

USER: BindParameter[UUID] = bindparam("user")
RENAME = update(users).where(users.c.id == USER)
DIALECTS = pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=["sqlite", "postgres"])


@DIALECTS
def test_a_constant_statement_is_compiled_once_for_the_same_names(dialect: Dialect) -> None:
    assert prepared(dialect, RENAME, ("user", "name")) is prepared(dialect, RENAME, ("user", "name"))
    assert prepared(dialect, RENAME, ("user", "name")) is not prepared(dialect, RENAME, ("user", "email"))
    for number in range(2 * KEPT_STATEMENTS):
        prepared(dialect, select(users).where(users.c.id == bindparam("x")).limit(number), ("x",))
    assert prepared.cache_info().currsize == KEPT_STATEMENTS


def test_an_update_sets_the_columns_that_it_is_given_and_no_other() -> None:
    statement = prepared(SQLITE, RENAME, ("user", "name"))
    assert statement.sql == "UPDATE users SET name=:name WHERE users.id = :user"
    assert statement.arguments({"user": uuid(1), "name": "Ann"}) == {"user": str(uuid(1)), "name": "Ann"}
    statement = prepared(POSTGRES, RENAME, ("user", "name"))
    assert statement.sql == "UPDATE users SET name=$1::VARCHAR WHERE users.id = $2::UUID"
    assert statement.in_order({"user": uuid(1), "name": "Ann"}) == ["Ann", uuid(1)]


def test_a_value_that_stands_in_two_places_is_given_once() -> None:
    statement = prepared(
        POSTGRES, select(users.c.id).where(or_(users.c.id == USER, users.c.name == "x", users.c.id != USER)), ("user",)
    )
    assert statement.in_order({"user": uuid(1)}) == [uuid(1), "x"]


@DIALECTS
@pytest.mark.parametrize("names", [(), ("name",), ("user", "nmae"), ("user", "name", "x")])
def test_a_value_that_is_missing_or_misspelt_is_an_error_and_no_null(dialect: Dialect, names: tuple[str, ...]) -> None:
    with pytest.raises(KeyError, match="missing or unknown"):
        prepared(dialect, RENAME, names)


@DIALECTS
def test_a_row_comes_back_as_it_went_in(dialect: Dialect) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
    values = {"id": uuid(1), "asset_type": METRIC, "content": {"a": ["ö", None, 1.5]}, "created_at": now, "deleted_at": None}
    names = tuple(values)
    stored = prepared(dialect, insert(assets), names).arguments(values)
    columns = [assets.c[name] for name in names]
    row = Prepared(dialect, select(*columns)).row([stored[name] for name in names])
    assert row | {"created_at": row["created_at"].replace(tzinfo=UTC)} == values
    assert stored["content"] == '{"a":["ö",null,1.5]}'
    assert type(row["asset_type"]) is type(METRIC)


@DIALECTS
def test_a_row_of_another_width_is_refused(dialect: Dialect) -> None:
    with pytest.raises(ValueError, match="zip"):
        Prepared(dialect, select(users.c.id)).row([str(uuid(1)), "b"])


@DIALECTS
def test_text_that_is_none_is_kept_readable(dialect: Dialect) -> None:
    stored = prepared(dialect, insert(assets), ("id", "content")).arguments({"id": uuid(1), "content": ["a\ud800b"]})
    assert stored["content"] == '["a?b"]'
