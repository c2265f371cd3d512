"""`make bench-page`: what the page takes, in Chromium, to open a long chat of Markdown and to draw a fast stream into it.

Run it on a machine that does nothing else. A frame is what Chromium draws between two calls of `requestAnimationFrame`; at 60 a
second each has 16.7 ms.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from benchmarks.markdown import DELTAS_PER_SECOND, SLOWLY, TEXT
from tests.support.page import address, chromium, is_live
from tests.support.program import serving
from tests.support.server import world

MESSAGES = 100
ROUNDS = 9

OPENED = """async (count) => {
    const began = performance.now();
    document.querySelector("#chats a").click();
    const isThere = () => document.querySelectorAll("#messages article").length >= count;
    while (!isThere()) await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame); // which is called once that was drawn
    return performance.now() - began;
}"""
WRITE = """async (prompt) => {
    const count = document.querySelectorAll("#messages article").length, picture = () => new Promise(requestAnimationFrame);
    const isEnded = () => {
        const articles = document.querySelectorAll("#messages article");
        return articles.length > count && !articles[count].querySelector("[aria-label='A good answer']").hidden;
    };
    document.querySelector("#prompt").value = prompt;
    document.querySelector("#composer").requestSubmit();
    while (!isEnded()) await picture();
}"""
WATCH = """() => {
    globalThis.frames_ = [];
    let last = performance.now();
    const next = (now) => { frames_.push(now - last); last = now; requestAnimationFrame(next); };
    requestAnimationFrame(next);
    globalThis.shift_ = 0;
    const add = (list) => { for (const { value } of list.getEntries()) shift_ += value; };
    new PerformanceObserver(add).observe({ type: "layout-shift" });
}"""


def _write(page: Page, prompt: str) -> None:
    """Post, and wait until the answer has ended."""
    page.evaluate(WRITE, prompt)


def _opened(page: Page, url: str) -> float:
    """How many ms it takes from a click on the chat to its messages on the screen, in a page that holds no chat."""
    page.goto(url.partition("#")[0] + "#")
    page.reload()
    page.locator("#chats a").first.wait_for()
    took: float = page.evaluate(OPENED, MESSAGES)
    return took


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        with serving(world(Path(folder)), AGENT="benchmarks.markdown:write", RATE_LIMIT="10000/minute") as program:
            page.goto(address(program.url))
            is_live(page)
            for number in range(MESSAGES):
                _write(page, f"Report {number}")
            opened = sorted(_opened(page, address(program.url)) for _ in range(ROUNDS))
            page.evaluate(WATCH)
            _write(page, SLOWLY)
            frames: list[float] = sorted(page.evaluate("frames_"))
            shift: Any = page.evaluate("shift_")
    print(f"| {MESSAGES} messages of {len(TEXT) / 1000:.1f} KB Markdown, in Chromium | |\n|---|---:|")
    print(f"| opened and drawn, ms: median of {ROUNDS} | {statistics.median(opened):.0f} |")
    print(f"| the slowest, ms | {opened[-1]:.0f} |")
    print(f"| frames while one more streams in at {DELTAS_PER_SECOND} deltas/s | {len(frames)} |")
    print(f"| the longest frame, ms | {frames[-1]:.0f} |")
    print(f"| 99 of 100 frames take at most, ms | {frames[len(frames) * 99 // 100]:.0f} |")
    print(f"| layout shift | {shift:.3f} |")


if __name__ == "__main__":
    main()
