# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives that the kernel unpacks: read by another program than the one that wrote them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec import overlay, scripts
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec.overlay import System

DOCUMENT = {"kexec/": b"", "kexec/deadline": b"900\n", "kexec/in/": b"", "kexec/in/owner": b"lab/web1\n"}


def unpacked(archive: bytes, into: Path) -> dict[str, bytes]:
    into.mkdir()
    subprocess.run(["cpio", "--extract", "--quiet"], input=archive, cwd=into, check=True)
    return {str(path.relative_to(into)): path.read_bytes() for path in sorted(into.rglob("*")) if path.is_file()}


def test_what_is_of_a_node_is_an_archive_for_root_alone(tmp_path: Path) -> None:
    found = unpacked(overlay.archive(DOCUMENT), tmp_path / "found")
    assert found == {name: data for name, data in DOCUMENT.items() if not name.endswith("/")}
    assert (tmp_path / "found/kexec/in").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "found/kexec/in/owner").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("first", [4096, 4097, 4098, 4099])
@pytest.mark.parametrize("second", [0, 1, 1000, 1003])
def test_archives_are_aligned_whatever_is_before_them(tmp_path: Path, first: int, second: int) -> None:
    initrd, root = tmp_path / "initrd", tmp_path / "root"
    initrd.write_bytes(bytes(first))
    root.write_bytes(b"x" * second)
    system = System("v1", "kernel", (str(initrd),), str(root))
    whole = b"".join(system.initramfs())
    assert len(whole) == system.length
    assert len(whole) % 4 == 0 and whole.index(b"070701") % 4 == 0
    found = unpacked(whole[whole.index(b"070701") :], tmp_path / "found")
    assert found == {"kexec/init": scripts.INIT, "kexec/root.squashfs": root.read_bytes()}
    assert (tmp_path / "found/kexec/init").stat().st_mode & 0o100


def test_with_a_root_over_nfs_the_drivers_travel_in_its_place(tmp_path: Path) -> None:
    files = {name: ImageFile(name, 1, "") for name in ("root", "kernel", "initrd", "network")}
    for name, length in {"root": 1 << 20, "kernel": 5, "initrd": 4097, "network": 1002}.items():
        (tmp_path / name).write_bytes(name[:1].encode() * length)
    image = Image("web", "debian", "v2", "amd64", files, bundle=str(tmp_path))
    system, whole = System.of(image, over_nfs=True), System.of(image, over_nfs=False)
    assert (system.name, whole.name) == ("v2-nfs", "v2")  # neither is taken for the other where it is staged
    content = b"".join(system.initramfs())
    assert len(content) == system.length < 1 << 15 and whole.length > 1 << 20
    # The kernel looks for an archive at multiples of four.
    assert content.startswith(b"i" * 4097 + bytes(3) + b"n" * 1002 + bytes(2) + b"070701")
    assert unpacked(content[5104:], tmp_path / "found") == {"kexec/init": scripts.INIT}


def test_the_first_process_and_all_scripts_are_shell() -> None:
    for script in (
        scripts.INIT.decode(),
        *(scripts.ASK, scripts.KEEP, scripts.REACH, scripts.REHEARSE, scripts.BOOT, scripts.DROP),
    ):
        subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_the_dead_man_goes_back_unless_somebody_confirms(tmp_path: Path) -> None:
    """The loop itself, with files in place of what the kernel offers, and a clock that goes faster."""
    text = scripts.INIT.decode()
    body = text[text.index("dead_man() {") : text.index("arm() {")]
    body = body.replace("/kexec/deadline", "deadline").replace("read -r -t 2 _ <&3", ": tick")
    run = f"{body}\nexec 3</dev/null 4>sysrq 5>kmsg 6>watchdog\n(dead_man)\n"
    (tmp_path / "deadline").write_text("10\n")
    subprocess.run(["sh", "-c", run], cwd=tmp_path, check=True)
    assert (tmp_path / "sysrq").read_text() == "s\nu\nb\n"
    assert "nobody confirmed this system in time" in (tmp_path / "kmsg").read_text()
    assert (tmp_path / "watchdog").read_text() == "\n" * 5
    (tmp_path / "confirmed").touch()
    subprocess.run(["sh", "-c", run], cwd=tmp_path, check=True)
    assert ((tmp_path / "sysrq").read_text(), (tmp_path / "watchdog").read_text()) == ("", "V\n")
