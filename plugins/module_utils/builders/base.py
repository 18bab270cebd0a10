# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one interface behind which every builder stands. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from abc import ABC, abstractmethod

from ..composition.model import Composition
from ..errors import InputError
from ..images.image import Image
from ..progress import Progress


class Builder(ABC):
    """What turns the roles of a composition into images.

    :param support: directory of the collection's own data files (``nix/``) on this host.
    """

    name: t.ClassVar[str]

    def __init__(self, support: str, progress: Progress) -> None:
        self.support = support
        self.progress = progress

    @abstractmethod
    def evaluate(self, path: str, parameters: t.Mapping[str, t.Any]) -> Composition:
        """Read a composition: no build, no network, nothing written.

        :raises EvaluationError: the evaluator's own message, with file and line.
        :raises InputError: an attribute that is unknown or of the wrong type, with role and attribute.
        """

    @abstractmethod
    def check(self, path: str, parameters: t.Mapping[str, t.Any], roles: t.Sequence[str]) -> None:
        """Refuse roles that have no identity yet.

        :raises InputError: why not: the lock is missing, or does not match the composition, and how to renew it.
        """

    @abstractmethod
    def build(
        self, path: str, parameters: t.Mapping[str, t.Any], roles: t.Sequence[str], formats: t.Sequence[str], roots: str
    ) -> dict[str, Image]:
        """Build the images of ``roles`` in ``formats``, by role. What is built already is not built again.

        :param roots: directory for garbage-collection roots, one link per image, named by the image's identity.
        :raises ComposeError: evaluation, missing or stale lock, missing package, hash mismatch, no space, failure.
        """

    @abstractmethod
    def is_built(
        self, path: str, parameters: t.Mapping[str, t.Any], roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, bool]:
        """Which of the roles :meth:`build` would have nothing to do for."""

    def lock(self, path: str, parameters: t.Mapping[str, t.Any], write: bool = True) -> tuple[str, str, str]:
        """Pin the inputs of all roles: returns the lock file's path, its old and its new content.

        :param write: false only computes.
        """
        raise InputError(f"the builder {self.name!r} has no lock of its own")

    @abstractmethod
    def check_reproducible(
        self, path: str, parameters: t.Mapping[str, t.Any], roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        """Build each image a second time and compare: role → empty string if bit-identical, else what differs."""
