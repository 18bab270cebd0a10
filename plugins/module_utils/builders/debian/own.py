# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian packages and tarballs of a composition's own: files in its directory. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import typing as t
from dataclasses import dataclass
from functools import cached_property

from ...errors import CommandError, InputError, shown
from ...process import need, run

#: What a lock calls the archive that these files are in: the directory of the composition.
COMPOSITION = "composition"

#: Path of a file that Nix can name and an URL can have; hidden files do not travel with a composition.
_FILENAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9+._~-]*/)*[A-Za-z0-9][A-Za-z0-9+._~-]*")
#: Version of a Debian package (deb-version(7)).
_VERSION = re.compile(r"(?:[0-9]+:)?[0-9][A-Za-z0-9.+~-]*")
_TIMEOUT = 60


@dataclass(frozen=True)
class Package:
    """One version of a package, as a lock pins it."""

    version: str
    architecture: str
    archive: str  #: key of ``apt.ARCHIVES``, or :data:`COMPOSITION`
    filename: str  #: path in the archive
    size: int  #: bytes
    sha256: str


@dataclass(frozen=True)
class OwnFile:
    """A file of a composition."""

    composition: str
    #: From there.
    filename: str

    @property
    def path(self) -> str:
        return os.path.join(self.composition, self.filename)

    @property
    def size(self) -> int:
        """Bytes."""
        return os.path.getsize(self.path)

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal."""
        digest = hashlib.sha256()
        with open(self.path, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        return digest.hexdigest()

    def other_than(self, sha256: str) -> str:
        """How the file differs from the one that is locked, in words; empty if it does not."""
        if self.sha256 == sha256:
            return ""
        return f"{self.path} is not what was locked: its SHA-256 is {self.sha256}, the lock has {sha256}"


@dataclass(frozen=True)
class OwnPackage:
    """A Debian package, as it calls itself."""

    name: str
    package: Package
    path: str


@dataclass(frozen=True)
class OwnArchive:
    """A tarball, as a role has it."""

    version: str
    file: OwnFile


def locate(composition: str, source: str, where: str) -> str:
    """Path of a file from the directory of the composition, ``./…``.

    :param source: absolute, or from the directory of the composition.
    :param where: attribute, for messages.
    :raises InputError: there is none, or it is no file of the composition.
    """
    path = os.path.normpath(os.path.join(composition, source))
    directory, real = os.path.realpath(composition), os.path.realpath(path)
    if not real.startswith(f"{directory}/"):
        raise InputError(f"{where}: {path} is outside of the composition's directory {composition}: put it there")
    if not os.path.isfile(real):
        raise InputError(f"{where}: there is no file {path}")
    filename = os.path.relpath(real, directory)
    if not _FILENAME.fullmatch(filename):
        raise InputError(
            f"{where}: {path}: its name may have letters, digits, '.', '+', '-', '_' and '~', and begins with a letter "
            "or digit"
        )
    return f"./{filename}"


def read_packages(files: t.Iterable[OwnFile], architecture: str, where: str) -> list[OwnPackage]:
    """Debian packages, by what they say of themselves.

    :param architecture: of the image.
    :raises InputError: one is none, or for another architecture; two are the same.
    """
    found: dict[str, OwnPackage] = {}
    for file in files:
        package = _read_package(file, where)
        said = package.package.architecture
        if said not in (architecture, "all"):
            raise InputError(
                f"{where}: {file.path} is for the architecture {said!r}, the image is for {architecture!r}"
            )
        other = found.setdefault(package.name, package)
        if other is not package:
            raise InputError(f"{where}: {other.path} and {file.path} are both the package {package.name!r}")
    return list(found.values())


def _read_package(file: OwnFile, where: str) -> OwnPackage:
    need("dpkg-deb")
    show = ["dpkg-deb", "--show", "--showformat=${Package}\\n${Version}\\n${Architecture}\\n"]
    try:
        said = run([*show, file.path], timeout=_TIMEOUT, env={"LC_ALL": "C.UTF-8"}).stdout.split("\n")
    except CommandError as error:
        words = (error.output.strip().splitlines() or [str(error)])[-1]
        raise InputError(f"{where}: {file.path} is not a Debian package: {words}") from None
    name, version, architecture = (*said, "", "", "")[:3]
    if not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) or not _VERSION.fullmatch(version):
        raise InputError(
            f"{where}: {file.path} calls itself {shown(name)} {shown(version)}, expected name and version of a package"
        )
    return OwnPackage(
        name, Package(version, architecture, COMPOSITION, file.filename, file.size, file.sha256), file.path
    )


def check_archive(file: OwnFile, where: str) -> None:
    """Refuse what cannot be unpacked to a directory, or would be elsewhere then.

    :raises InputError: it is no tarball, or names the member that is wrong.
    """
    try:
        with tarfile.open(file.path) as archive:
            for member in archive:
                why = _wrong(member)
                if why:
                    raise InputError(f"{where}: {file.path}: {shown(member.name)} {why}")
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise InputError(f"{where}: {file.path} is not a readable tarball: {error}") from None


def _wrong(member: tarfile.TarInfo) -> str:
    """Why a member is refused; empty if it is not."""
    for name in (member.name, *([member.linkname] if member.islnk() else [])):
        if name.startswith("/") or ".." in name.split("/"):
            return "leads out of the directory to which it is unpacked"
    return (
        "" if member.isreg() or member.isdir() or member.issym() or member.islnk() else "is neither a file nor a link"
    )
