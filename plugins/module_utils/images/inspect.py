# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a bundle, and what differs between two. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ..model.image import Image
from ..model.result import ALWAYS
from ..model.step import Diff, PackageChanges
from .image import find_image
from .packages import package_changes, package_diff, versions


@dataclass(frozen=True)
class Inspected:
    """Result of `image_info`."""

    brief: t.ClassVar[bool] = True

    #: Content of ``image.json``, with the bundle.
    image: Image
    #: Whether there is a difference that somebody wants to see.
    changed: bool = field(default=False, metadata=ALWAYS)
    #: Package → version in the other image and in this one; null without another image.
    changes: t.Optional[PackageChanges] = None  # noqa: UP045 - read at run time, as those of model/
    diff: t.Sequence[Diff] = ()


def inspect(path: str, compare_to: str | None, *, diff: bool) -> Inspected:
    """What is in a bundle, and what differs from another.

    :param diff: somebody wants to see the difference.
    """
    image = find_image(path)
    if compare_to is None:
        return Inspected(image)
    old = find_image(compare_to)
    changes = package_changes(versions(old.packages), versions(image.packages))
    if not diff or not changes:
        return Inspected(image, changes=changes)
    return Inspected(image, True, changes, [package_diff(changes, old.identity, image.identity)])
