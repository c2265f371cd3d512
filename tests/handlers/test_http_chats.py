"""The chat family over HTTP, as the first web client asks for it: what its types say, and told to the sockets, too."""

import json
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.house import BOTH, House, open_house
from tests.support.modelled import message_of
from tests.support.over_http import request
from tests.support.server import BAD_TOKENS
from tests.support.world import BOB, MISSING, REVENUE

ENGINES = BOTH
CHATS = "/api/v1/chats"


async def ask(
    house: House, method: str, path: str, payload: object = None, token: str = "", query: str = ""
) -> tuple[int, Any]:
    body = b"" if payload is None else json.dumps(payload).encode()
    status, answer, _ = await request(house, body, token or house.token(), query, method, path)
    return status, answer


async def good(house: House, method: str, path: str, payload: object = None, query: str = "") -> Any:
    status, answer = await ask(house, method, path, payload, query=query)
    assert status == 200, answer
    return answer


async def chat_of(house: House, **more: Any) -> dict[str, Any]:
    chat: dict[str, Any] = await good(house, "POST", CHATS, {"prompt": "Hi", **more})
    return chat


async def test_the_web_clients_requests_are_answered_and_told_to_the_sockets(house: House) -> None:
    first, second = await chat_of(house, asset_id=str(REVENUE), asset_type="metric"), await chat_of(house)
    async with house.connect() as socket:
        listed = await good(house, "GET", CHATS, query="?page_token=0&page_size=3500")
        assert [item["id"] for item in listed] == [second["id"], first["id"]]
        assert (listed[1]["latest_file_id"], listed[0]["latest_file_id"]) == (str(REVENUE), None)
        assert await good(house, "GET", f"{CHATS}/{first['id']}") == first

        named = await good(house, "PUT", f"{CHATS}/{first['id']}", {"title": "Sales", "is_favorited": True})
        assert (named["title"], named["is_favorited"], named["messages"]) == ("Sales", True, first["messages"])
        told = await socket.frame()
        assert (told["event"], told["send_method"], told["payload"]["title"]) == ("updateChat", "All", "Sales")

        (id,) = first["message_ids"]
        rated = await good(house, "PUT", f"/api/v1/messages/{id}", {"feedback": "negative"})
        assert rated["messages"][id]["feedback"] == "negative"
        assert (await socket.frame())["payload"] == {"chat_id": first["id"], "message_id": id, "feedback": "negative"}

        whole = await good(house, "POST", f"{CHATS}/duplicate", {"id": first["id"]})
        part = await good(house, "POST", f"{CHATS}/duplicate", {"id": first["id"], "message_id": id})
        assert [(await socket.frame())["payload"] for _ in range(2)] == [whole, part]
        assert await good(house, "GET", f"{CHATS}/{part['id']}") == part

        assert await good(house, "DELETE", CHATS, [whole["id"], part["id"]]) == {"ids": [whole["id"], part["id"]]}
        assert (await socket.frame())["event"] == "deleteChats"
        assert await good(house, "DELETE", CHATS, {"ids": [second["id"]]}) == {"ids": [second["id"]]}
        assert [item["id"] for item in await good(house, "GET", CHATS)] == [first["id"]]


async def test_a_stop_ends_what_is_answered(settings: Settings) -> None:
    async with open_house(settings, HeldAgent()) as house, house.connect() as socket:
        await socket.send({"prompt": "one"})
        id = (await socket.until("generatingResponseMessage"))[-1]["payload"]["chat_id"]
        got = await good(house, "GET", f"{CHATS}/{id}")
        (message,) = got["messages"].values()
        assert [part["message"] for part in message["response_messages"].values()] == ["one begins"]
        assert await good(house, "POST", f"{CHATS}/{id}/stop") == {"id": id}
        assert message_of([(await socket.until("complete"))[-1]])["finish_reason"] == "stopped"
        assert (await ask(house, "POST", f"{CHATS}/{id}/stop"))[0] == 404


async def test_what_is_not_there_and_what_is_not_ones_own_are_one_404(house: House) -> None:
    chat = await chat_of(house)
    bob = house.token(BOB)
    for method, path, payload in (
        ("GET", f"{CHATS}/{chat['id']}", None),
        ("PUT", f"{CHATS}/{chat['id']}", {"title": "Mine"}),
        ("POST", f"{CHATS}/{chat['id']}/stop", None),
        ("PUT", f"/api/v1/messages/{chat['message_ids'][0]}", {"feedback": None}),
        ("POST", f"{CHATS}/duplicate", {"id": chat["id"]}),
        ("DELETE", CHATS, [chat["id"]]),
    ):
        theirs = await ask(house, method, path, payload, bob)
        missing = json.loads(
            json.dumps([path, payload]).replace(chat["id"], str(uuid4())).replace(chat["message_ids"][0], str(uuid4()))
        )
        assert theirs == (404, {"code": "NOT_FOUND", "message": "not found"})
        assert await ask(house, method, *missing) == theirs
    assert await good(house, "GET", f"{CHATS}/{chat['id']}") == chat


@pytest.mark.parametrize(
    ("method", "path", "payload", "query", "says"),
    [
        ("GET", CHATS, None, "?page_size=5001", "Expected `int` <= 5000 - at `$.page_size`"),
        ("GET", CHATS, None, "?page_size=0", "at `$.page_size`"),
        ("GET", CHATS, None, "?page_token=x", "at `$.page_token`"),
        ("GET", "/api/v1/events", None, "?messages=1e-9", "Invalid enum value '1e-9' - at `$.messages`"),
        ("POST", CHATS, {"prompt": "Hi"}, "?messages=all", "Invalid enum value 'all' - at `$.messages`"),
        ("DELETE", CHATS, [], "", "Expected `array` of length >= 1"),
        ("DELETE", CHATS, ["x"], "", "Invalid UUID - at `$[0]`"),
        ("DELETE", CHATS, {"ids": "x"}, "", "at `$.ids`"),
        ("DELETE", CHATS, 7, "", "at `$`"),
        ("POST", f"{CHATS}/duplicate", {}, "", "missing required field `id`"),
        ("PUT", f"{CHATS}/{MISSING}", {"title": 7}, "", "at `$.title`"),
        ("PUT", f"{CHATS}/<one>", {}, "", "title or is_favorited is required"),
        ("PUT", f"/api/v1/messages/{MISSING}", {"feedback": "good"}, "", "at `$.feedback`"),
        ("PUT", f"/api/v1/messages/{MISSING}", {}, "", "missing required field `feedback`"),
    ],
)
async def test_what_is_no_request_says_which_field(
    house: House, method: str, path: str, payload: object, query: str, says: str
) -> None:
    path = path.replace("<one>", (await chat_of(house))["id"]) if "<one>" in path else path
    status, error = await ask(house, method, path, payload, query=query)
    assert (status, error["code"]) == (400, "BAD_REQUEST")
    assert says in error["message"]


async def test_an_id_that_is_none_is_of_nothing_that_there_is(house: House) -> None:
    assert await ask(house, "GET", f"{CHATS}/x") == (404, {"code": "NOT_FOUND", "message": "not found"})
    assert (await ask(house, "PUT", f"{CHATS}/duplicate", {"title": "x"}))[0] in (404, 405)
    assert (await ask(house, "PATCH", f"{CHATS}/{uuid4()}"))[0] == 405


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_without_a_good_token_nothing_is_said(house: House, token: str) -> None:
    id = uuid4()
    for method, path in (("GET", CHATS), ("GET", f"{CHATS}/{id}"), ("DELETE", CHATS), ("PUT", f"/api/v1/messages/{id}")):
        status, error, headers = await request(house, b"", token, method=method, path=path)
        assert (status, error["code"], headers["www-authenticate"]) == (401, "UNAUTHORIZED", "Bearer")


async def test_a_query_finds_chats_over_http_as_on_a_socket(house: House) -> None:
    asked, other = await chat_of(house, prompt="How many tickets were sold in Zürich?"), await chat_of(house, prompt="Hi")
    async with house.connect() as socket:
        for query, found in (("zurich tick", [asked]), ("tickets nowhere", []), (" ", [other, asked]), ("hi", [other])):
            listed = await good(house, "GET", CHATS, query=f"?query={quote(query)}")
            assert [item["id"] for item in listed] == [chat["id"] for chat in found]
            await socket.send({"query": query}, "/chats/list")
            assert (await socket.until("getChatsList"))[-1]["payload"] == listed
        await socket.send({"query": None, "page_size": 1, "page_token": 1}, "/chats/list")
        assert [item["id"] for item in (await socket.until("getChatsList"))[-1]["payload"]] == [asked["id"]]
    assert await good(house, "GET", CHATS, query="?query=sold&page_size=1&page_token=1") == []
    assert (await ask(house, "GET", CHATS, token=house.token(BOB), query="?query=zurich")) == (200, [])


async def test_a_query_that_is_too_long_is_named(house: House) -> None:
    async with house.connect() as socket:
        for query, said in (("x" * 201, "length <= 200"), ("a\0b", "matching regex")):
            status, refused = await ask(house, "GET", CHATS, query=f"?query={quote(query)}")
            assert (status, refused["code"]) == (400, "BAD_REQUEST")
            assert said in refused["message"]
            assert "query" in refused["message"]
            await socket.send({"query": query}, "/chats/list")
            error = (await socket.until("getChatsList"))[-1]["error"]
            assert error["code"] == "BAD_REQUEST"
            assert "query" in error["message"]
        await socket.send({"query": "\U0001f389" * 200}, "/chats/list")
        assert (await socket.until("getChatsList"))[-1]["payload"] == []
