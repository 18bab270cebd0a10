# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The known builders, by the name that a deployment file uses. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ..registry import Registry
from .base import Builder

if t.TYPE_CHECKING:
    from .debian.builder import Debian  # noqa: F401
    from .guix.builder import GuixBuilder  # noqa: F401
    from .nixos.builder import Nixos  # noqa: F401
    from .nxc.builder import Nxc  # noqa: F401

BUILDERS: t.Mapping[str, type[Builder]] = Registry(
    __package__, "builder", {"debian": "Debian", "guix": "GuixBuilder", "nixos": "Nixos", "nxc": "Nxc"}
)
