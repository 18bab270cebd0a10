# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a guide has somebody type is run by the tests, or the page's source says what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from page import Block, Command, File, blocks
from walk import GUIDES, ROOT, WALKED


@pytest.mark.parametrize("name", GUIDES)
def test_blocks_that_are_not_run_say_what_they_need(name: str) -> None:
    found = [block for block in blocks(ROOT / name) if isinstance(block, Block)]
    unsaid = [block.line for block in found if block.needs is None and name not in WALKED]
    assert unsaid == [], "lines of blocks without '<!-- needs: … -->'"


@pytest.mark.parametrize("name", WALKED)
def test_pages_that_are_walked_have_commands(name: str) -> None:
    assert [block for block in blocks(ROOT / name) if isinstance(block, Block) and block.needs is None]


def test_a_page_is_read_as_what_somebody_does(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`lab/a.yml` is short:\n\n```yaml\na: 1\n```\n\n```yaml\nno: file\n```\n\n"
        "```console\n$ one  # exit code 2\nsays …\n…\n$ two\n```\n\n"
        "<!-- needs: a moon -->\n```sh\n# why\nthree \\\n  four\n```\n"
    )
    assert list(blocks(page)) == [
        File("lab/a.yml", "a: 1\n"),
        Block(11, None, [Command("one", 2, ["says …", "…"]), Command("two")]),
        Block(18, "a moon", [Command("three four")]),
    ]


def test_output_is_compared_but_for_its_gaps() -> None:
    command = Command("one", output=["…", "three … five", "…"])
    assert command.missing("one\ntwo\n\nthree four five\nsix\n") is None
    assert command.missing("three four five\n") is None
    assert command.missing("three four\nfive\n")
    assert Command("one", output=["two"]).missing("two\nthree\n")
