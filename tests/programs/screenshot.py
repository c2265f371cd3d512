"""`make screenshot`: the picture of the page in the README, of a real run."""

import re
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.support.page import CHROMIUM, address, ask, is_live
from tests.support.program import ROOT, serving
from tests.support.server import world

PICTURE = ROOT / "docs" / "console.png"


def main() -> None:
    """Ask about an asset, and take the picture in the middle of a second answer."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        with serving(world(Path(folder)), OFFLINE_DELAY_MS="12") as program:
            page.goto(address(program.url))
            is_live(page)
            page.select_option("#asset", label="Revenue (metric)")
            page.click("#send")
            expect(page.locator(".card")).to_be_visible()
            ask(page, "What should I look at first?")
            expect(page.locator("article").last.locator(".markdown").first).to_contain_text(re.compile(r"(\w+\W+){25}"))
            page.screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE.relative_to(ROOT)} is new")


if __name__ == "__main__":
    main()
