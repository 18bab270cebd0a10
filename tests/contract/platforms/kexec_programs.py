#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the machines in ``kexec.py``, by the name that this is called by."""

from __future__ import annotations

import os
import shutil
import sys
import typing as t
import uuid
from pathlib import Path

MACHINE = Path(os.environ["MACHINE"])


def unpacked(initramfs: bytes) -> t.Iterator[tuple[str, bytes]]:
    """Files of all archives of format newc, one after another, behind whatever the builder made."""
    at = initramfs.find(b"070701")
    while 0 <= at < len(initramfs):
        size, length = (int(initramfs[at + 6 + 8 * field :][:8], 16) for field in (6, 11))
        name = initramfs[at + 110 :][: length - 1].decode()
        data = at + 110 + length + -(110 + length) % 4
        yield name, initramfs[data : data + size]
        at = data + size + -size % 4


def boot(initramfs: bytes | None) -> None:
    """The own Linux, or what is in an initramfs."""
    shutil.rmtree(MACHINE / "run")
    (MACHINE / "run/systemd/system").mkdir(parents=True)
    (MACHINE / "proc/sys/kernel/random/boot_id").write_text(f"{uuid.uuid4()}\n")
    if initramfs is None:
        return
    files = dict(unpacked(initramfs))
    assert files["kexec/init"].startswith(b"#!/bin/busybox sh") and int(files["kexec/deadline"])
    assert files["kexec/resolv.conf"] == b"nameserver 192.0.2.53\n"
    (MACHINE / "usr/lib/compose").mkdir(parents=True, exist_ok=True)
    (MACHINE / "usr/lib/compose/identity").write_bytes(files["kexec/root.squashfs"] + b"\n")
    (MACHINE / "run/compose/in").mkdir(parents=True)
    (MACHINE / "run/compose/node.json").write_bytes(files["kexec/in/node.json"])
    (MACHINE / "run/compose/in/owner").write_bytes(files["kexec/in/owner"])


def main(program: str, arguments: list[str]) -> int:
    loaded = MACHINE / "loaded"
    if program == "kexec" and "-u" in arguments:
        loaded.unlink()
    elif program == "kexec":
        kernel = arguments[arguments.index("-l") + 1]
        options = dict(word.split("=", 1) for word in arguments if "=" in word)
        if Path(kernel).read_text() != "kernel":
            print(f"Cannot determine the file type of {kernel}", file=sys.stderr)
            return 255
        assert "rdinit=/kexec/init" in options["--command-line"]
        shutil.copy(options["--initrd"], loaded)
    elif program == "systemctl":
        boot(loaded.read_bytes() if arguments == ["kexec"] else None)
        loaded.unlink(missing_ok=True)
    return 0


sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:]))
