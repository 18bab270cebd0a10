# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases: the record of each state of a deployment that was switched to and verified. PRIVATE to the collection.

They live in ``<state>/releases/<number>.json`` on the host that runs the deployment, next to the garbage-collection
roots of their images (``<state>/roots/<identity>``), so that a kept release can always be gone back to.
"""

from __future__ import annotations

import os
import re
import shutil
import typing as t
from contextlib import suppress
from dataclasses import replace

from ..errors import ComposeError, InputError, shown
from ..files import write_json
from ..images.image import read_image
from ..model import codec
from ..model.codec import DamagedError
from ..model.deployment import Deployment
from ..model.image import Image
from ..model.release import Release


class ReleaseStore:
    """The releases of one deployment.

    :param state: the deployment's directory.
    """

    def __init__(self, state: str) -> None:
        self.directory = os.path.join(state, "releases")
        self.roots = os.path.join(state, "roots")

    def numbers(self) -> list[int]:
        """Numbers of the kept releases, ascending."""
        if not os.path.isdir(self.directory):
            return []
        return sorted(
            int(entry[: -len(".json")])
            for entry in os.listdir(self.directory)
            if re.fullmatch(r"[0-9]{1,9}\.json", entry)
        )

    def read(self, number: int) -> Release:
        """:raises InputError: there is no such release, it is damaged, or it has another schema."""
        path = self._path(number)
        if not os.path.exists(path):
            kept = ", ".join(str(kept) for kept in self.numbers()) or "none"
            raise InputError(f"there is no release {number} (kept: {kept})")
        remedy = "Put back a copy of it, or remove it: this release cannot be gone back to then"
        return codec.read(Release, path, remedy=remedy)

    def current(self) -> Release | None:
        """The release that the deployment runs, as far as it was verified; ``None`` before the first.

        It is the newest one if nothing says which it is: a release is recorded before it is current.
        """
        numbers = self.numbers()
        try:
            with open(os.path.join(self.directory, "current"), encoding="utf-8") as stream:
                number = int(stream.read())
        except (FileNotFoundError, IsADirectoryError, ValueError):
            number = 0
        if number not in numbers:
            return self.read(numbers[-1]) if numbers else None
        return self.read(number)

    def placed(self, deployment: Deployment) -> Deployment:
        """The deployment with each node where the current release has it, whatever the roles' number is now."""
        current = self.current()
        places = current.places if current else {}
        nodes = (
            replace(node, index=places[node.name].index, address=places[node.name].address)
            if node.name in places
            else node
            for node in deployment.nodes
        )
        return replace(deployment, nodes=tuple(nodes))

    def find(self, wanted: str) -> Release:
        """A kept release by its number, or ``current``, or ``previous`` (the one before the current).

        :raises InputError: there is no such release.
        """
        current = self.current()
        if wanted in ("current", "previous"):
            if current is None:
                raise InputError("nothing was released yet")
            if wanted == "current":
                return current
            if current.previous is None:
                raise InputError(f"release {current.number} is the first: there is none before it")
            return self.read(current.previous)
        if not re.fullmatch("[0-9]{1,9}", wanted):
            raise InputError(f"release is {shown(wanted)}, expected a number, 'current' or 'previous'")
        return self.read(int(wanted))

    def with_image(self, role: str, identity: str) -> Release | None:
        """The newest kept release that meant this image for a role."""
        for number in reversed(self.numbers()):
            with codec.forgiving():  # one that is damaged is told where it is needed
                release = self.read(number)
                if release.images.get(role) == identity:
                    return release
        return None

    def record(self, verified: Release, members: t.Collection[str]) -> tuple[bool, int]:
        """Record a verified batch as the current release; returns whether anything is new, and its number.

        Batches of one composition with the same images share one release; nodes outside the batch keep their entry,
        and the image that they have.

        :param verified: the batch: its nodes and their images; its number is given here.
        :param members: all nodes of the deployment; others have been retired.
        """
        current = self.current()
        others = {name: role for name, role in (current.nodes if current else {}).items() if name in members}
        former = dict(current.images) if current else {}
        images = {**{role: former[role] for role in set(others.values()) if role in former}, **verified.images}
        roles = {**others, **verified.nodes}
        own = {name: current.image(name, role) for name, role in others.items()} if current else {}
        own.update((name, verified.image(name, role)) for name, role in verified.nodes.items())
        places = {name: place for name, place in (current.places if current else {}).items() if name in others}
        unsealed = {
            name: why
            for name, why in (current.unsealed if current else {}).items()
            if name in others and name not in verified.nodes
        }
        merged = replace(
            verified,
            nodes=roles,
            images=images,
            node_images={name: image for name, image in own.items() if image and image != images[roles[name]]},
            places={**places, **verified.places},
            unsealed={**unsealed, **verified.unsealed},
        )
        if current is None or not _same(current, verified):
            # What a run wrote that was killed before it was current is written over.
            number = current.number + 1 if current else 1
            merged = replace(merged, number=number, previous=current.number if current else None)
        elif all(getattr(merged, key) == getattr(current, key) for key in ("nodes", "images", "node_images", "places")):
            if merged.unsealed != current.unsealed:  # a note, and no other state of the deployment
                codec.write(self._path(current.number), replace(current, unsealed=merged.unsealed))
            return False, current.number
        else:
            merged = replace(merged, number=current.number, previous=current.previous)
        codec.write(self._path(merged.number), merged)
        write_json(os.path.join(self.directory, "current"), merged.number)
        return True, merged.number

    def has_image(self, identity: str) -> bool:
        """Whether an image was built here, and is still kept."""
        return os.path.exists(os.path.join(self.roots, identity))

    def image(self, identity: str) -> Image:
        """:raises ComposeError: it is not here."""
        path = os.path.join(self.roots, identity)
        if not self.has_image(identity):
            raise ComposeError(f"the image {identity} is not built here any more ({path} is missing)")
        return read_image(os.path.realpath(path))

    def prune(self, keep: int) -> set[str]:
        """Forget all but the newest ``keep`` releases and the current one; returns the identities still needed."""
        kept = self._kept(keep)
        for number in set(self.numbers()) - kept:
            os.unlink(self._path(number))
        return self._images(kept)

    def drop_roots(self, needed: t.Collection[str]) -> None:
        """Remove the garbage-collection roots of every image that is not ``needed``, so that Nix may collect them."""
        for root in self._spare_roots(needed):
            if os.path.islink(root):
                os.unlink(root)
            else:
                shutil.rmtree(root)

    def is_tidy(self, keep: int, used: t.Collection[str]) -> bool:
        """Whether :meth:`prune` and :meth:`drop_roots` would have nothing to remove.

        :param used: identities that are needed besides those of the kept releases.
        """
        kept = self._kept(keep)
        return kept == set(self.numbers()) and not self._spare_roots({*self._images(kept), *used})

    def _kept(self, keep: int) -> set[int]:
        current = self.current()
        return {*self.numbers()[-keep:], *([current.number] if current else [])}

    def _images(self, numbers: t.Iterable[int]) -> set[str]:
        found: set[str] = set()
        for number in numbers:
            with suppress(DamagedError):  # one that cannot be read needs nothing
                found |= self.read(number).identities
        return found

    def _spare_roots(self, needed: t.Collection[str]) -> list[str]:
        entries = os.listdir(self.roots) if os.path.isdir(self.roots) else []
        return [os.path.join(self.roots, entry) for entry in entries if entry.split("+")[0] not in needed]

    def _path(self, number: int) -> str:
        return os.path.join(self.directory, f"{number}.json")


def _same(current: Release, verified: Release) -> bool:
    return current.composition == verified.composition and all(
        current.images.get(role, identity) == identity for role, identity in verified.images.items()
    )
