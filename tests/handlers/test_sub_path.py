"""Below a path of its own: whether the proxy passes that path on or strips it, each address leads to the same."""

from dataclasses import replace

import pytest
from websockets.exceptions import InvalidStatus

from settings import Settings
from tests.support.house import House, open_house
from tests.support.over_http import get, request

ROOT = "/team/chat"
WHOLE_OR_STRIPPED = pytest.mark.parametrize("before", [ROOT, ""], ids=["whole", "stripped"])


@WHOLE_OR_STRIPPED
async def test_all_that_there_is_is_there(settings: Settings, before: str) -> None:
    async with open_house(replace(settings, root_path=ROOT)) as house:
        for path, method, status in (
            ("/", "GET", 200),
            ("/threadcast.js", "GET", 200),
            ("/healthz", "GET", 200),
            ("/api/v1/chats", "GET", 200),
            ("/api/v1/chats", "PUT", 405),
            ("/api/v1/no-such-path", "GET", 404),
            ("/no-such-path", "GET", 404),
        ):
            assert (await request(house, b"", house.token(), method=method, path=before + path))[0] == status, path
        url = house.url.replace("/api/v1/ws", f"{before}/api/v1/ws")
        for end in ("", "/"):
            async with replace(house, url=url + end).connect() as client:
                assert (await client.post(prompt="Hi"))[-1]["event"] == "complete"
        for other in (before, f"{before}/api/v1/other", f"{ROOT}{before}x/api/v1/ws"):
            with pytest.raises(InvalidStatus, match="404"):
                async with replace(house, url=house.url.replace("/api/v1/ws", other)).connect():
                    pass


async def test_the_path_itself_leads_to_the_page_and_takes_no_query_along(settings: Settings) -> None:
    async with open_house(replace(settings, root_path=ROOT)) as house:
        status, _, headers = await request(house, b"", method="GET", path=f"{ROOT}?authentication=secret")
        assert (status, headers["location"]) == (308, f"{ROOT}/")
        assert (await get(house, f"{ROOT}x/healthz"))[0] == 404


@WHOLE_OR_STRIPPED
async def test_the_documents_say_where_the_server_is(settings: Settings, before: str) -> None:
    async with open_house(replace(settings, root_path=ROOT)) as house:
        assert (await get(house, f"{before}/openapi.json"))[1]["servers"] == [{"url": ROOT}]
        server = (await get(house, f"{before}/asyncapi.json"))[1]["servers"]["threadcast"]
        assert (server["host"], server["pathname"]) == ("{host}", ROOT)


@WHOLE_OR_STRIPPED
async def test_pages_of_other_origins_may_call_the_api_there(settings: Settings, before: str) -> None:
    async with open_house(replace(settings, root_path=ROOT, cors_origins=("https://app.example",))) as house:
        for path, allowed in (("/api/v1/chats", "https://app.example"), ("/healthz", None)):
            headers = (
                await request(house, b"", house.token(), method="GET", path=before + path, origin="https://app.example")
            )[2]
            assert headers.get("access-control-allow-origin") == allowed


async def test_without_the_setting_there_is_no_path_before_the_servers_own(house: House) -> None:
    assert (await get(house, f"{ROOT}/healthz"))[0] == 404
    assert (await get(house, "/openapi.json"))[1]["servers"] == [{"url": "/"}]
    assert "pathname" not in (await get(house, "/asyncapi.json"))[1]["servers"]["threadcast"]
