# SPDX-License-Identifier: GPL-3.0-or-later
"""The site that `make docs` makes of manual and reference, in a real browser: from files, without a network."""

from __future__ import annotations

import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
#: A telephone: points from left to right.
NARROW = 400
#: The first page; and those that are not linked to: what leads to that one, and what is found by the field for it.
FIRST, UNLINKED = "docs/index.html", {"index.html", "search.html"}
#: What of a page is looked at, on a screen of that width. A table may be wider, in a box of its own that scrolls; but
#: no cell is, so that a line is read without scrolling, and one with much text has room for some words in each line.
LOOK = """narrow => {
  const within = element => {
    for (let box = element; box; box = box.parentElement)
      if (box.getBoundingClientRect().right <= narrow + 1 && (box === element
          || ["auto", "scroll"].includes(getComputedStyle(box).overflowX))) return true;
    return false;
  };
  const readable = cell => parseFloat(getComputedStyle(cell).fontSize) >= 12
      && cell.getBoundingClientRect().width <= narrow
      && (cell.innerText.length < 40 || cell.getBoundingClientRect().width >= 100);
  const words = element => element.innerText.trim().slice(0, 60);
  return {
    title: document.title,
    headings: [...document.querySelectorAll("h1")].map(words),
    names: [...document.querySelectorAll("[id], a[name]")].flatMap(e => [e.id, e.name]).filter(name => name),
    links: [...document.querySelectorAll("a[href]")].map(a => a.href),
    mute: [...document.querySelectorAll("img")].filter(i => !i.alt || !i.naturalWidth).map(i => i.src),
    wide: document.documentElement.scrollWidth,
    cut: [...document.querySelectorAll("main table, [role=main] table")].filter(e => !within(e)).map(words),
    illegible: [...document.querySelectorAll("[role=main] :is(td, th)")]
      .filter(e => e.checkVisibility() && !readable(e)).map(words),
  };
}"""


@dataclass
class Seen:
    """What is on a page."""

    title: str
    headings: list[str]
    names: list[str]
    links: list[str]
    mute: list[str]
    wide: int
    cut: list[str]
    illegible: list[str]


@dataclass
class Site:
    """The pages that links lead to, from the one that is opened first, and what the browser complained about."""

    directory: Path
    pages: dict[str, Seen]
    complaints: list[str]

    def wrong(self, of: t.Callable[[Seen], t.Any]) -> dict[str, t.Any]:
        """By page, what is wrong with it."""
        return {
            name.removeprefix(self.directory.as_uri()): found
            for name, seen in self.pages.items()
            if (found := of(seen))
        }


@pytest.fixture(scope="module")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Site:
    directory = tmp_path_factory.mktemp("site")
    offline = ["unshare", "--map-root-user", "--net"]
    subprocess.run([*offline, ROOT / "tests/tools/site.sh", directory], cwd=ROOT, check=True)
    found = Site(directory / "html", {}, [])
    with browser.new_context(offline=True, viewport={"width": NARROW, "height": 800}) as context:
        page = context.new_page()
        page.on("console", lambda said: found.complaints.append(f"{page.url}: {said.text}"))
        page.on("pageerror", lambda error: found.complaints.append(f"{page.url}: {error}"))
        page.on("request", lambda asked: asked.url.startswith("file:") or found.complaints.append(asked.url))
        to_see = [(found.directory / FIRST).as_uri()]
        while to_see:
            address = to_see.pop()
            if address in found.pages:
                continue
            page.goto(address)
            found.pages[address] = seen = Seen(**page.evaluate(LOOK, NARROW))
            links = {urldefrag(link).url for link in seen.links if link.startswith("file:")}
            to_see += sorted(link for link in links if link.endswith(".html") and path(link).is_file())
    return found


def path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


def test_links_lead_somewhere(site: Site) -> None:
    def broken(seen: Seen) -> list[str]:
        found = []
        for link in seen.links:
            page, anchor = urldefrag(link)
            if not link.startswith("file:"):
                continue
            if not path(page).is_file() or (anchor and unquote(anchor) not in site.pages[page].names):
                found.append(link)
        return found

    assert site.wrong(broken) == {}


def test_every_page_is_led_to(site: Site) -> None:
    made = {str(made.relative_to(site.directory)) for made in site.directory.rglob("*.html")}
    assert made - {str(path(page).relative_to(site.directory)) for page in site.pages} == UNLINKED
    assert len(made) > 70


def test_pages_have_a_title_and_pictures_have_words(site: Site) -> None:
    assert site.wrong(lambda seen: not (seen.title.strip() and len(seen.headings) == 1 and seen.headings[0])) == {}
    assert site.wrong(lambda seen: seen.mute) == {}
    titles = [seen.title for seen in site.pages.values()]
    assert {title for title in titles if titles.count(title) > 1} == set()


def test_tables_are_readable_on_a_narrow_screen(site: Site) -> None:
    assert site.wrong(lambda seen: seen.wide > NARROW and seen.wide) == {}
    assert site.wrong(lambda seen: seen.cut) == {}
    assert site.wrong(lambda seen: seen.illegible) == {}


def test_the_site_needs_nothing_but_its_files(site: Site) -> None:
    assert site.complaints == []


def test_the_first_page_is_opened_and_finds_words(site: Site, browser: Browser) -> None:
    """By its own field, without a server."""
    with browser.new_page(offline=True) as page:
        page.goto((site.directory / "index.html").as_uri())
        page.wait_for_url(f"**/{FIRST}")
        page.get_by_placeholder("Search docs").fill("at_least")
        page.keyboard.press("Enter")
        page.get_by_role("main").get_by_role("link", name="Playbooks").first.wait_for()
