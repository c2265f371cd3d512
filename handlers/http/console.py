"""The page at `/`, which may do what any client may and nothing else, and the JavaScript client: files as they are."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]

FILES = Path(__file__).parent / "static"
MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
CLIENT = ("threadcast.js", "fold.js", "line.js")  # of clients/js
PAGE = "index.html"

# Nothing from other servers, nothing inline, no text turned into markup; `data:` is for the icon.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors {}; require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE_HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",  # so that a new version is seen at once
}
# Pages of any origin may import the client: it has no secret, and what it may do there is up to the API.
CLIENT_HEADERS = {"cross-origin-resource-policy": "cross-origin", "access-control-allow-origin": "*"}
LOGIN_URL = '<meta name="login-url" content="{}">'  # stands in the page, empty


def pages(frame_ancestors: Collection[str], login_url: str | None) -> dict[str, Endpoint]:
    """The endpoints that serve the files of the page, by path.

    Pages of the origins `frame_ancestors` may have the page in a frame. The page finds `login_url` in itself: it needs it
    before anything else, and a request for it could fail.
    """
    policy = {"content-security-policy": POLICY.format(" ".join(frame_ancestors) or "'none'")}
    made = {}
    for file in FILES.iterdir():
        content = file.read_bytes()
        if file.name == PAGE and login_url:
            content = content.replace(LOGIN_URL.format("").encode(), LOGIN_URL.format(escape(login_url)).encode())
        headers = PAGE_HEADERS | policy | (CLIENT_HEADERS if file.name in CLIENT else {})
        made["/" if file.name == PAGE else f"/{file.name}"] = _page(content, MEDIA[file.suffix], headers)
    return made


def _page(content: bytes, media_type: str, headers: Mapping[str, str]) -> Endpoint:
    async def answer(request: Request) -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return answer
