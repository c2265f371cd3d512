"""Parts of the two descriptions of the protocol: the structs as JSON Schema, and examples from a real run."""

import json
from collections.abc import Callable, Iterable
from functools import cache
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from handlers.context import posted_types
from schemas.assets import AssetType

EXAMPLES_FILE = Path(__file__).parent / "examples.json"  # written by `make examples`

Json = dict[str, Any]


def components(types: Iterable[Any]) -> tuple[list[Json], Json]:
    """A schema for each of the types, and what these refer to in `#/components/schemas/`."""
    made = msgspec.json.schema_components(types, schema_hook=_own_types, ref_template="#/components/schemas/{name}")
    schemas, referred = changed(list(made), _constant)
    return schemas, referred


def changed(node: Any, change: Callable[[Json], Json]) -> Any:
    """A copy with `change` made to every object in it, the inner ones first."""
    if isinstance(node, dict):
        return change({key: changed(value, change) for key, value in node.items()})
    return [changed(value, change) for value in node] if isinstance(node, list | tuple) else node


def _constant(schema: Json) -> Json:
    match schema:
        case {"enum": [only], **rest}:
            return {"const": only, **rest}
    return schema


def _own_types(each: type) -> Json:
    if each is AssetType:
        about = "The `_file` names mean the same, and are answered without it."
        return {"type": "string", "enum": sorted(posted_types()), "description": about}
    raise NotImplementedError


def told_by(thing: Any) -> str:
    """A docstring as a description."""
    return cleandoc(thing.__doc__)


def in_words(text: str) -> Json:
    """A text as both documents want it: its first line, and if there is more, all of it."""
    return {"summary": text.partition("\n")[0]} | ({"description": text} if "\n" in text else {})


def table(*rows: Iterable[object]) -> str:
    """Rows, the first of which is the heading, in Markdown."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * lines[0].count(" | ") + " --- |", *lines[1:]])


@cache
def examples() -> Json:
    """The recorded examples: `messages` by name, and over HTTP `requests` by path and `responses` by path and status."""
    found: Json = json.loads(EXAMPLES_FILE.read_text())
    return found
