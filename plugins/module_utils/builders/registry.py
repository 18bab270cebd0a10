# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The known builders, by the name that a deployment file uses. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from .base import Builder
from .debian import Debian
from .guix import GuixBuilder
from .nixos import Nixos
from .nxc import Nxc

BUILDERS: t.Mapping[str, type[Builder]] = {builder.name: builder for builder in (Debian, GuixBuilder, Nixos, Nxc)}
