# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the machines in ``kexec.py``, by name; with few libraries, for time."""

from __future__ import annotations

import os
import sys

MACHINE = os.environ["MACHINE"]
LOADED = f"{MACHINE}/loaded"


def read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(f"{MACHINE}/{path}"), exist_ok=True)
    with open(f"{MACHINE}/{path}", "wb") as stream:
        stream.write(data)


def unpacked(initramfs: bytes) -> dict[str, bytes]:
    """Files of all archives of format newc, one after another, behind whatever the builder made."""
    found = {}
    at = initramfs.find(b"070701")
    while 0 <= at < len(initramfs):
        size, length = (int(initramfs[at + 6 + 8 * field :][:8], 16) for field in (6, 11))
        name = initramfs[at + 110 :][: length - 1].decode()
        data = at + 110 + length + -(110 + length) % 4
        found[name] = initramfs[data : data + size]
        at = data + size + -size % 4
    return found


def boot(initramfs: bytes | None) -> None:
    """The own Linux, or what is in an initramfs."""
    os.system(f"rm -r {MACHINE}/run")
    os.makedirs(f"{MACHINE}/run/systemd/system")
    write("proc/sys/kernel/random/boot_id", read("/proc/sys/kernel/random/uuid"))
    if initramfs is None:
        return
    files = unpacked(initramfs)
    assert files["kexec/init"].startswith(b"#!/bin/busybox sh") and int(files["kexec/deadline"])
    assert files["kexec/resolv.conf"] == b"nameserver 192.0.2.53\n"
    root = files.get("kexec/root.squashfs")
    if root is None:
        address, path, file, _how = files["kexec/nfs"].decode().split()
        assert (address, path) == ("192.0.2.9", "/images")
        assert files["kexec/interfaces"].startswith(b"52:54:00:00:00:01 10.87.")
        root = read(f"{MACHINE}/../exported/{file}")
    write("usr/lib/compose/identity", root + b"\n")
    write("run/compose/node.json", files["kexec/in/node.json"])
    write("run/compose/in/owner", files["kexec/in/owner"])


def main(program: str, arguments: list[str]) -> int:
    if program == "kexec" and "-u" in arguments:
        os.unlink(LOADED)
    elif program == "kexec":
        kernel = arguments[arguments.index("-l") + 1]
        options = dict(word.split("=", 1) for word in arguments if "=" in word)
        if read(kernel) != b"kernel":
            print(f"Cannot determine the file type of {kernel}", file=sys.stderr)
            return 255
        assert "rdinit=/kexec/init" in options["--command-line"]
        write("loaded", read(options["--initrd"]))
    elif program == "systemctl":
        boot(read(LOADED) if arguments == ["kexec"] else None)
        if os.path.exists(LOADED):
            os.unlink(LOADED)
    return 0


sys.exit(main(sys.argv[1], sys.argv[2:]))
