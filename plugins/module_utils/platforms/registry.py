# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The known platforms, by the name that a deployment file uses. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from .base import Platform
from .nspawn import Nspawn
from .podman import Podman
from .proxmox import Proxmox
from .qemu import Qemu

PLATFORMS: t.Mapping[str, type[Platform]] = {platform.name: platform for platform in (Nspawn, Podman, Proxmox, Qemu)}
