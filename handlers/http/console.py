"""The console at `/`, which may do what any client may and nothing else, and the JavaScript client: files as they are."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

FILES = Path(__file__).parent / "static"

# Nothing from other servers, nothing inline, no text turned into markup, not in a frame; `data:` is for the icon.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE_HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",  # so that a new version is seen at once
}
# Pages of any origin may import the client: it has no secret, and what it may do there is up to the API.
CLIENT_HEADERS = PAGE_HEADERS | {"cross-origin-resource-policy": "cross-origin", "access-control-allow-origin": "*"}


def page(name: str, media_type: str, headers: Mapping[str, str] = PAGE_HEADERS) -> Callable[[Request], Awaitable[Response]]:
    """Answers with one of the files."""
    content = (FILES / name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return answer
