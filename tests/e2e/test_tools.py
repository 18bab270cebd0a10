# SPDX-License-Identifier: GPL-3.0-or-later
"""People's own tools on nodes, with what a deploy has written for them: ClusterShell, and tmux by ``connect``."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import time
import typing as t
from pathlib import Path

import pytest
from lab import PATIENCE
from tiny import Tiny


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, ["db"])
    lab.play("deploy")
    return lab


def clustershell(lab: Tiny, deployment: str, *command: str) -> str:
    """Output of a command of ClusterShell for a deployment."""
    environment = {**lab.environment(), "CLUSTERSHELL_CFGDIR": str(lab.state.parent / deployment / "clustershell")}
    words = [lab.program(command[0]), *command[1:]]
    done = subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_clush_reaches_the_nodes_of_a_role(lab: Tiny) -> None:
    assert sorted(clustershell(lab, "one", "clush", "-g", "role:app", "hostname").splitlines()) == [
        "app1: app1",
        "app2: app2",
    ]
    assert clustershell(lab, "two", "clush", "-w", "@two:app", "hostname") == "db: db\n"
    assert sorted(clustershell(lab, "one", "clush", "-a", "hostname").splitlines()) == ["app1: app1", "app2: app2"]
    assert clustershell(lab, "one", "nodeset", "-l", "-s", "one") == "@one:all\n@one:app\n"


def test_clush_copies(lab: Tiny, tmp_path: Path) -> None:
    (tmp_path / "words").write_text("copied\n")
    clustershell(lab, "one", "clush", "-g", "app", "--copy", str(tmp_path / "words"), "--dest", "/run/words")
    assert {lab.on(node, "cat /run/words") for node in ("app1", "app2")} == {"copied\n"}


def test_groups_follow_the_deployment(lab: Tiny) -> None:
    files = [path for path in (lab.state / "clustershell").rglob("*") if path.is_file()]
    before = {path: path.stat().st_ino for path in files}
    lab.play("deploy")
    assert {path: path.stat().st_ino for path in files} == before
    lab.write(roles={"app": 3})
    lab.play("deploy")
    assert clustershell(lab, "one", "nodeset", "-f", "@app") == "app[1-3]\n"


class Screen:
    """A terminal, and a server of tmux of its own."""

    def __init__(self, lab: Tiny, directory: Path) -> None:
        self.program = str(lab.state / "connect")
        self.environment = {**lab.environment(), "TMUX_TMPDIR": str(directory), "TERM": "xterm"}
        self.environment.pop("TMUX", None)
        self.started: list[tuple[subprocess.Popen[str], int]] = []

    def connect(self, *nodes: str, lines: int = 50) -> subprocess.Popen[str]:
        """Start it on a terminal of so many lines."""
        there, here = pty.openpty()
        fcntl.ioctl(here, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 120, 0, 0))
        process = subprocess.Popen(
            [self.program, *nodes], env=self.environment, stdin=here, stdout=here, stderr=subprocess.PIPE, text=True
        )
        os.close(here)
        self.started.append((process, there))
        return process

    def tmux(self, *command: str) -> list[str]:
        """Lines that a command of tmux prints."""
        done = subprocess.run(["tmux", *command], env=self.environment, capture_output=True, text=True, check=False)
        return done.stdout.splitlines()

    def panes(self) -> list[str]:
        """The name of each pane's node."""
        return self.tmux("list-panes", "-a", "-F", "#{window_name}: #{@node}")

    def until(self, there: t.Callable[[], object]) -> None:
        """Wait for something to be there."""
        end = time.monotonic() + PATIENCE
        while not there():
            assert time.monotonic() < end, self.panes()
            time.sleep(0.2)

    def end(self) -> None:
        self.tmux("kill-server")
        for process, terminal in self.started:
            os.close(terminal)
            process.kill()
            process.communicate()


@pytest.fixture
def screen(lab: Tiny, tmp_path: Path) -> t.Iterator[Screen]:
    screen = Screen(lab, tmp_path)
    yield screen
    screen.end()


def test_connect_opens_a_pane_for_each_node(lab: Tiny, screen: Screen) -> None:
    screen.connect()
    nodes = ["app1", "app2", "app3"]
    screen.until(lambda: screen.tmux("list-clients"))  # it is attached to what it has made
    assert screen.panes() == [f"one: {node}" for node in nodes]
    for pane, node in zip(screen.tmux("list-panes", "-a", "-F", "#{pane_id}"), nodes, strict=True):
        screen.tmux("send-keys", "-t", pane, "echo I am $(hostname)", "Enter")
        screen.until(lambda pane=pane, node=node: f"I am {node}" in screen.tmux("capture-pane", "-p", "-t", pane))


def test_inside_of_tmux_it_is_a_window(lab: Tiny, screen: Screen) -> None:
    screen.tmux("new-session", "-d", "-x", "120", "-y", "50", "-n", "mine", "sh")
    screen.tmux("send-keys", f"{screen.program} app2 app1", "Enter")
    screen.until(lambda: screen.panes() == ["mine: ", "one: app2", "one: app1"])
    assert len(screen.tmux("list-sessions")) == 1


def test_one_node_needs_no_tmux(lab: Tiny) -> None:
    done = subprocess.run(
        [lab.state / "connect", "app2"], input="hostname\n", capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "app2"


def test_connect_refuses(lab: Tiny, screen: Screen) -> None:
    process = screen.connect("app1", "app9")
    assert process.communicate(timeout=PATIENCE)[1] == f"connect: no node 'app9' in {lab.state}/ssh_config\n"
    process = screen.connect(lines=3)
    said = process.communicate(timeout=PATIENCE)[1]
    assert said.endswith("connect: no room for 3 panes in this terminal: name some of the nodes\n")
    assert (process.returncode, screen.panes()) == (1, [])
