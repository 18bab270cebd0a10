# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one interface behind which every builder stands. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from abc import ABC, abstractmethod

from ..describe.options import Option
from ..errors import InputError
from ..model.composition import Composition
from ..model.free import Options, Parameters
from ..model.image import Image, PlannedImage
from ..progress import Progress


class Builder(ABC):
    """What turns the roles of a composition into images.

    :param support: directory of the collection's own data files (``nix/``) on this host.
    :param given: options from the deployment file, by name.
    :param trusted: the composition may read, and fetch, whatever this user may.
    """

    name: t.ClassVar[str]
    #: Options in the deployment file, by name.
    options: t.ClassVar[t.Mapping[str, Option]] = {}
    #: Its nodes give data on volumes to whom they belong, when users and groups have other numbers than before.
    gives_back: t.ClassVar[bool] = False
    #: What to do about other numbers, where they do not.
    how_to_number: t.ClassVar[str] = ""

    def __init__(
        self, support: str, progress: Progress, given: Options | None = None, *, trusted: bool = False
    ) -> None:
        self.support = support
        self.progress = progress
        self.trusted = trusted
        self._given = given or {}
        #: What evaluations came to, by what was evaluated, content and all: one may take seconds. Within a run, it is
        #: handed on from the plan to the build.
        self.evaluated: dict[str, PlannedImage] = {}

    def option(self, name: str) -> t.Any:
        """Value of an option, or its default."""
        return self._given.get(name, self.options[name].default)

    def within(self, path: str) -> list[str]:
        """The directories of which all is that a composition may read while an inventory reads it; empty: whatever
        this user may."""
        return [] if self.trusted else [path, self.support]

    def untrusted(self, path: str) -> str:
        """What to do where a composition needs more than that."""
        return (
            f"A composition has {path} only: 'trust: true' in the deployment file lets it read, fetch and run whatever "
            "its user may"
        )

    @abstractmethod
    def evaluate(self, path: str, parameters: Parameters) -> Composition:
        """Read a composition: no build, no network, nothing written.

        Fast, for every inventory asks for it: an identity that takes more than that is left to :meth:`identify`.

        :raises EvaluationError: the evaluator's own message, with file and line.
        :raises InputError: an attribute that is unknown or of the wrong type, with role and attribute.
        """

    @abstractmethod
    def identify(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        """Identity that the image of each role will have in these formats. Builds nothing.

        :raises InputError: there is none yet: a lock is missing or stale, and how to renew it.
        :raises EvaluationError: the composition does not evaluate as a whole.
        """

    @abstractmethod
    def build(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str], roots: str
    ) -> dict[str, Image]:
        """Build the images of ``roles`` in ``formats``, by role. What is built already is not built again.

        :param roots: directory for garbage-collection roots. For each image it has the entry IDENTITY afterwards: a
            link to the bundle, or the bundle itself (:func:`..images.bundle.write_bundle`).
        :raises ComposeError: evaluation, missing or stale lock, missing package, hash mismatch, no space, failure.
        """

    @abstractmethod
    def is_built(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, bool]:
        """Which of the roles :meth:`build` would have nothing to do for."""

    def lock(self, path: str, parameters: Parameters, write: bool = True) -> tuple[str, str, str]:
        """Pin the inputs of all roles: returns the lock file's path, its old and its new content.

        :param write: false only computes.
        """
        raise InputError(f"the builder {self.name!r} has no lock of its own")

    @abstractmethod
    def check_reproducible(
        self, path: str, parameters: Parameters, roles: t.Sequence[str], formats: t.Sequence[str]
    ) -> dict[str, str]:
        """Build each image a second time and compare: role → empty string if bit-identical, else what differs."""
