"""JSON Patch, RFC 6902: what becomes of a JSON value."""

from collections.abc import Sequence
from typing import Any

import msgspec

Json = Any
Path = tuple[str, ...]


def patched(value: Json, patch: Sequence[dict[str, Any]], most: int) -> Json:
    """The value after all operations; the value itself stays as it is. Raises ValueError when one cannot be done.

    `most`: the bytes, as JSON, that all that is copied may have together.
    """
    holder = {"": _copied(value)}  # so that the whole value, too, has a place that it stands in
    room = most
    try:
        for operation in patch:
            path = _path(operation["path"])
            match operation.get("op"):
                case "add":
                    _add(holder, path, operation["value"])
                case "remove":
                    _remove(holder, path)
                case "replace":
                    _remove(holder, path)
                    _add(holder, path, operation["value"])
                case "move":
                    _add(holder, path, _remove(holder, _path(operation["from"])))
                case "copy":
                    encoded = msgspec.json.encode(_found(holder, _path(operation["from"])))
                    if (room := room - len(encoded)) < 0:
                        raise ValueError("it copies too much")
                    _add(holder, path, msgspec.json.decode(encoded))
                case "test":
                    if not _same(_found(holder, path), operation["value"]):
                        raise ValueError("its test fails")
                case _:
                    raise ValueError("there is no such operation")
        return holder[""]
    except (KeyError, IndexError, TypeError):
        raise ValueError("it does not fit the state") from None
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def _copied(value: Json) -> Json:
    return msgspec.json.decode(msgspec.json.encode(value))


def _path(pointer: Json) -> Path:
    """The keys of a JSON Pointer, RFC 6901, below the holder."""
    first, *keys = pointer.split("/") if isinstance(pointer, str) else [""]
    if first or not isinstance(pointer, str):
        raise ValueError("a path begins with a slash")
    return ("", *(key.replace("~1", "/").replace("~0", "~") for key in keys))


def _found(holder: Json, path: Path) -> Json:
    for key in path:
        holder = holder[key] if isinstance(holder, dict) else holder[_index(holder, key)]
    return holder


def _add(holder: Json, path: Path, value: Json) -> None:
    parent, key = _found(holder, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[key] = value
    elif key == "-" and isinstance(parent, list):
        parent.append(value)
    else:
        at = _index(parent, key)
        if at > len(parent):
            raise IndexError(key)
        parent.insert(at, value)


def _remove(holder: Json, path: Path) -> Json:
    parent, key = _found(holder, path[:-1]), path[-1]
    return parent.pop(key) if isinstance(parent, dict) else parent.pop(_index(parent, key))


def _index(parent: Json, key: str) -> int:
    if not isinstance(parent, list) or not (key.isascii() and key.isdecimal()) or (key[0] == "0" and key != "0"):
        raise IndexError(key)
    return int(key)


def _same(one: Json, other: Json) -> bool:
    """Whether both are the same JSON: true is no 1 there, also deep within."""
    return msgspec.json.encode(one, order="sorted") == msgspec.json.encode(other, order="sorted") or _number(one, other)


def _number(one: Json, other: Json) -> bool:
    return type(one) in (int, float) and type(other) in (int, float) and one == other
