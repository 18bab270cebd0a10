# SPDX-License-Identifier: GPL-3.0-or-later
"""What real runs show: the page, which says which node failed, and why; and bars on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import typing as t
from contextlib import suppress
from pathlib import Path

import pytest
from lab import Run
from terminals import Terminal
from tiny import SCRIPT, Tiny

#: What a check prints: no reader's browser must take it for more than words.
EVIL = "<script>alert(1)</script>"
SECRET = "correct-horse-battery"


@pytest.fixture(scope="module")
def fresh(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    """Not deployed yet."""
    return tiny_of({"count": 3, "secrets": {"token": SECRET}}, ["solo"])


@pytest.fixture(scope="module")
def first(fresh: Tiny) -> Run:
    """The first deploy, with its pages."""
    return fresh.play("deploy", "-e", "compose_page=pages")


@pytest.fixture(scope="module")
def lab(fresh: Tiny, first: Run) -> Tiny:
    assert first.returncode == 0
    return fresh


def text_of(path: Path) -> str:
    text = path.read_text()
    assert SECRET not in text and "<script" not in text
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", text.partition("<body>")[2]))


def test_before_anything_there_is_nothing_to_report(fresh: Tiny) -> None:
    run = fresh.play("report", expect=2)
    assert run.said("there is nothing to report of the deployment 'one': deploy it first")


def test_a_deploy_brings_its_pages_along(lab: Tiny, first: Run) -> None:
    pages = lab.directory / "pages"
    assert sorted(path.name for path in pages.iterdir()) == ["one.html", "two.html"]
    assert first.said(f"{pages}/one.html")
    words = text_of(pages / "one.html")
    assert "one: verified Release 1 runs. 3 nodes on nspawn" in words
    assert re.search(r"app1: staged [\d.]+ s, down [\d.]+ s, booting [\d.]+ s, verified", words)
    assert "solo" not in words and "With them" not in words and "solo" in text_of(pages / "two.html")


def test_a_deploy_with_a_node_that_fails_says_which_and_why(lab: Tiny) -> None:
    said = f"echo '{EVIL}' $(grep -o correct[a-z-]* /run/compose/node.json); exit 3"
    script = f'{SCRIPT}\napp2.succeed("{said}")'
    lab.script(script)
    lab.write(setup={"v": 2})
    lab.play("deploy", expect=2)
    assert lab.play("report", "-e", "compose_page=after").changed == 0
    words = text_of(lab.directory / "after" / "one.html")
    assert "one: went back" in words and "Release 1 runs" in words
    assert "app2: testScript" in words and "exit code 3" in words
    assert "&lt;script&gt;alert(1)" in words and "********" in words
    assert re.search(r"app2: staged .*? failed .*? back", words) and "With them: app1, app3" in words
    assert "verified Release 1 runs. 1 node on nspawn" in text_of(lab.directory / "after" / "two.html")


def test_a_deploy_that_is_refused_brings_no_page_of_another_run(lab: Tiny) -> None:
    lab.script("start_all(")
    run = lab.play("deploy", "-e", "compose_page=refused", expect=2)
    assert [path.name for path in (lab.directory / "refused").iterdir()] == ["two.html"]
    assert run.said("testScript, line 1")


def test_a_run_that_was_killed_is_told_of_as_well(lab: Tiny) -> None:
    lab.script('app1.succeed("sleep 30")')  # so that the step is killed in its midst
    lab.write(setup={"v": 2})
    lab.kill_when("verify app")
    lab.play("report")
    assert "one: has not come to its end" in text_of(lab.state / "results" / "report.html")
    assert "and has not ended" in text_of(lab.state / "results" / "report.html")


def test_in_check_mode_nothing_is_written(lab: Tiny) -> None:
    lab.play("report")
    page = lab.state / "results" / "report.html"
    page.unlink()
    lab.play("report", "--check", "-e", "compose_page=checked")
    assert not page.exists() and not (lab.directory / "checked").exists()


def on_a_terminal(lab: Tiny, playbook: str) -> str:
    """All that a playbook writes to one."""
    there, here = pty.openpty()
    fcntl.ioctl(here, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    environment = {key: value for key, value in lab.environment().items() if key not in ("ANSIBLE_NOCOLOR", "NO_COLOR")}
    command = [lab.program("ansible-playbook"), "-i", str(lab.inventory), f"immutable.compose.{playbook}"]
    process = subprocess.Popen(
        command, cwd=lab.directory, env={**environment, "TERM": "xterm"}, stdin=here, stdout=here, stderr=here
    )
    os.close(here)
    written = b""
    with suppress(OSError):  # the end of all that write to it
        while piece := os.read(there, 1 << 16):
            written += piece
    os.close(there)
    assert process.wait() == 0, written.decode()
    return written.decode()


def test_a_terminal_has_bars_that_are_gone_at_the_end_of_each_step(lab: Tiny) -> None:
    lab.script()
    lab.write(setup={"v": 3})
    written = on_a_terminal(lab, "deploy")
    assert "3/3 " in written and "3 verified" in written and "3 booting" in written
    terminal = Terminal()
    terminal.shows(written)
    left = "\n".join(terminal.lines)
    assert "━" not in left and "TASK [immutable.compose.deploy : Settle]" in left and "PLAY RECAP" in left
    assert "compose | one: switch app1: started" in left and "compose | one: verify app3: ok" in left
