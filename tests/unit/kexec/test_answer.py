# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines say, and what of it is refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.options import validate_options
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Interface, Match
from ansible_collections.immutable.compose.plugins.module_utils.model.image import ARCHITECTURES, Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec.answer import Answer, Running
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec.faults import fault_of, misfit, refused
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec.overlay import System
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec.platform import Kexec

OWN = """\
boot 1c3f
architecture x86_64
program /usr/sbin/kexec
program /usr/sbin/ip
lockdown none
memory 1000000
staged abc-web
address eno1 192.0.2.7/24
mac eno1 52:54:00:12:34:56
address eno2 198.51.100.7/24
mac eno2 52:54:00:12:34:57
address br0 203.0.113.7/24
gateway eno1 192.0.2.1
dns 127.0.0.53
dns 192.0.2.53
"""
NODE = """\
boot 77aa
architecture x86_64
owner lab/web1
identity abc-web
interfaces [{"match":{"mac":"52:54:00:12:34:56"},"address":"192.0.2.7/24","gateway":"192.0.2.1"}]
memory 2000000
"""


def test_its_own_linux() -> None:
    answer = Answer.read(OWN)
    assert answer.node is None and answer.runs == "its own Linux"
    assert answer.interfaces == (
        Interface(Match(mac="52:54:00:12:34:56"), "192.0.2.7/24", "192.0.2.1"),
        Interface(Match(mac="52:54:00:12:34:57"), "198.51.100.7/24"),
    )
    assert (answer.dns, answer.staged, answer.memory) == (("192.0.2.53",), ("abc-web",), 1000000 << 10)
    assert fault_of(answer, "192.0.2.7") == ""


def test_a_node_has_the_network_that_its_machine_had() -> None:
    answer = Answer.read(NODE)
    assert answer.node == Running("lab/web1", "abc-web", confirmed=False)
    assert answer.interfaces == Answer.read(OWN).interfaces[:1]
    confirmed = Answer.read(f"{NODE}confirmed 3\n").node
    assert confirmed is not None and confirmed.confirmed


@pytest.mark.parametrize(
    ("line", "instead", "address", "why"),
    [
        ("program /usr/sbin/kexec\n", "", "192.0.2.7", "lacks the program kexec (on Debian: kexec-tools)"),
        ("lockdown", "disabled yes\nlockdown", "192.0.2.7", "forbids kexec until the next boot"),
        ("", "", "192.0.2.8", "is to have the address 192.0.2.8, its machine has 192.0.2.7, 198.51.100.7, 203.0.113.7"),
        ("", "", "203.0.113.7", "on br0, which is made of other devices"),
    ],
)
def test_what_is_refused(line: str, instead: str, address: str, why: str) -> None:
    assert why in fault_of(Answer.read(OWN.replace(line, instead, 1) if line else OWN), address)


def test_a_machine_that_runs_a_node_of_others_is_theirs() -> None:
    assert "runs the node lab/web1" in fault_of(Answer.read(NODE), "192.0.2.7")


def image(directory: Path) -> Image:
    files = {name: ImageFile(name, 1, "") for name in ("root", "kernel", "initrd", "network")}
    for name in files:
        (directory / name).write_bytes(bytes(1 << 20))
    return Image("web", "debian", "v2", ARCHITECTURES["x86_64"], files, bundle=str(directory))


def test_an_image_that_does_not_fit(tmp_path: Path) -> None:
    v2, here = image(tmp_path), replace(Answer.read(OWN), memory=1 << 30)
    whole = System.of(v2, over_nfs=False)
    assert misfit(v2, whole, here) == ""
    why = misfit(v2, whole, replace(here, architecture="aarch64"))
    assert why == "the image v2 is for amd64, its machine is arm64"
    small = replace(here, memory=40 << 20)
    why = misfit(v2, whole, small)
    assert why.startswith("its machine has 40 MiB of memory free, the image v2 needs 7")
    # A node takes all of it: what is free there says nothing.
    why = misfit(v2, whole, replace(small, node=Running("lab/web1", "v1", True)))
    assert "40 MiB of memory, the image" in why
    # What is staged has taken its memory already.
    assert misfit(v2, whole, replace(small, staged=("v2",))) == ""
    os.truncate(tmp_path / "root", 1 << 32)
    assert "more than 4 GiB" in misfit(v2, whole, here)
    # Where its root file system does not travel, it takes no memory.
    assert misfit(v2, System.of(v2, over_nfs=True), here) == ""


@pytest.mark.parametrize("nfs", ["server:/images", "192.0.2.9", "192.0.2.9:images", "192.0.2.9:/a,b", "192.0.2.9:/a b"])
def test_an_export_that_nobody_could_mount(nfs: str) -> None:
    with pytest.raises(InputError, match="expected the IPv4 address of a server and what it exports"):
        validate_options(Kexec, {"nfs": nfs}, "platform", "platform")


def test_a_kernel_that_is_locked_down_is_named() -> None:
    here = Answer.read(OWN)
    assert refused(here, "no") == "its machine does not take the image: no"
    assert "locked down (integrity), as with Secure Boot" in refused(replace(here, lockdown="integrity"), "no")
