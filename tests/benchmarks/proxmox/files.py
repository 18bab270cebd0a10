# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builder ``files``: images that are there already, named in ``images.json``. For benchmarks and tests of Proxmox.

Roles that have data volumes have them in ``volumes.json``.
"""

from __future__ import annotations

import json
import os
import shutil

from ..model import codec
from ..model.composition import Composition, Role, Volume
from ..model.image import Image, ImageFile
from .base import Builder


class Files(Builder):
    """See the module. The identity of an image is the name of its file without the extension."""

    name = "files"

    def _roles(self, path):
        with open(os.path.join(path, "images.json"), encoding="utf-8") as stream:
            return json.load(stream)

    def _volumes(self, path, role):
        file = os.path.join(path, "volumes.json")
        if not os.path.exists(file):
            return {}
        with open(file, encoding="utf-8") as stream:
            return {name: Volume(**volume) for name, volume in json.load(stream).get(role, {}).items()}

    def evaluate(self, path, parameters):
        roles = {
            name: Role(name, identity, volumes=self._volumes(path, name))
            for name, identity in self._roles(path).items()
        }
        return Composition("files", self.name, path, json.dumps(self._roles(path)), roles)

    def identify(self, path, parameters, roles, formats):
        return {role: self._roles(path)[role] for role in roles}

    def is_built(self, path, parameters, roles, formats):
        return dict.fromkeys(roles, True)

    def build(self, path, parameters, roles, formats, roots):
        images = {}
        for role in roles:
            identity = self._roles(path)[role]
            bundle = os.path.join(roots, identity)
            os.makedirs(bundle, exist_ok=True)
            shutil.copy(os.path.join(path, f"{identity}.qcow2"), os.path.join(bundle, "disk.qcow2"))
            file = ImageFile("disk.qcow2", os.path.getsize(os.path.join(bundle, "disk.qcow2")), "")
            volumes = self._volumes(path, role)
            images[role] = Image(role, self.name, identity, "amd64", {"qcow2": file}, bundle, volumes=volumes)
            codec.write(os.path.join(bundle, "image.json"), images[role])
        return images

    def check_reproducible(self, path, parameters, roles, formats):
        return dict.fromkeys(roles, "")
