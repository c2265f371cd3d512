"""What the payloads of section 5 must look like, key by key."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from conformance.rule import Seen, quoted

Shape = Callable[[Any, str], Iterator[str]]  # of a value and where it stands, what is wrong with it
NOTHING: Mapping[str, Shape] = {}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]00:00)")
UNIX_SECONDS = range(1_500_000_000, 10_000_000_000)  # milliseconds are beyond it


def plain(name: str, holds: Callable[[Any], bool]) -> Shape:
    """A value that holds."""

    def check(value: Any, where: str) -> Iterator[str]:
        if not holds(value):
            yield f"{where} is {quoted(value)} and not {name}"

    return check


def record(later: Mapping[str, Shape] = NOTHING, /, **fields: Shape) -> Shape:
    """An object of exactly these keys, and perhaps of those that came `later` into the protocol."""

    def check(value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} is {quoted(value)} and not an object"
        elif set(value) - set(later) != set(fields):
            missing, more = sorted(set(fields) - set(value)), sorted(set(value) - set(fields) - set(later))
            yield f"{where} lacks {missing}" if missing else f"{where} also has {more}"
        else:
            for name, shape in {**fields, **later}.items():
                if name in value:
                    yield from shape(value[name], f"{where}.{name}")

    return check


def each(item: Shape) -> Shape:
    """A list of such items."""

    def check(value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{where} is {quoted(value)} and not a list"
        else:
            for index, one in enumerate(value):
                yield from item(one, f"{where}[{index}]")

    return check


def table(item: Shape) -> Shape:
    """An object of such items, each by its own id."""

    def check(value: Any, where: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{where} is {quoted(value)} and not an object"
            return
        for id, one in value.items():
            yield from item(one, f"{where}.{id}")
            if isinstance(one, dict) and one.get("id") != id:
                yield f"{where}.{id} has the id {quoted(one.get('id'))}"

    return check


def maybe(shape: Shape) -> Shape:
    """Such a value, or null."""
    return lambda value, where: iter(()) if value is None else shape(value, where)


def one_of(**kinds: Shape) -> Shape:
    """An object whose `type` says which of these it is."""

    def check(value: Any, where: str) -> Iterator[str]:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind in kinds:
            yield from kinds[kind](value, where)
        else:
            yield f"{where} is {quoted(value)} and no {' or '.join(kinds)}"

    return check


def word(*words: str) -> Shape:
    """One of these words."""
    return plain(" or ".join(words), lambda value: value in words)


def is_uuid(value: Any) -> bool:
    """Whether it is a UUID in its usual spelling."""
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def is_time(value: Any) -> bool:
    """Whether it is a time of RFC 3339, in UTC."""
    return isinstance(value, str) and bool(TIME.fullmatch(value)) and bool(datetime.fromisoformat(value))


text = plain("text", lambda value: isinstance(value, str))
uuid = plain("a UUID", is_uuid)
time = plain("a time in UTC (RFC 3339)", is_time)
flag = plain("true or false", lambda value: isinstance(value, bool))
count = plain("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
null = plain("null", lambda value: value is None)
anything = plain("anything", lambda value: True)
status = word("loading", "completed", "failed")
progress = word("in_progress", "completed")

METADATA = record(status=status, message=text, timestamp=plain("Unix seconds", lambda value: value in UNIX_SECONDS))
RESPONSE = one_of(
    text=record(id=uuid, type=text, message=maybe(text), message_chunk=maybe(text), is_final_message=flag),
    file=record(
        id=uuid,
        type=text,
        file_type=text,
        file_name=text,
        version_number=count,
        version_id=uuid,
        filter_version_id=null,
        metadata=each(METADATA),
    ),
)
_STEP = {"id": uuid, "type": text, "title": text, "secondary_title": maybe(text), "status": status}
_PILL = record({"url": text}, id=text, text=text, type=text)
_TOOL = record(name=maybe(text), call_id=text)
_FILE = record(
    id=uuid,
    file_type=text,
    file_name=text,
    version_number=count,
    version_id=uuid,
    status=status,
    file=record(text=maybe(text), text_chunk=maybe(text), modified=anything),
)
REASONING = one_of(
    pills=record(**_STEP, pill_containers=each(record(title=text, pills=each(_PILL)))),
    text=record({"tool": _TOOL}, **_STEP, message=maybe(text), message_chunk=maybe(text)),
    files=record(**_STEP, file_ids=each(uuid), files=table(_FILE)),
)
_COUNTS = {name: maybe(count) for name in ("input_tokens", "output_tokens", "reasoning_tokens")}
_FINISH = word("stop", "length", "content_filter", "refusal", "stopped", "interrupted", "failed")
_APPROVAL = record(id=text, title=text, schema=anything, approved=maybe(flag), value=anything)
MESSAGE = record(
    {
        "finish_reason": maybe(_FINISH),
        "usage": maybe(record(model=text, **_COUNTS)),
        "approvals": each(_APPROVAL),
        "feedback": maybe(word("positive", "negative")),
    },
    id=uuid,
    request_message=maybe(record(request=text, sender_id=uuid, sender_name=text, sender_avatar=maybe(text))),
    response_message_ids=each(uuid),
    response_messages=table(RESPONSE),
    reasoning_message_ids=each(uuid),
    reasoning_messages=table(REASONING),
    created_at=time,
    final_reasoning_message=maybe(text),
    is_completed=flag,
)
_HEAD = {"id": uuid, "title": text, "is_favorited": flag, "created_at": time, "updated_at": time}
_AUTHOR = {"created_by": uuid, "created_by_id": uuid, "created_by_name": text, "created_by_avatar": maybe(text)}
CHAT = record(
    **_HEAD,
    **_AUTHOR,
    message_ids=each(uuid),
    messages=table(MESSAGE),
    individual_permissions=anything,
    publicly_accessible=flag,
    public_expiry_date=maybe(time),
    public_enabled_by=maybe(text),
    public_password=maybe(text),
)
_LATEST = {"latest_file_id": maybe(uuid), "latest_file_type": maybe(text), "latest_version_number": maybe(count)}
LIST_ITEM = record(_LATEST, **_HEAD, **_AUTHOR, last_edited=time)
_OF = {"chat_id": uuid, "message_id": uuid, "progress": progress}
TITLE = record(**_OF, title=maybe(text), title_chunk=maybe(text))
RESPONSE_EVENT = record(**_OF, response_message=RESPONSE)
REASONING_EVENT = record({"finished_reasoning": plain("true", lambda value: value is True)}, **_OF, reasoning=REASONING)
HEARTBEAT = record(seconds=plain("a number of seconds", lambda value: isinstance(value, int | float) and value > 0))
RESUMED = record(epoch=text, offset=count, recovered=flag)


def expect_shapes(shape: Shape, values: Iterable[Any], what: str) -> None:
    """Go on only if all of them have the shape."""
    for value in values:
        for defect in shape(value, what):
            raise Seen(defect)
