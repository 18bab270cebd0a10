# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The known platforms, by the name that a deployment file uses. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ..registry import Registry
from .base import Platform

if t.TYPE_CHECKING:
    from .folded.platform import Folded  # noqa: F401
    from .kadeploy.platform import Kadeploy  # noqa: F401
    from .kexec.platform import Kexec  # noqa: F401
    from .nspawn.platform import Nspawn  # noqa: F401
    from .podman.platform import Podman  # noqa: F401
    from .proxmox.platform import Proxmox  # noqa: F401
    from .qemu.platform import Qemu  # noqa: F401

PLATFORMS: t.Mapping[str, type[Platform]] = Registry(
    __package__,
    "platform",
    {
        "folded": "Folded",
        "kadeploy": "Kadeploy",
        "kexec": "Kexec",
        "nspawn": "Nspawn",
        "podman": "Podman",
        "proxmox": "Proxmox",
        "qemu": "Qemu",
    },
)
