# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file system of containers that boot, and stop, in an instant: a shell is their init."""

from __future__ import annotations

import re
import shutil
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.model.image import IDENTITY_FILE

from ..ground import BROKEN

#: What containers are told when they are to stop, SIGRTMIN+3, see systemd(1).
STOP = 37
INIT = f"""#!/bin/sh
trap 'echo stops; exit 0' {STOP}
read -r identity <{IDENTITY_FILE}
echo "boots $identity"
while :; do sleep 3600 & wait; done
"""
PROGRAMS = ("/bin/sh", "/bin/sleep")
DIRECTORIES = ("dev", "etc", "proc", "root", "run", "sbin", "srv/data", "sys", "tmp", "usr/lib/compose", "var")


def make_root(identity: str, root: Path) -> None:
    """Write the tree."""
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True)
    (root / IDENTITY_FILE[1:]).write_text(f"{identity}\n")
    (root / "etc/os-release").write_text('ID=contract\nNAME="Contract"\n')
    for path in {*PROGRAMS, *(library for program in PROGRAMS for library in libraries(program))}:
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, root / path[1:])
        (root / path[1:]).chmod(0o755)
    if identity != BROKEN:
        (root / "sbin/init").write_text(INIT)
        (root / "sbin/init").chmod(0o755)


def libraries(program: str) -> t.Iterator[str]:
    """The files that a program is linked with."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    yield from re.findall(r"(/\S+) \(0x", listed)
