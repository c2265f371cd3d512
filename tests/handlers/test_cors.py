"""Pages of other origins: those that the settings name may call the API, and no others."""

from dataclasses import replace
from typing import Any

import pytest

from settings import Settings, SettingsError, load_settings
from tests.support.house import House, open_house
from tests.support.over_http import request

HERE, ELSEWHERE = "https://app.example", "https://evil.example"


async def headers(house: House, method: str, path: str, origin: str = HERE, **more: str) -> tuple[int, dict[str, str]]:
    """The status and the headers of what a page of that origin asks."""
    status, _, said = await request(house, b"", house.token(), method=method, path=path, origin=origin, **more)
    return status, said


async def preflight(house: House, path: str, method: str, origin: str = HERE) -> tuple[int, dict[str, str]]:
    asked = {"access_control_request_method": method, "access_control_request_headers": "authorization,content-type"}
    return await headers(house, "OPTIONS", path, origin, **asked)


@pytest.mark.parametrize(("origins", "allowed"), [((HERE, "http://localhost:5173"), HERE), (("*",), "*")])
async def test_a_page_of_a_named_origin_may_call_each_path_of_the_api(
    settings: Settings, origins: tuple[str, ...], allowed: str
) -> None:
    async with open_house(replace(settings, cors_origins=origins)) as house:
        for path, method in (
            ("/api/v1/chats", "DELETE"),
            ("/api/v1/chats/x", "PUT"),
            ("/api/v1/messages/x", "PUT"),
            ("/api/v1/no-such-path", "GET"),
        ):
            status, said = await preflight(house, path, method)
            assert (status, said["access-control-allow-origin"]) == (200, allowed)
            assert method in said["access-control-allow-methods"]
            assert "authorization" in said["access-control-allow-headers"].lower()
            assert "access-control-allow-credentials" not in said
        status, said = await headers(house, "GET", "/api/v1/chats")
        assert (status, said["access-control-allow-origin"]) == (200, allowed)
        assert said["access-control-expose-headers"] == "Retry-After"
        status, said = await headers(house, "GET", "/api/v1/chats/x")
        assert (status, said["access-control-allow-origin"]) == (404, allowed)
        assert "access-control-allow-origin" not in (await headers(house, "GET", "/readyz"))[1]
        async with house.connect(origin=HERE) as client:
            assert (await client.post(prompt="Hi"))[-1]["event"] == "complete"


async def test_a_page_of_another_origin_may_not(settings: Settings) -> None:
    async with open_house(replace(settings, cors_origins=(HERE,))) as house:
        assert (await preflight(house, "/api/v1/chats", "GET", ELSEWHERE))[0] == 400
        assert "access-control-allow-origin" not in (await headers(house, "GET", "/api/v1/chats", ELSEWHERE))[1]


async def test_without_the_setting_nobody_is_told_anything(house: House) -> None:
    assert (await preflight(house, "/api/v1/chats", "GET"))[0] == 405
    status, said = await headers(house, "GET", "/api/v1/chats")
    assert (status, [name for name in said if name.startswith("access-control")]) == (200, [])


@pytest.mark.parametrize(
    ("value", "origins"),
    [("", ()), ("*", ("*",)), ("https://a.example, http://b:81", ("https://a.example", "http://b:81"))],
)
def test_origins_are_read(value: str, origins: tuple[str, ...]) -> None:
    assert load_settings({"THREADCAST_CORS_ORIGINS": value}).cors_origins == origins


@pytest.mark.parametrize("value", ["x", "https://a.example/", "https://a.example/x", "ftp://a", "*,https://a", "https://*.a"])
def test_what_is_no_origin_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="THREADCAST_CORS_ORIGINS must be"):
        load_settings({"THREADCAST_CORS_ORIGINS": value})
