# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: what it says of a run, and that nothing in it can be more than words."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from recorded_runs import BEGIN, failed, many

from ansible_collections.immutable.compose.plugins.module_utils.model.event import Event
from ansible_collections.immutable.compose.plugins.module_utils.page.recorded import Recorded
from ansible_collections.immutable.compose.plugins.module_utils.page.render import page
from ansible_collections.immutable.compose.plugins.module_utils.page.story import LENGTH, story

#: Elements without an end.
VOID = {"br", "meta", "rect"}
HOSTILE = "</pre><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}\x00\x1b[2J\u202e\ud800"


class Elements(HTMLParser):
    """The elements of a page, each of which must be closed in its turn, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(str(value))
            if name == "href":
                self.links.append(str(value))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words += data


def empty(*events: Event) -> Recorded:
    return Recorded("site", "nspawn", events, [], None, [])


def test_it_says_which_node_failed_and_why() -> None:
    words = Elements(page(failed())).words
    for told in (
        "site: went back",
        "web2: verify: unit nginx.service has failed",
        "Release 2 runs. 4 nodes on nspawn",
        "With them: web1, web3, db1",
        "switch: wave 2 of 2: web2, web3",
        "0old-site-web → 0new-site-web",
        "1.24.0-2",
        "curl -f http://localhost, exit code 7",
        "connection refused",
        "files changed: /etc/motd",
        "DSA-1-1",
    ):
        assert told in words, told


def test_what_nodes_say_is_words_and_nothing_else() -> None:
    plain, hostile = Elements(page(failed())), Elements(page(failed(HOSTILE, HOSTILE)))
    assert hostile.seen == plain.seen and hostile.attributes == plain.attributes
    assert "script" not in hostile.seen and not any(name.startswith("on") for name in hostile.attributes)
    assert "<script>alert(1)</script>" in hostile.words and "{{ 7*7 }}" in hostile.words
    assert not re.search("[\x00\x1b\u202e\ud800]", hostile.words) and "\ufffd[2J\ufffd\ufffd" in hostile.words


def test_it_needs_nothing_else_and_asks_for_nothing() -> None:
    text = page(failed())
    elements = Elements(text)
    assert "default-src 'none'" in text and "style" not in elements.attributes and "src" not in elements.attributes
    assert all(link.startswith("#") and link[1:] in elements.ids for link in elements.links)
    assert len(elements.ids) == len(set(elements.ids))


def test_without_colours_it_says_the_same() -> None:
    assert "web2: staged 5.9 s, down 1.2 s, booting 4.3 s, failed 0.5 s, down 1.9 s, back 2.1 s" in page(failed())


def test_a_time_line_lasts_as_long_as_the_run() -> None:
    told = story(failed().events)
    assert told is not None
    spans = [span for role in told.roles for row in role.rows for span in row.spans]
    assert all(0 <= span.begin <= LENGTH and span.begin + span.length <= LENGTH + 1 for span in spans)
    assert [step.name for step in told.steps] == ["plan", "build", "stage", "switch", "verify", "settle"]
    assert {row.name: row.word for role in told.roles for row in role.rows} == {
        "db1": "back",
        "web1": "back",
        "web2": "failed",
        "web3": "back",
    }


def test_a_run_that_was_killed_has_not_come_to_its_end() -> None:
    words = Elements(page(empty(*failed().events[:20]))).words
    assert "site: has not come to its end" in words and "and has not ended" in words


def test_a_step_that_came_to_nothing_says_why() -> None:
    events = [
        Event(BEGIN, "run", text="ada", result="1"),
        Event(BEGIN, "begin", "plan"),
        Event(BEGIN + 1, "failed", "plan", result={"msg": "plan: no <mirror>"}),
    ]
    words = Elements(page(empty(*events))).words
    assert "site: came to nothing" in words and "plan: no <mirror>" in words


def test_before_the_first_run_there_are_releases_only() -> None:
    assert "Nothing was released yet." in Elements(page(empty())).words


def test_a_thousand_nodes_are_folded() -> None:
    text = page(many())
    assert text.count("<svg viewBox") == 1000 + 3 and "<details open><summary><strong>" not in text
    assert "site: verified" in Elements(text).words and len(text) < 2 << 20


def test_without_its_library_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(Exception, match=r"jinja2>=3.0.*python3-jinja2"):
        page(empty())
