# SPDX-License-Identifier: GPL-3.0-or-later
"""Semantic versions of the collection, and what its changelog fragments mean for the next one."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml

#: What changes things for those who upgrade.
BREAKING = {"breaking_changes", "major_changes", "removed_features"}
#: What adds something.
ADDING = {"minor_changes", "deprecated_features"}


class Version(t.NamedTuple):
    """MAJOR.MINOR.PATCH"""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """:raises ValueError: it is none."""
        major, minor, patch = map(int, text.split("."))
        found = cls(major, minor, patch)
        if str(found) != text:
            raise ValueError(text)
        return found

    def __str__(self) -> str:
        return ".".join(map(str, self))

    def next(self, sections: t.Collection[str]) -> Version:
        """The smallest version that may come after this one, with such changes. Before 1.0.0, minors may break."""
        if BREAKING & set(sections):
            return Version(self.major + 1, 0, 0) if self.major else Version(0, self.minor + 1, 0)
        if ADDING & set(sections):
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + 1)


def released(root: Path) -> list[str]:
    """The versions that the changelog has."""
    path = root / "changelogs/changelog.yaml"
    return list(yaml.safe_load(path.read_text())["releases"]) if path.exists() else []


def require_next(root: Path, version: Version, refused: type[Exception]) -> None:
    """Refuse a version that does not say what has changed since the last one.

    :raises refused: with the version that is right.
    """
    before = max((Version.parse(text) for text in released(root) if text != str(version)), default=None)
    if before is None or str(version) in released(root):
        return
    fragments = (root / "changelogs/fragments").glob("*.yml")
    sections = {section for path in fragments for section in yaml.safe_load(path.read_text())}
    if version < before.next(sections):
        raise refused(
            f"galaxy.yml: version is {version}, but after {before} the changes in changelogs/fragments "
            f"({', '.join(sorted(sections))}) want {before.next(sections)} or more"
        )
