"""The page below a path of its own, behind a real nginx that strips the path or passes it on."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from backends.logs import UNKNOWN
from tests.support.nginx import DEFAULTS, nginx, ours
from tests.support.page import address, ask, choose, is_live, tab
from tests.support.program import serving

OWN = """
        location = /chat { return 308 /chat/; }
        location /chat/ { rewrite ^/chat(/.*)$ $1 last; }
"""
WHOLE = """
        location /chat {
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
"""
PROXIES = {
    "stripped": ours().replace("listen 8080;", f"listen 8080;\n{OWN}"),  # as docs/deploy.md says
    "whole": DEFAULTS.replace("location / {", WHOLE),
}


@pytest.mark.parametrize("entry", ["/chat", "/chat/"])
@pytest.mark.parametrize("way", PROXIES)
def test_a_prompt_is_answered_on_the_page_below_a_path(browser: Browser, folder: Path, way: str, entry: str) -> None:
    with serving(folder, ROOT_PATH="/chat", OFFLINE_DELAY_MS="1") as program:
        behind = int(program.url.split("/")[2].split(":")[1])
        with nginx(folder / "nginx", PROXIES[way], behind) as port, tab(browser) as page:
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("websocket", lambda socket: asked.append(socket.url))
            page.goto(address(f"ws://127.0.0.1:{port}/").replace("/#", f"{entry}#"))
            is_live(page)
            assert page.url == f"http://127.0.0.1:{port}/chat/"
            ask(page, "What is this?")
            expect(page.locator(".foot").last).to_contain_text("Reasoned")
            with page.context.expect_page() as opening:
                choose(page, "#second")
            is_live(opening.value)
            assert opening.value.url.partition("#")[0] == page.url.partition("#")[0]
            assert {each.split("/")[3].partition("#")[0] for each in asked} == {"chat"}
    assert UNKNOWN not in program.log  # each path is known, with the other one before it or without
