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

IMAGE_SCHEMA = "immutable.compose/image/1"

#: The formats that an image may have, each one file of the bundle.
#: ``root``: squashfs of the root file system. ``kernel``, ``initrd``: for direct boot, with ``root`` as first disk.
#: ``qcow2``, ``raw``: bootable disk. ``tar``: root file system as a tar archive.
FORMATS = ("root", "kernel", "initrd", "qcow2", "raw", "tar")

#: File in every image, whose one line is the identity of the image.
IDENTITY_FILE = "/usr/lib/compose/identity"


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
    packages: t.Mapping[str, str] = field(default_factory=dict)
    #: Data volumes that the image mounts, for the platform to provide.
    volumes: t.Mapping[str, Volume] = field(default_factory=dict)
    identity_file: str = IDENTITY_FILE

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
            fields["formats"] = {name: ImageFile(**entry) for name, entry in data["formats"].items()}
            fields["volumes"] = {name: Volume(**entry) for name, entry in data.get("volumes", {}).items()}
            return cls(**fields)

    def to_json(self) -> dict[str, t.Any]:
        return {"schema": IMAGE_SCHEMA, **asdict(self)}
