# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``image.json``: what a built image is, and in which formats. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import typing as t
from dataclasses import asdict, dataclass, field

from ..composition.model import Volume
from ..composition.schema import reading, validate
from ..errors import InputError
from .packages import Package, read_packages

IMAGE_SCHEMA = "immutable.compose/image/1"

#: The formats that an image may have, each one file of the bundle.
#: ``root``: squashfs of the root file system. ``kernel``, ``initrd``: for direct boot, with ``root`` as first disk.
#: ``qcow2``, ``raw``: bootable disk. ``tar``: root file system as a tar archive. ``oci``: archive of a container image,
#: as ``podman load`` reads it. ``iso``: bootable optical disk. ``vma``: backup that Proxmox restores. ``kexec``: tar
#: archive with kernel, initrd that holds the whole system, and a script that boots them from any Linux. ``toplevel``:
#: directory of a NixOS system in the store of this host.
FORMATS = ("root", "kernel", "initrd", "qcow2", "raw", "tar", "oci", "iso", "vma", "kexec", "toplevel")

#: Architecture of an image, by what ``uname -m`` says on machines that run it.
ARCHITECTURES: t.Mapping[str, str] = {"x86_64": "amd64", "aarch64": "arm64"}

#: File in every image of the builder ``debian``, whose one line is the identity of the image.
IDENTITY_FILE = "/usr/lib/compose/identity"
#: Link, in running systems of Nix and Guix, to a store path whose base name is the identity of the image.
SYSTEM_LINK = "/run/current-system"


@dataclass(frozen=True)
class ImageFile:
    """One format of an image."""

    file: str  #: path relative to the bundle
    size: int  #: bytes
    sha256: str


@dataclass(frozen=True)
class Image:
    """An immutable build result."""

    role: str
    builder: str
    identity: str
    architecture: str
    formats: t.Mapping[str, ImageFile]
    #: Directory of the bundle (a store path); not part of ``image.json``.
    bundle: str = ""
    cmdline: str = ""
    packages: tuple[Package, ...] = ()
    #: Data volumes that the image mounts, for the platform to provide.
    volumes: t.Mapping[str, Volume] = field(default_factory=dict)
    #: How a running node proves what it runs: a file that holds the identity, or a link to what is named by it.
    identity_file: str = IDENTITY_FILE
    #: Where the image reads no node document: what it reads instead, and what of it is the image's. Empty: it does.
    handover: t.Mapping[str, t.Any] = field(default_factory=dict)

    def path(self, format_: str) -> str:
        """Absolute path of a format. :raises InputError: the image was not built in that format."""
        try:
            return os.path.join(self.bundle, self.formats[format_].file)
        except KeyError:
            have = ", ".join(sorted(self.formats))
            raise InputError(f"the image of role {self.role!r} has no format {format_!r} (it has: {have})") from None

    @classmethod
    def read(cls, bundle: str) -> Image:
        """Read ``image.json`` of a bundle directory."""
        with open(os.path.join(bundle, "image.json"), encoding="utf-8") as stream:
            return cls.from_json({**json.load(stream), "bundle": bundle})

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Image:
        where = f"image.json of {data.get('bundle')}"
        fields = validate(data, IMAGE_SCHEMA, where)
        with reading(IMAGE_SCHEMA, where):
            fields["packages"] = read_packages(data.get("packages", ()))
            fields["formats"] = {name: ImageFile(**entry) for name, entry in data["formats"].items()}
            fields["volumes"] = {name: Volume(**entry) for name, entry in data.get("volumes", {}).items()}
            return cls(**fields)

    def to_json(self) -> dict[str, t.Any]:
        return {"schema": IMAGE_SCHEMA, **asdict(self)}


def find_image(path: str) -> Image:
    """The image that a person names: by its bundle, or by the ``image.json`` in it.

    :raises InputError: there is none.
    """
    bundle = os.path.dirname(path) if os.path.basename(path) == "image.json" else path
    try:
        return Image.read(bundle)
    except OSError as error:
        raise InputError(f"{path} is no image bundle, which is a directory with image.json: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: image.json is no JSON: {error}") from None
