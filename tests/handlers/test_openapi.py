"""`/openapi.json`: what there is over HTTP, all of it, as the server answers."""

import json
from typing import Any

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator
from starlette.routing import Route

from handlers.authenticate import STATUS
from handlers.http.asyncapi import WS_PATH
from handlers.http.documents import examples
from handlers.http.openapi import named, openapi_document
from handlers.http.paths import PATHS
from server import create_app
from settings import load_settings
from tests.support.house import SECRET, House
from tests.support.over_http import get, request

DOCUMENT: dict[str, Any] = json.loads(msgspec.json.encode(openapi_document(PATHS, "1.2.3", 4096)))
RESPONSES = [
    (path, method, status, response)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    for status, response in operation["responses"].items()
]


def is_valid(schema: object, value: object) -> bool:
    """Whether a value fits a schema of the document."""
    whole = {"allOf": [schema], "components": DOCUMENT["components"]}
    return Draft202012Validator(whole, validate_formats=True).is_valid(value)


async def test_it_is_served_to_anybody_as_the_same_json_each_time(house: House) -> None:
    status, document, headers = await request(house, b"", method="GET", path="/openapi.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert document["openapi"] == "3.1.0"
    bound = document["paths"]["/api/v1/chats"]["post"]["requestBody"]["description"]
    assert bound == f"At most {house.settings.max_frame_bytes} bytes."
    assert await get(house, "/openapi.json") == (200, document)
    assert (await request(house, b"", method="POST", path="/openapi.json"))[0] == 405


def test_it_has_each_path_and_method_of_the_application_and_no_other() -> None:
    routes = [
        route for route in create_app(load_settings({}), SECRET).routes if isinstance(route, Route) and route.include_in_schema
    ]
    served = {
        (route.path.replace(":uuid", ""), method.lower())
        for route in routes
        for method in (route.methods or ())
        if method != "HEAD"
    }
    assert served == {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert WS_PATH not in DOCUMENT["paths"]


def test_a_post_can_end_in_each_way_and_all_of_the_api_wants_a_token() -> None:
    post = DOCUMENT["paths"]["/api/v1/chats"]["post"]
    assert set(post["responses"]) == {"200", *map(str, STATUS.values())}
    assert post["security"] == [{"bearer": []}, {"query": []}]
    secured = {path for path, methods in DOCUMENT["paths"].items() if all(each["security"] for each in methods.values())}
    assert secured == {path for path in DOCUMENT["paths"] if path.startswith("/api/v1/")}


@pytest.mark.parametrize(("path", "method", "status", "response"), RESPONSES)
def test_what_was_recorded_fits_the_schema(path: str, method: str, status: str, response: dict[str, Any]) -> None:
    media, content = next(iter(response["content"].items()))
    recorded = examples()["responses"].get(named(path, method.upper()), {}).get(status, [])
    assert [example["value"] for example in content.get("examples", {}).values()] == recorded
    assert all(is_valid(content["schema"], answer) for answer in recorded)
    if path in ("/metrics", "/asyncapi.json", "/openapi.json"):
        assert media == ("text/plain" if path == "/metrics" else "application/json")
    elif (status == "200" and path != "/api/v1/events") or (path, method) == ("/api/v1/chats", "post"):
        assert recorded


def test_what_may_be_streamed_says_so() -> None:
    streamed = {(path, method) for path, method, _, response in RESPONSES if "text/event-stream" in response["content"]}
    assert streamed == {("/api/v1/chats", "post"), ("/api/v1/events", "get")}
    assert next(iter(DOCUMENT["paths"]["/api/v1/chats"]["post"]["responses"]["200"]["content"])) == "application/json"
    assert {each["name"] for each in DOCUMENT["paths"]["/api/v1/chats"]["post"]["parameters"]} == {"messages"}


def test_the_posts_that_were_recorded_fit_the_schema() -> None:
    content = DOCUMENT["paths"]["/api/v1/chats"]["post"]["requestBody"]["content"]["application/json"]
    recorded = [example["value"] for example in content["examples"].values()]
    assert len(recorded) == 2
    assert all(is_valid(content["schema"], payload) for payload in recorded)
    assert not is_valid(content["schema"], {"prompt": "\0"})
    assert not is_valid(content["schema"], {"asset_type": "chat"})


async def test_each_path_answers_what_the_document_says(house: House) -> None:
    for path, methods in DOCUMENT["paths"].items():
        if "get" in methods and "{id}" not in path and path != "/api/v1/events":  # which does not end
            status, body, headers = await request(house, b"", house.token(), method="GET", path=path)
            ((media, content),) = methods["get"]["responses"][str(status)]["content"].items()
            assert headers["content-type"].split(";")[0] == media
            assert is_valid(content["schema"], body.decode() if media == "text/plain" else body)
