"""The page's files: served as they are, under a policy that lets them do nothing but talk to this server."""

import re

import pytest
from starlette.testclient import TestClient

from handlers.http.console import FILES
from server import create_app
from settings import load_settings
from tests.support.house import SECRET

TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
PATHS = {"/": ("index.html", "text/html; charset=utf-8")} | {
    f"/{file.name}": (file.name, TYPES[file.suffix]) for file in FILES.iterdir() if file.suffix in TYPES
}


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app(load_settings({}), SECRET))  # without its lifespan: the files need nothing of it


@pytest.mark.parametrize("path", PATHS)
def test_a_file_is_served_as_it_is_under_a_strict_policy(client: TestClient, path: str) -> None:
    name, media_type = PATHS[path]
    response = client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    assert response.content == (FILES / name).read_bytes()
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == policy["trusted-types"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in str(policy)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_all_files_are_served_and_none_is_from_elsewhere(client: TestClient) -> None:
    assert {name for name, _ in PATHS.values()} == {file.name for file in FILES.iterdir()}
    html = (FILES / "index.html").read_text()
    styles = {file.name for file in FILES.glob("*.css")}
    assert set(re.findall(r'(?:src|href)="([^"#d][^"]*)"', html)) == {"theme.js", "console.js", "./"} | styles
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src)", html)
    everything = "".join((FILES / name).read_text() for name, _ in PATHS.values())
    assert set(re.findall(r"https?://[\w.]+", everything)) == {"http://www.w3.org"}  # a name, not a place


def test_the_script_makes_no_markup_of_text() -> None:
    script = "".join(file.read_text() for file in FILES.glob("*.js"))
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|createContextualFragment", script
    )


def test_pages_of_other_origins_may_import_the_client_and_nothing_else(client: TestClient) -> None:
    imported = {path for path in PATHS if client.get(path).headers.get("access-control-allow-origin") == "*"}
    assert imported == {"/threadcast.js", "/fold.js", "/line.js"}
    for path in PATHS:
        site = "cross-origin" if path in imported else "same-origin"
        assert client.get(path).headers["cross-origin-resource-policy"] == site


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_taken(client: TestClient, method: str) -> None:
    assert client.request(method, "/").status_code == 405


def test_pages_of_named_origins_may_have_the_page_in_a_frame() -> None:
    named = load_settings({"THREADCAST_FRAME_ANCESTORS": "https://app.example,http://localhost:1"})
    for path in PATHS:
        headers = TestClient(create_app(named, SECRET)).get(path).headers
        assert "frame-ancestors https://app.example http://localhost:1;" in headers["content-security-policy"]
        assert "x-frame-options" not in headers


def test_the_page_has_the_address_where_people_sign_in_and_nothing_but_that_is_changed(client: TestClient) -> None:
    url = "https://app.example/login?a=1&b='\"<>"
    given = TestClient(create_app(load_settings({"THREADCAST_LOGIN_URL": url}), SECRET))
    inside = "https://app.example/login?a=1&amp;b=&#x27;&quot;&lt;&gt;"
    expected = client.get("/").text.replace('name="login-url" content=""', f'name="login-url" content="{inside}"')
    assert given.get("/").text == expected != client.get("/").text
    assert given.get("/").headers == client.get("/").headers | {"content-length": str(len(expected.encode()))}
