# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as users have it, or had it: built, and installed by ansible-galaxy into a directory of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import BIN, PATIENCE, ROOT


@dataclass(frozen=True)
class Installed:
    """Where it is installed, for commands that know nothing of the checkout."""

    collections: Path

    def run(self, *command: str, cwd: Path, expect: int = 0) -> str:
        """What one of Ansible's commands says, called in a directory."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH"))}
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=cwd,
            env={
                **kept,
                "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "PWD": str(cwd),  # as a shell has it
                "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
                "ANSIBLE_NOCOLOR": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        print(f"--- {' '.join(command)}\n{done.stdout}")
        assert done.returncode == expect, done.stdout
        for complaint in ("[WARNING]", "[DEPRECATION WARNING]"):
            assert complaint not in done.stdout, done.stdout
        return done.stdout

    def play(self, *arguments: str, cwd: Path, expect: int = 0) -> str:
        """What ``ansible-playbook`` says."""
        return self.run("ansible-playbook", *arguments, cwd=cwd, expect=expect)


def last_without(schema: str) -> str:
    """The newest commit whose code knew no such version of a document."""
    assert _git("rev-parse", "--is-shallow-repository") == b"false\n", "git fetch --unshallow: older versions are built"
    knew = _git("log", "--reverse", "--format=%H", f'-S"{schema}"', "--", "plugins/module_utils").decode().split()
    assert knew, f"commit first: nothing that is committed knows {schema}"
    return f"{knew[0]}^"


def install(directory: Path, commit: str = "") -> Installed:
    """Build the collection as a release is, and install it.

    :param commit: what was committed then; by default what the checkout has.
    """
    if commit:
        source = directory / "source/ansible_collections/immutable/compose"
        source.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", source], input=_git("archive", commit), check=True)
    else:
        export = [str(ROOT / "tests/tools/export.sh"), str(directory / "source")]
        subprocess.run(export, check=True, capture_output=True, timeout=PATIENCE)
    installed = Installed(directory / "collections")
    installed.run(
        "ansible-galaxy", "collection", "build", "source/ansible_collections/immutable/compose", cwd=directory
    )
    (tarball,) = directory.glob("immutable-compose-*.tar.gz")
    installed.run(
        "ansible-galaxy", "collection", "install", "--offline", "-p", "collections", tarball.name, cwd=directory
    )
    return installed


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=PATIENCE).stdout
