# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ``nxc`` of NixOS Compose on what a lab has exported."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from pathlib import Path

from lab import PATIENCE, ROOT, Lab

NXC = ROOT / ".cache/venv/nxc/bin"


def run_nxc(
    lab: Lab, directory: Path, *arguments: str, prefix: t.Sequence[str] = (), typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``nxc`` with an ``ssh`` that has the deployment's key, and keeps no host keys among the user's own.

    :param prefix: command that runs it.
    :param typed: what is typed on its standard input.
    """
    programs = lab.directory / "bin"
    programs.mkdir(exist_ok=True)
    options = f"-F none -i {lab.state}/id_ed25519 -o UserKnownHostsFile=/dev/null"
    (programs / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    (programs / "ssh").chmod(0o755)
    return subprocess.run(
        [*prefix, str(NXC / "nxc"), "-d", str(directory), *arguments],
        env={**os.environ, "PATH": f"{programs}:{NXC}:{os.environ['PATH']}", "HOME": str(lab.directory)},
        cwd=lab.directory,
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
