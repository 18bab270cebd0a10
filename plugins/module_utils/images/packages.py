# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is inside an image: its packages. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import typing as t

from ..model.image import Package
from ..model.step import Diff

#: Base name of a store path. The version begins as for ``builtins.parseDrvName`` of Nix and
#: ``package-name->name+version`` of Guix, which agree where it begins with a digit.
_STORE_NAME = re.compile(r"[0-9a-z]{32}-(?P<name>.+?)-(?P<version>[^A-Za-z].*)")

#: Outputs of one package, as Nixpkgs and Guix name them; the default output ``out`` has no suffix.
_OUTPUT = re.compile(
    r"-(?:bin|data|debug|dev|devdoc|dist|doc|getent|gui|include|info|lib|libgcc|man|modules|static|tests?|tk|utils)$"
)

#: Single files with a number in their name (``…-CVE-2023-1.patch``, ``…-udev-99-local.rules``) are no packages.
_FILE = re.compile(
    r"\.(?:bz2|cfg|conf|diff|drv|gz|ini|json|link|lock|mount|network|patch|pem|rules|service|sh|socket|target|tgz|timer"
    r"|toml|txt|xml|xz|ya?ml|zip)$"
)


def from_store_paths(paths: t.Iterable[str]) -> tuple[Package, ...]:
    """Packages among the paths of a closure of Nix or Guix, ``STORE/HASH-NAME-VERSION[-OUTPUT]``.

    Each output is an entry of its own with its path. Left out are paths whose name has no version: configuration,
    scripts, units, profiles, which are made for one system and are no packages.
    """
    found = set()
    for path in paths:
        match = _STORE_NAME.fullmatch(os.path.basename(path))
        if match and match["version"][0].isdigit() and not _FILE.search(path):
            found.add(Package(match["name"], _OUTPUT.sub("", match["version"]), path))
    return tuple(sorted(found))


def versions(packages: t.Iterable[Package]) -> dict[str, str]:
    """Name → version, or versions, for comparing."""
    found: dict[str, dict[str, None]] = {}
    for package in packages:
        found.setdefault(package.name, {})[package.version] = None
    return {name: ", ".join(each) for name, each in found.items()}


def package_changes(old: t.Mapping[str, str], new: t.Mapping[str, str]) -> dict[str, list[str | None]]:
    """Package → [old version, new version] for every difference; ``None`` where a side lacks it."""
    return {name: [old.get(name), new.get(name)] for name in sorted({*old, *new}) if old.get(name) != new.get(name)}


def package_diff(changes: t.Mapping[str, t.Sequence[str | None]], before_header: str, after_header: str) -> Diff:
    """Changes as Ansible's ``--diff`` shows them."""
    before, after = (
        "".join(f"{name} {pair[side]}\n" for name, pair in changes.items() if pair[side] is not None) for side in (0, 1)
    )
    return Diff(before_header, after_header, before, after)
