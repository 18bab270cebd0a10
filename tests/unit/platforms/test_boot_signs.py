"""Consoles as systems write them, and nodes of this host that ended or are stuck."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Lost
from ansible_collections.immutable.compose.plugins.module_utils.platforms.boot_signs import trouble

from .conftest import Lab


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[    1.4] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", "panicked"),
        ('You are in emergency mode. After logging in, type "journalctl -xb" to view\nsystem logs', "emergency"),
        ("Cannot open access to console, the root account is locked.\r\nSee sulogin(8) man page", "emergency"),
        ('Generating "/run/initramfs/rdsosreport.txt"\n\nEntering emergency mode. Exit the shell', "emergency"),
        ("Warning: /dev/disk/by-id/x does not exist\n\ndracut:/# ", "initramfs"),
        ("ALERT!  UUID=x does not exist.  Dropping to a shell!\n\n(initramfs) ", "initramfs"),
        ("An error occurred in stage 1 of the boot process, which must mount the", "initramfs"),
        ("You are in rescue mode. After logging in", "rescue"),
        ("no disk holds the root file system abc-web-proxy; disks:", "no root"),
    ],
)
def test_trouble(text: str, why: str) -> None:
    assert why in trouble(f"[  OK  ] Reached target\n{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[  OK  ] Stopped emergency.service",
        "kernel: panic on oops is off",
        "Starting initramfs update",
        "web login: ",
    ],
)
def test_no_trouble(text: str) -> None:
    assert trouble(text) == ""


def test_nodes_that_ended_and_nodes_that_are_stuck(lab: Lab) -> None:
    platform = lab.platform("node1", "node2", "node3")
    nodes = platform.deployment.nodes
    lab.switch(platform, "image")
    assert platform.lost(nodes) == {}
    with open(platform.node_state("node2").console, "a", encoding="ascii") as stream:
        stream.write("You are in emergency mode.\n")
    pid = platform.running(["node3"])["node3"]
    os.kill(pid, 9)
    end = time.monotonic() + 30
    while platform.running(["node3"]):
        assert time.monotonic() < end
        time.sleep(0.02)
    lost = platform.lost(nodes)
    assert lost == {
        "node2": Lost("it is in emergency mode", certain=False),
        "node3": Lost("it does not run any more: it was shut down, or ended by itself", certain=True),
    }
    assert list(platform.lost(nodes[:1])) == []
