# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is being built, as users know it. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import typing as t

from ..failures import failed_builders
from ..nix.nix import NixBuildError

#: What the name of a second build ends in.
AGAIN = "-again"


class Labels:
    """The names of one composition's derivations.

    :param layers: role → derivation of the layer with its packages, which roles with the same packages share.
    """

    def __init__(self, composition: str, layers: t.Mapping[str, str]) -> None:
        self._composition = composition
        self._roles: dict[str, list[str]] = {}
        for role, layer in layers.items():
            self._roles.setdefault(os.path.basename(layer), []).append(role)

    def __call__(self, derivation: str) -> str:
        """``build server``, ``build base``; for packages, the roles: ``build server, client``."""
        roles = self._roles.get(os.path.basename(derivation))
        if roles:
            return f"build {', '.join(roles)}"
        name = re.sub(r"^[a-z0-9]{32}-|\.drv$", "", os.path.basename(derivation))
        for prefix in (f"{self._composition}-", "debian-"):
            if name.startswith(prefix):
                name = name[len(prefix) :]
                break
        return f"again: build {name[: -len(AGAIN)]}" if name.endswith(AGAIN) else f"build {name}"

    def named(self, error: NixBuildError) -> NixBuildError:
        """The error, which also says of what roles the packages are where it is of a layer of packages."""
        failed = set(map(os.path.basename, failed_builders(error.output)))
        whose = "".join(
            f"\n{layer[: -len('.drv')]} has the packages of roles.{', roles.'.join(roles)}"
            for layer, roles in self._roles.items()
            if layer in failed
        )
        named = NixBuildError(error.command, error.returncode, error.output + whose)
        named.failure = error.failure
        return named
