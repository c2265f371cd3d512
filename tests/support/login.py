"""Other sites on ports of their own: such as one where people sign in, as docs/page.md asks for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from backends.auth import PERSON, issue_token
from tests.support.house import SECRET
from tests.support.world import ALICE


class Site:
    """Another site. Each request is kept with its headers, and `answers` makes the answer to it."""

    def __init__(self, answers: Callable[[str], tuple[int, dict[str, str], str]]) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                status, headers, body = answers(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"

    @contextmanager
    def open(self) -> Iterator[None]:
        serving = threading.Thread(target=self.server.serve_forever)
        serving.start()
        try:
            yield
        finally:
            self.server.shutdown()
            serving.join()
            self.server.server_close()


class Login(Site):
    """Knows its visitor at once: whoever is `user`, or nobody who wants to sign in."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.user = ALICE
        self.gives = True
        self.tokens: list[str] = []
        self.address = f"{self.origin}/login?from=a%20b&x"

    @property
    def visits(self) -> list[dict[str, list[str]]]:
        """The query of each visit to the login page, in their order."""
        return [parse_qs(urlsplit(path).query, keep_blank_values=True) for path, _ in self.asked if path.startswith("/login")]

    def _answer(self, path: str) -> tuple[int, dict[str, str], str]:
        if not path.startswith("/login"):
            return 404, {}, ""
        (back,) = self.visits[-1]["return_to"]
        self.tokens.append(issue_token(SECRET, self.user, 600, PERSON))
        return 303, {"location": f"{back}#token={self.tokens[-1]}" if self.gives else back, "cache-control": "no-store"}, ""


@contextmanager
def login() -> Iterator[Login]:
    """The page where people sign in."""
    site = Login()
    with site.open():
        yield site
