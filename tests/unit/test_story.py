# SPDX-License-Identifier: GPL-3.0-or-later
"""An end-to-end test can be run alone: a step of a story brings along those before it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STORY = """
import pytest

pytestmark = pytest.mark.story
told = []

@pytest.mark.parametrize("what", ["one", "two"])
def test_begins(what):
    told.append(what)

def test_goes_on():
    assert told == ["one", "two"]
    told.append("three")

def test_ends():
    assert told == ["one", "two", "three"]
"""


@pytest.mark.parametrize(
    ("chosen", "run"), [([], 4), (["test_goes_on"], 3), (["test_begins[two]"], 2), (["test_ends", "test_goes_on"], 4)]
)
def test_a_step_brings_along_those_before_it(tmp_path: Path, chosen: list[str], run: int) -> None:
    story = tmp_path / "test_story.py"
    story.write_text(STORY)
    (tmp_path / "test_other.py").write_text("def test_other(): ...\ndef test_another(): ...\n")
    (tmp_path / "conftest.py").write_text(
        "from story import bring_those_before\n"
        "def pytest_collection_modifyitems(items):\n    bring_those_before(items)\n"
    )
    named = [f"{story}::{name}" for name in chosen] or [str(story)]
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}", *named, f"{tmp_path}/test_other.py::test_another"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "tests/e2e")},  # without plugins of the run around it
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"(\d+) passed", done.stdout)[1] == str(run + 1)
