"""The scripts that make images of NixOS systems, run on files that stand for a store."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from .conftest import REPOSITORY

SCRIPTS = REPOSITORY / "nix/nixos/build"


@pytest.fixture
def closure(tmp_path: Path) -> dict[str, str]:
    """Environment for root.sh: a store with a system and a program, which run_root has at /opt."""
    store = tmp_path / "store"
    opt = Path("/opt")
    system, program = store / "aaa-nixos-system-web", store / "bbb-program-1.0"
    (system / "etc").mkdir(parents=True)
    (system / "etc/os-release").write_text("ID=nixos\n")
    (system / "init").write_text("#!/bin/sh\n")
    (program / "bin").mkdir(parents=True)
    (program / "bin/program").symlink_to(opt / "aaa-nixos-system-web/init")
    (tmp_path / "closure").mkdir()
    (tmp_path / "closure/store-paths").write_text(f"{opt / system.name}\n{opt / program.name}\n")
    (tmp_path / "closure/registration").write_text("registration")
    for name in ("bzImage", "initrd"):
        (tmp_path / name).write_text(name)
    return {
        "PATH": "/usr/bin:/bin",
        "toplevel": str(opt / system.name),
        "store": str(store),
        "closure": str(tmp_path / "closure"),
        "kernel": str(tmp_path / "bzImage"),
        "initrd": str(tmp_path / "initrd"),
        "out": str(tmp_path / "out"),
    }


def run_root(closure: dict[str, str], format_: str) -> Path:
    work = Path(closure["out"]).with_name("work")
    work.mkdir()
    inside = f'mount --bind "$store" /opt; exec bash -euo pipefail {SCRIPTS}/root.sh'
    command = ["unshare", "--mount", "sh", "-euc", inside]
    environment = {**closure, "format": format_}
    done = subprocess.run(command, cwd=work, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Path(closure["out"])


def test_squashfs_has_the_store_where_it_was_and_what_containers_look_for(closure: dict[str, str]) -> None:
    image = run_root(closure, "squashfs") / "root.squashfs"
    listed = subprocess.run(["unsquashfs", "-lls", str(image)], check=True, capture_output=True, text=True).stdout
    entries = {line.split("squashfs-root", 1)[1]: line for line in listed.splitlines() if "squashfs-root" in line}
    assert f"{closure['toplevel']}/init" in entries
    assert f"/sbin/init -> {closure['toplevel']}/init" in entries
    assert f"/etc/os-release -> {closure['toplevel']}/etc/os-release" in entries
    assert {"/usr/bin", "/proc", "/run", "/nix-path-registration"} <= set(entries)
    assert entries["/root"].startswith("drwx------ root/root")
    assert entries["/tmp"].startswith("drwxrwxrwt root/root")


def test_squashfs_is_the_same_twice(closure: dict[str, str], tmp_path: Path) -> None:
    first = (run_root(closure, "squashfs") / "root.squashfs").read_bytes()
    os.rename(tmp_path / "work", tmp_path / "work-before")
    assert (run_root({**closure, "out": str(tmp_path / "again")}, "squashfs") / "root.squashfs").read_bytes() == first


def test_tar_has_what_kadeploy_asks_for(closure: dict[str, str]) -> None:
    with tarfile.open(run_root(closure, "tar") / "root.tar") as archive:
        entries = {entry.name: entry for entry in archive}
        for name, content in (("boot/vmlinuz", b"bzImage"), ("boot/initrd.img", b"initrd"), ("etc/fstab", b"")):
            file = archive.extractfile(entries[name])
            assert file is not None and file.read() == content
    for name in (
        "boot", "root", "tmp", "var/log", "etc/nixos", "etc/ssh", "etc/udev/rules.d",
        "etc/NetworkManager/system-connections", "run", "nix/store",
    ):  # fmt: skip
        assert entries[name].isdir()
    assert f"{closure['toplevel'].lstrip('/')}/init" in entries
    assert {(entry.uid, entry.gid) for entry in entries.values()} == {(0, 0)}
    assert entries["tmp"].mode == 0o1777


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("openssl-3.0.14", ("openssl", "3.0.14")),
        ("openssl-3.0.14-bin", ("openssl", "3.0.14")),
        ("python3.12-requests-2.32.3", ("python3.12-requests", "2.32.3")),
        ("glibc-2.40-66", ("glibc", "2.40-66")),
        ("util-linux-2.39.4-lib", ("util-linux", "2.39.4")),
        ("linux-6.12.1-modules", ("linux", "6.12.1")),
        ("openmpi-5.0.6", ("openmpi", "5.0.6")),
        ("unit-sshd.service", None),
        ("nixos-system-web-25.05.1a2b3c4", ("nixos-system-web", "25.05.1a2b3c4")),
        ("source", None),
    ],
)
def test_packages_are_told_from_their_paths(name: str, package: tuple[str, str] | None) -> None:
    path = f"/nix/store/0123456789abcdfghijklmnpqrsvwxyz-{name}"
    done = subprocess.run(
        ["jq", "--raw-input", "--slurp", "-f", str(SCRIPTS / "packages.jq")],
        input=f"{path}\n", check=True, capture_output=True, text=True,
    )  # fmt: skip
    expected = [] if package is None else [{"name": package[0], "version": package[1], "path": path}]
    assert json.loads(done.stdout) == expected
