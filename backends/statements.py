"""SQLAlchemy Core statements and their values as a database takes them: compiled once, then only filled in.

SQLAlchemy's own engine would do the same, but `databases` compiles anew at each use.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy import Dialect, Executable, Select, String, Text, Uuid
from sqlalchemy.dialects.sqlite import pysqlite
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from schemas.assets import AssetType

Process = Callable[[Any], Any]

KEPT_STATEMENTS = 256  # compiled statements: many times as many as the backends have


def to_json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # lone surrogates, which an agent may send: what is stored must be readable
        return json.dumps(msgspec.to_builtins(value), ensure_ascii=False).encode(errors="replace").decode()


SQLITE = pysqlite.dialect(paramstyle="named", json_serializer=to_json, json_deserializer=msgspec.json.decode)


class Prepared:
    """A statement's SQL, and what its values and its rows go through on their way.

    `names` are the names of the values that it will get. Raises KeyError if one is missing or unknown.
    """

    def __init__(self, dialect: Dialect, statement: Executable, names: Sequence[str] = ()) -> None:
        element = cast(ClauseElement, statement)
        compiled = cast(SQLCompiler, element.compile(dialect=dialect, column_keys=names or None))
        self.sql = str(compiled)
        self._order = compiled.positiontup or ()
        required = {name for bind, name in compiled.bind_names.items() if bind.required}
        if wrong := required - set(names) | set(names) - set(compiled.bind_names.values()):
            raise KeyError(f"{', '.join(sorted(wrong))}: missing or unknown in {self.sql}")
        self._constants = {name: value for name, value in compiled.params.items() if name not in required}
        self._in = {
            name: process
            for bind, name in compiled.bind_names.items()
            if (process := bind.type.dialect_impl(dialect).bind_processor(dialect))
        }
        self._out: list[tuple[str, Process | None]] = []
        if isinstance(statement, Select):
            for column in statement.selected_columns:
                self._out.append((str(column.key), column.type.dialect_impl(dialect).result_processor(dialect, None)))

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as the database takes them, by name."""
        arguments = {**self._constants, **values}
        for name, process in self._in.items():
            arguments[name] = process(arguments[name])
        return arguments

    def in_order(self, values: Mapping[str, Any]) -> list[Any]:
        """The values as a database takes them whose parameters are numbered."""
        arguments = self.arguments(values)
        return [arguments[name] for name in self._order]

    def row(self, found: Sequence[Any]) -> dict[str, Any]:
        """A row by its columns' names."""
        return {name: process(value) if process else value for (name, process), value in zip(self._out, found, strict=True)}


@lru_cache(KEPT_STATEMENTS)
def prepared(dialect: Dialect, statement: Executable, names: tuple[str, ...]) -> Prepared:
    """A statement that is a constant, for values of these names."""
    return Prepared(dialect, statement, names)


def prepared_for(dialect: Dialect, statement: Executable, values: Mapping[str, Any] | None) -> Prepared:
    """A statement for these values. None: it has them in it, so it is no constant."""
    return Prepared(dialect, statement) if values is None else prepared(dialect, statement, tuple(values))


class Guid(TypeDecorator[UUID]):
    """A UUID: 36 characters of text on SQLite, so that a person can read and paste it, and `uuid` on PostgreSQL."""

    impl = String(36)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Uuid() if dialect.name == "postgresql" else String(36)

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        return UUID(value) if isinstance(value, str) else value


class AssetTypeName(TypeDecorator[AssetType]):
    """An asset type by its wire name."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> AssetType | None:
        return value if value is None else AssetType(value)


def storable(text: str) -> str:
    """Without what no engine's text can hold: NUL, which PostgreSQL refuses, and lone surrogates, which are not UTF-8."""
    return text.replace("\0", "").encode(errors="replace").decode()


class Said(TypeDecorator[str]):
    """A text that an agent has written, which may be any characters."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None else storable(value)
