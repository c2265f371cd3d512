"""JSON Patch: the operations of RFC 6902, what is refused, and that nothing of the value before is changed."""

import copy
from typing import Any

import pytest

from backends.agents.json_patch import patched

BEFORE = {"a": {"b": [1, 2, 3]}, "x/y~z": "old", "": 0, "n": None}


def op(op: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **{key.rstrip("_"): value for key, value in more.items()}}


@pytest.mark.parametrize(
    ("patch", "after"),
    [
        ([op("add", "/c", value={"d": None})], {**BEFORE, "c": {"d": None}}),
        ([op("add", "/a/b/0", value=0)], {**BEFORE, "a": {"b": [0, 1, 2, 3]}}),
        ([op("add", "/a/b/3", value=4)], {**BEFORE, "a": {"b": [1, 2, 3, 4]}}),
        ([op("add", "/a/b/-", value=4)], {**BEFORE, "a": {"b": [1, 2, 3, 4]}}),
        ([op("add", "/n", value=1)], {**BEFORE, "n": 1}),
        ([op("remove", "/a/b/1")], {**BEFORE, "a": {"b": [1, 3]}}),
        ([op("replace", "/a/b/1", value="two")], {**BEFORE, "a": {"b": [1, "two", 3]}}),
        ([op("replace", "/x~1y~0z", value="new")], {**BEFORE, "x/y~z": "new"}),
        ([op("replace", "/", value=1)], {**BEFORE, "": 1}),
        ([op("replace", "", value=[1]), op("add", "/-", value=2)], [1, 2]),
        ([op("move", "/m", from_="/a/b")], {**BEFORE, "a": {}, "m": [1, 2, 3]}),
        ([op("copy", "/m", from_="/a/b"), op("add", "/m/-", value=4)], {**BEFORE, "m": [1, 2, 3, 4]}),
        (
            [op("test", "/a", value={"b": [1, 2, 3]}), op("test", "/n", value=None), op("add", "/c", value=1)],
            {**BEFORE, "c": 1},
        ),
        ([op("test", "/a/b/0", value=1.0)], BEFORE),
    ],
)
def test_each_operation_does_what_the_rfc_says(patch: list[dict[str, Any]], after: Any) -> None:
    value = copy.deepcopy(BEFORE)
    assert patched(value, patch, 1000) == after
    assert value == BEFORE


@pytest.mark.parametrize(
    "operation",
    [
        op("remove", "/no"),
        op("replace", "/no", value=1),
        op("add", "/no/such", value=1),
        op("add", "/a/b/4", value=1),
        op("add", "/a/b/01", value=1),
        op("add", "/a/b/-1", value=1),
        op("add", "/a/b/x", value=1),
        op("add", "/n/x", value=1),
        op("add", "/x~1y~0z/-", value=1),
        op("remove", "/a/b/-"),
        op("remove", ""),
        op("add", "c", value=1),
        op("add", "/c"),
        op("move", "/a/b/c", from_="/a"),
        op("test", "/a/b/0", value=2),
        op("test", "/a/b/0", value=True),
        op("test", "/n", value=0),
        op("copy", "/c"),
        op("grow", "/c", value=1),
        {"op": "add", "path": 7, "value": 1},
        {"op": "add", "value": 1},
        {},
    ],
)
def test_what_cannot_be_done_is_refused_as_a_whole(operation: dict[str, Any]) -> None:
    value = copy.deepcopy(BEFORE)
    with pytest.raises(ValueError):  # noqa: PT011 (whatever it says)
        patched(value, [op("add", "/first", value=1), operation], 1000)
    assert value == BEFORE


@pytest.mark.parametrize("target", ["/{}", "/deep"])
def test_copies_of_copies_are_bounded(target: str) -> None:
    patch = [op("copy", target.format(number), from_="") for number in range(10_000)]
    with pytest.raises(ValueError, match="it copies too much"):
        patched({"a": "x" * 100}, patch, 100_000)
