# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Projects of NixOS Compose: what belongs to one, and copies that may be changed. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import typing as t
from dataclasses import dataclass, replace

from ...errors import CommandError, InputError, MissingProgramError
from ...model import codec
from ...model.answer import Word
from ...process import run

#: What `nxc` itself writes next to the flake.
_MADE = frozenset({"build", "deploy", "artifact", ".git"})


@dataclass(frozen=True)
class _Config:
    """nxc.json, as far as it is looked at."""

    ignores_unknown: t.ClassVar[bool] = True

    composition: str | None = None
    default_flavour: str | None = None


@dataclass(frozen=True)
class Project:
    """A directory with a flake that calls ``nxc.lib.compose``."""

    directory: str
    #: With the compositions: as the flake says, where that is known, or as nxc.json says, or is usual; empty: none.
    file: str
    #: ``default_flavour`` of nxc.json; empty: none.
    default_flavour: str
    #: What nxc.json calls ``composition``; empty: nothing.
    named: str = ""

    @property
    def flake(self) -> str:
        """Path of flake.nix."""
        return os.path.join(self.directory, "flake.nix")

    @property
    def setup_file(self) -> str:
        """Path of setup.toml; empty: there is none."""
        path = os.path.join(self.directory, "setup.toml")
        return path if os.path.isfile(path) else ""

    @classmethod
    def find(cls, path: str) -> Project:
        """The project in a directory, or in its directory ``nxc``, where ``nxc init`` puts it.

        :raises InputError: there is none, or nxc.json cannot be read.
        """
        path = os.path.abspath(path)
        for directory in (path, os.path.join(path, "nxc")):
            if os.path.isfile(os.path.join(directory, "flake.nix")):
                return cls._read(directory)
        raise InputError(f"{path} has no flake.nix: it is what makes a directory a project of the builder 'nxc'")

    @classmethod
    def _read(cls, directory: str) -> Project:
        config = os.path.join(directory, "nxc.json")
        said = codec.read(_Config, config) if os.path.isfile(config) else _Config()
        files = [os.path.join(directory, name) for name in _usual(said.composition)]
        file = next((name for name in files if os.path.exists(name)), "")
        return cls(directory, file, said.default_flavour or "", said.composition or "")

    def saying(self, declared: str) -> Project:
        """The project with the file that its flake says the compositions are in: nxc.json may name another.

        :param declared: empty: the flake does not say it.
        :raises InputError: there is none.
        """
        if declared and not os.path.exists(declared):
            raise InputError(f"{self.flake} says that {declared} has the compositions, but it is not there")
        if not (declared or self.file):
            files = ", ".join(os.path.join(self.directory, name) for name in _usual(self.named))
            config = os.path.join(self.directory, "nxc.json")
            named = f"; {config} names {self.named}" if self.named else ""
            raise InputError(f"none of {files} is there{named}")
        return replace(self, file=declared or self.file)

    def digest(self) -> str:
        """Of the names and contents of the project's files."""
        digest = hashlib.sha256()
        for folder, folders, files in os.walk(self.directory):
            folders[:] = sorted(set(folders) - _MADE)
            for name in sorted(files):
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    line = f"{os.path.relpath(path, self.directory)}\0{file_digest(path)}\n"
                    digest.update(line.encode())
        return digest.hexdigest()

    def lock_digest(self) -> str | None:
        """Of flake.lock; ``None`` if there is none."""
        path = os.path.join(self.directory, "flake.lock")
        return file_digest(path) if os.path.exists(path) else None

    def copy_to(self, directory: str) -> Project:
        """A copy of all that Nix would see of the project: tracked files, or, outside of git, all but build results.

        The whole repository is copied, for inputs of a flake may lie beside it.
        """
        top = self._top()
        within = "." if top is None else os.path.relpath(self.directory, top)
        target = os.path.join(directory, "source")
        if top is None:
            shutil.copytree(self.directory, target, symlinks=True, ignore=lambda folder, names: _MADE & set(names))
        else:
            listed = run(["git", "-C", top, "ls-files", "-z"], timeout=60).stdout
            for name in filter(None, listed.split("\0")):
                source = os.path.join(top, name)
                if os.path.islink(source) or os.path.isfile(source):
                    os.makedirs(os.path.join(target, os.path.dirname(name)), exist_ok=True)
                    shutil.copy2(source, os.path.join(target, name), follow_symlinks=False)
            # A repository again, so that Nix takes all of it, and from there the same as from the original.
            run(["git", "-C", target, "init", "--quiet"], timeout=60)
            run(["git", "-C", target, "add", "--all", "--force"], timeout=60)
        path = os.path.normpath(os.path.join(target, within))
        if not os.path.isfile(os.path.join(path, "flake.nix")):
            raise InputError(f"{self.directory}: flake.nix is not tracked by git, so Nix does not see it; git add it")
        file = os.path.join(path, os.path.relpath(self.file, self.directory))
        return replace(self, directory=path, file=file)

    def _top(self) -> str | None:
        try:
            done = run(["git", "-C", self.directory, "rev-parse", "--show-toplevel"], timeout=10)
        except (CommandError, MissingProgramError):
            return None
        return done.stdout.strip()


def _usual(named: str | None) -> list[str]:
    """Files in which compositions are looked for where the flake does not say it; the first that exists counts."""
    return list(dict.fromkeys(filter(None, [named, "compositions.nix", "composition.nix"])))


def container_ports(published: t.Iterable[Word]) -> tuple[int, ...]:
    """Ports in the container of compose's short form, ``[[ADDRESS:]HOST:]PORT[/tcp]``."""
    ports = (str(entry).rpartition(":")[2] for entry in published if not str(entry).endswith("/udp"))
    return tuple(
        sorted({int(port.partition("/")[0]) for port in ports if re.fullmatch("[0-9]{1,5}", port.partition("/")[0])})
    )


def file_digest(path: str) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()
