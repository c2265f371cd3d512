"""Statements are compiled once, and take and give values as their columns say."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, insert, select, update

from backends.statements import KEPT, Prepared, prepared
from backends.tables import assets, users
from schemas.assets import METRIC
from tests.world import uuid

RENAME = update(users).where(users.c.id == bindparam("user"))


def test_a_constant_statement_is_compiled_once_for_the_same_names() -> None:
    assert prepared(RENAME, ("user", "name")) is prepared(RENAME, ("user", "name"))
    assert prepared(RENAME, ("user", "name")) is not prepared(RENAME, ("user", "email"))
    for number in range(2 * KEPT):
        prepared(select(users).where(users.c.id == bindparam("x")).limit(number), ("x",))
    assert prepared.cache_info().currsize == KEPT


def test_an_update_sets_the_columns_that_it_is_given_and_no_other() -> None:
    statement = prepared(RENAME, ("user", "name"))
    assert statement.sql == "UPDATE users SET name=:name WHERE users.id = :user"
    assert statement.arguments({"user": uuid(1), "name": "Ann"}) == {"user": str(uuid(1)), "name": "Ann"}


@pytest.mark.parametrize("names", [(), ("name",), ("user", "nmae"), ("user", "name", "x")])
def test_a_value_that_is_missing_or_misspelt_is_an_error_and_no_null(names: tuple[str, ...]) -> None:
    with pytest.raises(KeyError, match="missing or unknown"):
        prepared(RENAME, names)


def test_a_row_comes_back_as_it_went_in() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, 678, UTC)
    values = {"id": uuid(1), "asset_type": METRIC, "content": {"a": ["ö", None, 1.5]}, "created_at": now, "deleted_at": None}
    names = tuple(values)
    stored = prepared(insert(assets), names).arguments(values)
    columns = [assets.c[name] for name in names]
    row = Prepared(select(*columns)).row([stored[name] for name in names])
    assert row | {"created_at": row["created_at"].replace(tzinfo=UTC)} == values
    assert stored["content"] == '{"a":["ö",null,1.5]}'
    assert type(row["asset_type"]) is type(METRIC)


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Prepared(select(users.c.id)).row([str(uuid(1)), "b"])


def test_text_that_is_none_is_kept_readable() -> None:
    stored = prepared(insert(assets), ("id", "content")).arguments({"id": uuid(1), "content": ["a\ud800b"]})
    assert stored["content"] == '["a?b"]'
