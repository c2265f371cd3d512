"""The requests that the original web client sends, from a page of another origin: each gets what the client's types say."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from schemas.chats import ChatListItem, ChatWithMessages, DeletedChats
from settings import Settings
from tests.support.house import House, open_house
from tests.support.over_http import request
from tests.support.world import ALICE, BOB

ORIGIN = "https://app.example"
CHATS = "/api/v1/chats"
# What a browser asks with before a page of another origin may send JSON and a token.
ASKED = {"access_control_request_headers": "authorization,content-type"}


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with open_house(replace(settings, cors_origins=(ORIGIN,))) as opened:
        yield opened


async def call(
    house: House, method: str, path: str, body: object = None, query: str = "", status: int = 200, user: UUID = ALICE
) -> Any:
    """Ask as a page of another origin does: the preflight first, then the request. The answer's body."""
    headers = {"origin": ORIGIN, "accept": "application/json, text/plain, */*"}
    asking = {"access_control_request_method": method, **ASKED}
    allowed, _, said = await request(house, b"", None, query, "OPTIONS", path, **headers, **asking)
    assert (allowed, said["access-control-allow-origin"]) == (200, ORIGIN)
    assert method in said["access-control-allow-methods"]
    assert {"authorization", "content-type"} <= set(said["access-control-allow-headers"].lower().replace(" ", "").split(","))
    data = b"" if body is None else msgspec.json.encode(body)
    found, answer, said = await request(
        house, data, house.token(user), query, method, path, **headers, content_type="application/json"
    )
    assert (found, said["access-control-allow-origin"]) == (status, ORIGIN), answer
    assert "origin" in said["vary"].lower()
    assert "access-control-allow-credentials" not in said
    return answer


def is_a(kind: Any, body: Any) -> Any:
    """The body as one of that kind, which has all of its keys and no others."""
    found = msgspec.convert(body, kind, strict=True)
    assert msgspec.to_builtins(found, str_keys=True) == body
    return found


async def post(house: House, prompt: str, **more: object) -> ChatWithMessages:
    chat: ChatWithMessages = is_a(ChatWithMessages, await call(house, "POST", CHATS, {"prompt": prompt, **more}))
    return chat


async def test_the_list_has_all_that_a_page_of_3500_holds_newest_first(house: House) -> None:
    assert await call(house, "GET", CHATS, query="?page_token=0&page_size=3500") == []
    chats = [await post(house, f"Chat {number}") for number in range(30)]  # more than the socket's default page
    items = await call(house, "GET", CHATS, query="?page_token=0&page_size=3500")
    assert [item.id for item in is_a(list[ChatListItem], items)] == [chat.id for chat in reversed(chats)]
    assert await call(house, "GET", CHATS, query="?page_token=1&page_size=3500") == []


async def test_a_chat_is_got_whole(house: House) -> None:
    chat = await post(house, "What is this?")
    assert is_a(ChatWithMessages, await call(house, "GET", f"{CHATS}/{chat.id}")) == chat
    assert chat.message_ids == list(chat.messages)
    assert chat.messages[chat.message_ids[0]].is_completed


async def test_chats_are_deleted_by_a_bare_list_of_their_ids(house: House) -> None:
    first, second, kept = [await post(house, "Chat") for _ in range(3)]
    gone = is_a(DeletedChats, await call(house, "DELETE", CHATS, [first.id, second.id]))
    assert gone.ids == [first.id, second.id]
    items = await call(house, "GET", CHATS, query="?page_token=0&page_size=3500")
    assert [item["id"] for item in items] == [str(kept.id)]
    refused = await call(house, "GET", f"{CHATS}/{first.id}", status=404)
    assert refused["code"] == "NOT_FOUND"


@pytest.mark.parametrize("feedback", ["negative", "positive", None])
async def test_feedback_on_a_message_answers_with_its_chat(house: House, feedback: str | None) -> None:
    chat = await post(house, "What is this?")
    (id,) = chat.message_ids
    await call(house, "PUT", f"/api/v1/messages/{id}", {"feedback": "positive"})
    changed = is_a(ChatWithMessages, await call(house, "PUT", f"/api/v1/messages/{id}", {"feedback": feedback}))
    assert (changed.id, changed.messages[id].feedback) == (chat.id, feedback)
    assert is_a(ChatWithMessages, await call(house, "GET", f"{CHATS}/{chat.id}")) == changed


async def test_a_chat_is_duplicated_whole_or_up_to_a_message(house: House) -> None:
    chat = await post(house, "One")
    first = chat.message_ids[0]
    chat = await post(house, "Two", chat_id=chat.id)
    for body, prompts in (
        ({"id": chat.id}, ["One", "Two"]),
        ({"id": chat.id, "message_id": None}, ["One", "Two"]),
        ({"id": chat.id, "message_id": first}, ["One"]),
    ):
        copy = is_a(ChatWithMessages, await call(house, "POST", f"{CHATS}/duplicate", body))
        asked = [copy.messages[id].request_message for id in copy.message_ids]
        assert [each.request for each in asked if each] == prompts
        assert copy.id != chat.id
        assert not set(copy.message_ids) & set(chat.message_ids)


async def test_a_chat_is_marked_as_a_favourite(house: House) -> None:
    chat = await post(house, "What is this?")
    for is_favorited in (True, False):
        body = await call(house, "PUT", f"{CHATS}/{chat.id}", {"is_favorited": is_favorited})
        assert is_a(ChatWithMessages, body).is_favorited is is_favorited
        (item,) = await call(house, "GET", CHATS, query="?page_token=0&page_size=3500")
        assert item["is_favorited"] is is_favorited
        assert item["title"] == chat.title


async def test_what_is_not_there_or_another_s_is_not_found_and_the_page_may_read_that(house: House) -> None:
    chat = await post(house, "What is this?")
    for id in (chat.id, uuid4()):
        for method, path, body in (
            ("GET", f"{CHATS}/{id}", None),
            ("PUT", f"{CHATS}/{id}", {"is_favorited": True}),
            ("DELETE", CHATS, [id]),
            ("POST", f"{CHATS}/duplicate", {"id": id}),
            ("PUT", f"/api/v1/messages/{chat.message_ids[0] if id == chat.id else id}", {"feedback": "negative"}),
        ):
            refused = await call(house, method, path, body, status=404, user=BOB)
            assert refused["code"] == "NOT_FOUND", (method, path)


async def test_a_page_of_another_origin_is_told_nothing(house: House) -> None:
    headers = {"origin": "https://evil.example", "access_control_request_method": "GET", **ASKED}
    status, _, said = await request(house, b"", None, "", "OPTIONS", CHATS, **headers)
    assert (status, "access-control-allow-origin" in said) == (400, False)
    _, _, said = await request(house, b"", house.token(), "", "GET", CHATS, origin="https://evil.example")
    assert "access-control-allow-origin" not in said
