# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages that are in no archive."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

#: Of a package, unless a test says otherwise.
FIELDS = {
    "Package": "our",
    "Version": "1:1.2~a-1",
    "Architecture": "all",
    "Maintainer": "a <a@example.org>",
    "Description": "a",
}


def write_deb(file: Path, script: str = "", **fields: str) -> Path:
    """A package with the program ``/usr/bin/NAME``, which says its version.

    :param script: runs when it is installed.
    :param fields: of its control file, in lower case.
    """
    control = {**FIELDS, **{name.capitalize(): value for name, value in fields.items()}}
    file.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "package"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text("".join(f"{name}: {value}\n" for name, value in control.items()))
        if script:
            (tree / "DEBIAN/postinst").write_text(f"#!/bin/sh\nset -e\n{script}\n")
            (tree / "DEBIAN/postinst").chmod(0o755)
        program = tree / "usr/bin" / control["Package"]
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho {control['Version']}\n")
        program.chmod(0o755)
        command = ["dpkg-deb", "--build", "--root-owner-group", str(tree), str(file)]
        subprocess.run(command, check=True, capture_output=True)
    return file
