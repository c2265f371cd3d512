"""Frames of which not even the route can be read, or known: each has its answer, and the connection goes on.

PROTOCOL.md sections 2 and 3.
"""

import json

import pytest

from handlers.receive import LONGEST_SALVAGED, MOST_VISITED
from tests.support.frames import ARRAYS, HEAD, HUGE, OBJECTS, TAIL, Data, Where, assert_refused, beside, within
from tests.support.house import House

NO_JSON: dict[str, Data] = {
    "words": "not JSON",
    "nothing": "",
    "no bytes": b"",
    "blanks": " \n",
    "NUL": "\0",
    "a frame cut short": HEAD + TAIL[:-1],
    "trailing garbage": HEAD + TAIL + "x",
    "a trailing NUL": HEAD + TAIL + "\0",
    "two frames in one": HEAD + TAIL + HEAD + TAIL,
    "a trailing comma": HEAD + TAIL[:-1] + ",}",
    "single quotes": (HEAD + TAIL).replace('"', "'"),
    "a comment": HEAD + "/* */" + TAIL,
    "NUL in the prompt": within('{"prompt": "\0"}'),
    "a newline in an unknown key": beside("x", '"a\nb"'),
    "an unknown escape": beside("x", r'"\q"'),
    "half an escape": within(r'{"prompt": "Hi", "x": "\u12"}'),
    "NaN": beside("x", "NaN"),
    "NaN in the payload": within('{"prompt": NaN}'),
    "NaN in an unknown key of the payload": within('{"prompt": "Hi", "x": NaN}'),
    "minus infinity": beside("x", "-Infinity"),
    "Python's True": beside("x", "True"),
    "a number with a leading zero": beside("x", "01"),
    "a number that ends with its point": within('{"prompt": "Hi", "x": 1.}'),
    "a BOM": "\ufeff" + HEAD + TAIL,
    "a BOM in a binary frame": ("\ufeff" + HEAD + TAIL).encode(),
    "UTF-16": (HEAD + TAIL).encode("utf-16-le"),
    "UTF-16 with a BOM": (HEAD + TAIL).encode("utf-16"),
    "bytes that are no UTF-8": b"\xff\xfe\x80",
    "bad UTF-8 in the prompt": within('{"prompt": "~"}').encode().replace(b"~", b"\xff"),
    "bad UTF-8 in an unknown key": beside("x", '"~"').encode().replace(b"~", b"\xc3"),
    "bad UTF-8 in a key's name": beside("~", "1").encode().replace(b"~", b"\xf8"),
    "a surrogate as UTF-8": within('{"prompt": "~"}').encode().replace(b"~", b"\xed\xa0\x80"),
    "5,000 arrays": ARRAYS,
    "5,000 objects": OBJECTS,
    "5,000 arrays that never end": "[" * 5000,
    "5,000 arrays as the payload": within(ARRAYS),
    "5,000 objects as the payload": within(OBJECTS),
    "5,000 arrays in the prompt": within(f'{{"prompt": {ARRAYS}}}'),
    "5,000 objects in an unknown key of the payload": within(f'{{"prompt": "Hi", "x": {OBJECTS}}}'),
    "5,000 arrays in an unknown key": beside("x", ARRAYS),
}
NO_ROUTE: dict[str, Data] = {
    "no route": '{"id": "c", ' + TAIL,
    "a route in another case": (HEAD + TAIL).replace("route", "Route"),
    "a number as the route": '{"route": 7, "id": "c", ' + TAIL,
    "null as the route": '{"route": null, "id": "c", ' + TAIL,
    "a list as the route": '{"route": ["/chats/post"], "id": "c", ' + TAIL,
    "an object as the route": '{"route": {"/chats/post": 1}, "id": "c", ' + TAIL,
    "a lone surrogate as the route": r'{"route": "\ud800", "id": "c", ' + TAIL,
    "a lone surrogate after the route": r'{"route": "/chats/post\udc00", "id": "c", ' + TAIL,
    "a route replaced by a number": '{"route": "/chats/post", "route": 7, "id": "c", ' + TAIL,
}
NO_OBJECT: dict[str, Data] = {
    "a list": "[]",
    "a list of a frame": f"[{HEAD}{TAIL}]",
    "null": "null",
    "true": "true",
    "a number": "7",
    "a huge number": HUGE,
    "a string": '"/chats/post"',
    "a string that is a frame": json.dumps(HEAD + TAIL),
}
UNKNOWN: dict[str, tuple[str, Where]] = {
    "with an event": ('"route": "/nope", "event": "postThread"', ("/nope", "postThread", "c")),
    "with an event of its own": ('"route": "/nope", "event": "nope"', ("/nope", "nope", "c")),
    "with a slash more": ('"route": "/chats/post/", "event": "postThread"', ("/chats/post/", "postThread", "c")),
    "in another case": ('"route": "/Chats/Post", "event": "postThread"', ("/Chats/Post", "postThread", "c")),
    "of letters beyond ASCII": ('"route": "/größe", "event": "x"', ("/größe", "x", "c")),
    "that replaces a known one": ('"route": "/chats/post", "route": "/nope", "event": "x"', ("/nope", "x", "c")),
}


async def test_what_is_not_json_in_utf8_is_answered_on_the_root(house: House, subtests: pytest.Subtests) -> None:
    for name, data in NO_JSON.items():
        with subtests.test(name):
            message = await assert_refused(house, data, ("/", "error", None))
            assert "surrogate" not in message


async def test_what_is_not_an_object_is_answered_on_the_root(house: House, subtests: pytest.Subtests) -> None:
    for name, data in NO_OBJECT.items():
        with subtests.test(name):
            assert await assert_refused(house, data, ("/", "error", None))


async def test_a_frame_without_a_readable_route_is_answered_on_the_root_by_its_id(
    house: House, subtests: pytest.Subtests
) -> None:
    for name, data in NO_ROUTE.items():
        with subtests.test(name):
            assert await assert_refused(house, data, ("/", "error", "c"))


async def test_an_unknown_route_is_answered_on_itself(house: House, subtests: pytest.Subtests) -> None:
    for name, (start, where) in UNKNOWN.items():
        with subtests.test(name):
            assert await assert_refused(house, f'{{{start}, "id": "c", {TAIL}', where)


async def test_a_long_bad_frame_is_not_read_a_second_time(house: House) -> None:
    start = '{"route": 7, "id": "c", "x": "'
    long = start + "x" * (LONGEST_SALVAGED - len(start) - 2) + '"}'
    await assert_refused(house, long, ("/", "error", "c"))
    await assert_refused(house, long + " ", ("/", "error", None))


async def test_of_many_values_not_all_are_looked_at(house: House) -> None:
    for length, found in ((MOST_VISITED // 2, True), (MOST_VISITED, False)):
        values = r'"\ud800"' + ", 1" * length  # looked at from the end
        message = await assert_refused(house, within(f'{{"prompt": [{values}]}}'), ("/chats/post", "postThread", "c"))
        assert ("$.payload.prompt[0]" in message) == found
