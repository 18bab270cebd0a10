# SPDX-License-Identifier: GPL-3.0-or-later
"""The page in a real browser: what a reader sees, on whatever screen, and how soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from looks import CONTRAST, LEGIBLE, OUTPUT, is_picture_of_the_docs, opened
from playwright.sync_api import BrowserContext
from recorded_runs import failed, many

from ansible_collections.immutable.compose.plugins.module_utils.page.render import page as rendered

HOSTILE = "</pre><script>document.title = 'pwned'</script><img src=x onerror=\"document.title='pwned'\">\x1b[2J\u202e"
#: Seconds in which a page of a thousand nodes and as many as ten thousand events is there.
SOON = 2.0


def test_it_says_which_node_failed_and_why_and_is_the_picture_of_the_docs(
    context: BrowserContext, tmp_path: Path
) -> None:
    page = opened(context, tmp_path, rendered(failed()), width=900)
    assert page.get_by_role("heading", name="site: went back").is_visible()
    article = page.get_by_role("article").first
    assert article.get_by_role("heading").inner_text() == "web2: units"
    assert article.get_by_text("unit nginx.service has failed").is_visible()
    assert not article.get_by_text("connection refused").is_visible()
    article.get_by_text("Journal").click()
    assert article.get_by_text("connection refused").is_visible()
    article.get_by_text("Journal").click()
    line_of_time = page.get_by_role("img", name="web2: staged 5.9 s, down 1.2 s, booting 4.3 s, failed 0.5 s")
    assert line_of_time.bounding_box() is not None
    page.get_by_role("link", name="Log").click()
    page.get_by_text("lines", exact=False).last.click()
    assert page.get_by_text("switch: wave 2 of 2: web2, web3").last.is_visible()
    page.get_by_text("lines", exact=False).last.click()
    is_picture_of_the_docs(page, "report.png", height=960)


@pytest.mark.parametrize("width", [320, 400, 1400])
def test_nothing_is_cut_off_on_any_screen(context: BrowserContext, tmp_path: Path, width: int) -> None:
    long = "0123456789" * 40
    page = opened(context, tmp_path, rendered(failed(long, f"{long} {HOSTILE}")), width=width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widest = "Math.max(...[...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect().right))"
    assert page.evaluate(widest) <= width
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"{width}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_light_and_dark(context: BrowserContext, tmp_path: Path, scheme: str) -> None:
    page = opened(context, tmp_path, rendered(failed()), scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    contrast, text = page.evaluate(CONTRAST)
    assert contrast >= LEGIBLE, text
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"{scheme}.png", full_page=True)


def test_it_can_be_read_by_ear_and_with_the_keyboard(context: BrowserContext, tmp_path: Path) -> None:
    page = opened(context, tmp_path, rendered(failed()))
    levels = [int(heading.evaluate("e => e.tagName")[1]) for heading in page.get_by_role("heading").all()]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    for name in ("main", "banner", "navigation"):
        assert page.get_by_role(name).count() == 1  # type: ignore[arg-type]
    assert page.get_by_role("region", name="Time line").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Time line"
    page.get_by_text("With them").focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("taken back, because web2").first.is_visible()


def test_what_nodes_say_does_nothing(context: BrowserContext, tmp_path: Path) -> None:
    page = opened(context, tmp_path, rendered(failed(HOSTILE, HOSTILE)))
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.title() == "site: went back" and page.locator("script, main img:not(svg)").count() == 0
    assert page.get_by_text("document.title = 'pwned'").first.is_visible()


def test_a_mistake_in_the_template_would_do_nothing_either(context: BrowserContext, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    evil = (
        "<script>document.title = 'pwned'</script><style>body { display: none }</style><img src='https://a.invalid/x'>"
    )
    path.write_text(rendered(failed()).replace("<main>", f"<main>{evil}"))
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(path.as_uri())
    assert page.title() == "site: went back" and page.get_by_role("main").is_visible()
    assert sum("Content Security Policy" in message for message in refused) == 3


def test_a_thousand_nodes_are_there_at_once(context: BrowserContext, tmp_path: Path) -> None:
    recorded = many(lines=5990)
    assert len(recorded.events) >= 10_000 - 10
    begin = time.monotonic()
    page = opened(context, tmp_path, rendered(recorded))
    drawn = page.evaluate("new Promise(end => requestAnimationFrame(() => setTimeout(() => end(performance.now()))))")
    print(f"made, opened: {time.monotonic() - begin:.2f} s; opened: {drawn / 1000:.2f} s")
    assert drawn / 1000 < SOON
    page.locator("summary", has_text="role7").click()
    assert page.get_by_role("img", name="node7-42: staged").bounding_box() is not None
