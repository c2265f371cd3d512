"""`/asyncapi.json`: all that is said on the socket and no more, by the structs and tables that the server itself runs on."""

import json
import re
from collections.abc import Iterable
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import meta

from backends.metrics import CLOSE_CODES
from handlers.context import KINDS
from handlers.http.asyncapi import answers, requests
from handlers.receive import ENVELOPE
from handlers.routes import ROUTES
from schemas.closes import CLOSES
from schemas.errors import MEANINGS, WsErrorCode
from schemas.events import TOLD, WS_EVENTS, WsEvent
from schemas.frames import WsRoutes
from tests.support.documents import PEERS_OWN, PROTOCOL, SCHEMAS, envelope
from tests.support.fitting import DOCUMENT, MESSAGES, validator
from tests.support.house import House
from tests.support.over_http import get, request

CHANNEL = DOCUMENT["channels"]["socket"]


def said(names: Iterable[str]) -> set[tuple[str, str]]:
    """The constant routes and events of these messages."""
    return {(envelope(name)["route"]["const"], envelope(name)["event"]["const"]) for name in names}


async def test_it_is_served_to_anybody_as_the_same_json_each_time(house: House) -> None:
    status, document, headers = await request(house, b"", method="GET", path="/asyncapi.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert document["asyncapi"] == "3.0.0"
    assert f"at most {house.settings.max_frame_bytes} bytes" in document["channels"]["socket"]["description"]
    assert await get(house, "/asyncapi.json") == (200, document)
    assert (await request(house, b"", method="POST", path="/asyncapi.json"))[0] == 405


def test_what_clients_send_is_the_table_of_routes() -> None:
    operations = [each for each in DOCUMENT["operations"].values() if each["action"] == "receive"]
    assert {it["$ref"].rpartition("/")[2] for each in operations for it in each["messages"]} == set(requests())
    for name in requests():
        route, event = envelope(name)["route"]["const"], envelope(name)["event"]["anyOf"]
        assert event == [{"const": ROUTES[route].event.value}, {"type": "null"}]
    assert {envelope(name)["route"]["const"] for name in requests()} == set(ROUTES)


def test_what_the_server_sends_is_each_event_once_and_an_error_for_each_route() -> None:
    errors = {name for name in answers() if "$ref" in envelope(name)["error"]}
    events = said(set(answers()) - errors)
    post, stream = WsRoutes.CHATS_POST.value, WsRoutes.STREAM.value
    assert {event for route, event in events if route == post} == {event.value for event in WS_EVENTS.values()}
    assert {event for route, event in events if route == stream} == {"resumed", "goingAway", "heartbeat"}
    assert {"request_id", "offset"} & {*envelope("resumed"), *envelope("goingAway"), *envelope("heartbeat")} == set()
    assert {"request_id", "offset"} <= {*envelope("complete")} & {*envelope("postThreadError")} & {*envelope("error")}
    assert events >= {("/chats/get", "getChat"), ("/chats/list", "getChatsList")}
    assert {event for _, event in events} == {event.value for event in TOLD}
    assert said(errors - {"error"}) == {(path, route.event.value) for path, route in ROUTES.items()}
    assert {event for _, event in events | said(errors - {"error"})} | {"error"} == {event.value for event in WsEvent}


def test_each_message_is_sent_or_received_and_each_answer_stands_at_its_route() -> None:
    used = {it["$ref"].rpartition("/")[2] for each in DOCUMENT["operations"].values() for it in each["messages"]}
    assert used == set(MESSAGES) == set(CHANNEL["messages"])
    for path, route in ROUTES.items():
        operation = DOCUMENT["operations"][f"receive{route.event.value[0].upper()}{route.event.value[1:]}Request"]
        replies = [it["$ref"].rpartition("/")[2] for it in operation["reply"]["messages"]]
        assert replies == [*(event.value for event in route.answers), f"{route.event.value}Error"], path


def test_the_page_on_the_protocol_has_the_same_routes_events_and_codes() -> None:
    rows = set(re.findall(r"^\| `(/[\w/]+)` \| `(\w+)` \|", PROTOCOL, re.MULTILINE))
    assert rows == {(path, route.event.value) for path, route in ROUTES.items()}
    assert [event.value for event in TOLD if f"`{event.value}`" not in PROTOCOL and f'"{event.value}"' not in PROTOCOL] == []
    closes = dict(re.findall(r"^\| (\d{4}) \| .* \| (.*) \|$", PROTOCOL, re.MULTILINE))
    assert closes == {str(code): close.reconnect for code, close in CLOSES.items()}
    assert set(CLOSES) == set(CLOSE_CODES) - set(PEERS_OWN)
    assert set(MEANINGS) == set(WsErrorCode)


def test_the_channel_says_how_connections_end_and_how_frames_may_be() -> None:
    for code, close in CLOSES.items():
        assert f"| {code} | {close.why} | {close.reconnect} |" in CHANNEL["description"]
    for error, meaning in MEANINGS.items():
        assert f"| `{error.value}` | {meaning} |" in CHANNEL["description"]
    assert "4096 bytes" in CHANNEL["description"]
    assert set(CHANNEL["bindings"]["ws"]["query"]["properties"]) == {"authentication", "since", "messages", "refuse"}


def test_the_document_has_the_version_of_the_program() -> None:
    assert DOCUMENT["info"]["version"] == "1.2.3"


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one_of_draft_7(name: str) -> None:
    meta.validate({"$schema": "http://json-schema.org/draft-07/schema#", **SCHEMAS[name]})
    assert "prefixItems" not in json.dumps(SCHEMAS[name])


def test_pairs_are_pairs() -> None:
    content = validator({"$ref": "#/components/schemas/FileContent"})
    good = {"text": None, "text_chunk": None}
    assert content.is_valid({**good, "modified": [[1, 2]]})
    assert not content.is_valid({**good, "modified": [[1, 2, 3]]})
    assert not content.is_valid({**good, "modified": [[1, "2"]]})


def test_the_names_of_asset_types_are_those_of_the_table() -> None:
    types = SCHEMAS["ChatCreateNewChat"]["properties"]["asset_type"]["anyOf"][0]["enum"]
    assert types == sorted(name for kind in KINDS.values() for name in kind.wire_names)
    assert "metric_file" in types


# Not a number such as 1.0, which to JSON Schema is whole, nor an id without dashes, which the server takes and nobody sends.
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 102),
    st.integers(999_999, 1_000_001),
    st.floats(0.1, 0.9),
    st.sampled_from([str(uuid4()), "", " ", "x", "a\0b", "\0", "metric", "metric_file", "dashboard", "chat", "Metric", "é😀"]),
    st.sampled_from(["x" * 32_000, "x" * 32_001, "😀" * 32_000]),
    st.just([]),
    st.just({}),
)
FIELDS = sorted({field for route in ROUTES.values() for field in route.payload.type.__struct_fields__} | {"dataset_id"})


@pytest.mark.parametrize("path", ROUTES)
@given(payload=st.one_of(VALUES, st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3)))
def test_a_payload_fits_its_schema_exactly_when_the_server_reads_it(path: str, payload: object) -> None:
    try:
        ROUTES[path].payload.decode(json.dumps(payload).encode())
        is_read = True
    except msgspec.ValidationError:
        is_read = False
    schema = envelope(f"{ROUTES[path].event.value}Request")["payload"]
    assert validator(schema).is_valid(payload) == is_read


@given(id=st.one_of(VALUES, st.text(min_size=60, max_size=68)), more=st.dictionaries(st.sampled_from(["x", "sent_by"]), VALUES))
def test_an_envelope_fits_its_schema_exactly_when_the_server_reads_it(id: object, more: dict[str, object]) -> None:
    frame = {"route": "/chats/get", "payload": {"id": str(uuid4())}, "id": id, **more}
    try:
        ENVELOPE.decode(json.dumps(frame))
        is_read = True
    except msgspec.ValidationError:
        is_read = False
    assert validator(MESSAGES["getChatRequest"]["payload"]).is_valid(frame) == is_read
