# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builder ``tars``: as ``files``, with archives that are unpacked to a partition. For benchmarks of Kadeploy."""

from __future__ import annotations

import os

from ..images.bundle import write_bundle
from ..model.image import Image, Installed
from .files import Files

_BOOTS = Installed("/boot/vmlinuz", "/boot/initrd.img", "gzip")


class Tars(Files):
    """See the module."""

    name = "tars"

    def build(self, path, parameters, roles, formats, roots):
        images = {}
        for role in roles:
            identity = self._roles(path)[role]
            image = Image(role, self.name, identity, "amd64", {}, installed=_BOOTS)
            bundle = os.path.join(roots, identity)
            images[role] = write_bundle(bundle, image, {"installed": os.path.join(path, f"{identity}.tar.gz")})
        return images
