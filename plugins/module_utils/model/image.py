# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image: an immutable build result, known by its content. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ..errors import InputError
from .composition import Volume
from .free import Parameters
from .numbers import Numbers

#: The formats that an image may have, each one file of the bundle.
#: ``root``: squashfs of the root file system. ``kernel``, ``initrd``: for direct boot, with ``root`` as first disk.
#: ``qcow2``, ``raw``: bootable disk. ``tar``: root file system as a tar archive. ``oci``: archive of a container image,
#: as ``podman load`` reads it. ``iso``: bootable optical disk. ``vma``: backup that Proxmox restores. ``kexec``: tar
#: archive with kernel, initrd that holds the whole system, and a script that boots them from any Linux. ``toplevel``:
#: directory of a NixOS system in the store of this host. ``installed``: compressed tar archive of a root file system
#: with kernel and initrd, for whoever unpacks it to a partition and boots that; see :class:`Installed`. ``network``:
#: what comes behind ``initrd`` where the root file system is on a server: drivers of network cards and NFS.
FORMATS = (
    "root",
    "kernel",
    "initrd",
    "qcow2",
    "raw",
    "tar",
    "oci",
    "iso",
    "vma",
    "kexec",
    "toplevel",
    "installed",
    "network",
)

#: Architecture of an image, by what ``uname -m`` says on machines that run it.
ARCHITECTURES: t.Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}

#: File in every image of the builder ``debian``, whose one line is the identity of the image.
IDENTITY_FILE = "/usr/lib/compose/identity"
#: Link, in running systems of Nix and Guix, to a store path whose base name is the identity of the image.
SYSTEM_LINK = "/run/current-system"


@dataclass(frozen=True)
class PlannedImage:
    """An image, or one format of it, as its evaluation says: nothing need be built yet."""

    #: What running nodes will prove.
    identity: str
    #: What it is built by.
    derivation: str
    #: Where it will be in the store.
    output: str
    #: Derivation of the system that is in it; empty where nobody has to know.
    system: str = ""


@dataclass(frozen=True, order=True)
class Package:
    """One package of an image. An image may have several versions, and several outputs, of the same name."""

    name: str
    version: str
    #: Output in the store (``/nix/store/…``, ``/gnu/store/…``); empty for a Debian package.
    path: str = ""
    #: Source package that a Debian package is built from, if known: advisories name that.
    source: str = ""
    #: Of a file of the composition's own (a Debian package that is in no archive, a tarball), hexadecimal; else empty.
    sha256: str = ""


@dataclass(frozen=True)
class ImageFile:
    """One format of an image."""

    #: Path in the bundle.
    file: str
    #: Bytes.
    size: int
    #: Hexadecimal; empty for a directory in a store.
    sha256: str


@dataclass(frozen=True)
class Installed:
    """How the archive of the format ``installed`` boots, once it is unpacked to a partition.

    The kernel's parameters are the command line of the image, and ``root=`` of that partition.
    """

    #: Absolute path in the archive.
    kernel: str
    #: Absolute path in the archive.
    initrd: str
    #: ``gzip``, ``xz`` or ``zstd``.
    compression: str


@dataclass(frozen=True)
class NixosCompose:
    """What NixOS Compose says of an image that it built."""

    brief: t.ClassVar[bool] = True

    #: ``nxc``; empty: NixOS Compose did not build the image.
    kind: t.Literal["", "nxc"] = ""
    #: Of NixOS Compose.
    flavour: str = ""
    #: Name of the composition in its project.
    composition: str = ""
    #: Store path in which stage 1 looks up the system of a role; empty: the image has it itself.
    compositions_info_path: str = ""
    #: Store path of ``compose-info.json``, which refers to all of the image.
    compose_info: str = ""
    #: Store path of the role's system; its base name is the identity.
    system: str = ""
    #: ``all`` of ``compose-info.json``.
    all: Parameters = field(default_factory=dict)
    #: For the flavour docker: the role's service of the compose file.
    service: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """What a bundle says of itself."""

    role: str
    #: ``debian``, ``nixos``, ``nxc`` or ``guix``.
    builder: str
    #: What identifies the image, also when it runs.
    identity: str
    #: ``amd64`` or ``arm64``.
    architecture: str
    #: By name of the format.
    formats: t.Mapping[str, ImageFile]
    #: Directory of the bundle; only in copies of this document, such as machine records.
    bundle: str = ""
    #: Kernel command line.
    cmdline: str = ""
    #: All that is known to be in it.
    packages: tuple[Package, ...] = ()
    #: Data volumes that the image mounts, for the platform to provide.
    volumes: t.Mapping[str, Volume] = field(default_factory=dict)
    #: Of the users and groups in it; empty if they are not known.
    numbers: Numbers = field(default_factory=Numbers)
    #: How a running node proves the identity: a file whose only line it is, or a link, ``/run/current-system``, to
    #: what is named by it.
    identity_file: str = IDENTITY_FILE
    #: Of an image of NixOS Compose, which reads no node document: what it is told in place of one is made from this.
    handover: NixosCompose = field(default_factory=NixosCompose)
    #: Of an image with the format ``installed``.
    installed: Installed | None = None
    schema: t.Literal["immutable.compose/image/1"] = "immutable.compose/image/1"

    def path(self, format_: str) -> str:
        """Absolute path of a format. :raises InputError: the image was not built in that format."""
        try:
            return os.path.join(self.bundle, self.formats[format_].file)
        except KeyError:
            have = ", ".join(sorted(self.formats))
            raise InputError(f"the image of role {self.role!r} has no format {format_!r} (it has: {have})") from None
