"""The path below which a proxy shows the server: requests come with it, or without it where the proxy strips it."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class SubPath:
    """Puts each request below the path, as ASGI's `root_path` says it: routes are matched with what follows it.

    A path that does not begin with it was stripped by the proxy, or is asked for without one.
    """

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root, path = self._root_path, scope.get("path", "")
        if scope["type"] == "http" and path == root:  # there the page's own addresses would lead elsewhere
            await RedirectResponse(f"{root}/", 308)(scope, receive, send)  # without the query, which may have a token
            return
        if scope["type"] != "lifespan":
            whole = path if path.startswith(f"{root}/") else root + path
            scope = {**scope, "root_path": root, "path": whole}
        await self._app(scope, receive, send)
