# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose the state directory of a deployment is: ``<state>/deployment.json``. PRIVATE to the collection.

What lies in the directory is removed and replaced as the deployment needs it. So a directory that somebody else filled
is refused, and the directory of another deployment or composition too.
"""

from __future__ import annotations

import glob
import os
import stat
import typing as t
from dataclasses import dataclass

from ..errors import InputError
from ..files import sweep
from ..model import codec
from ..model.deployment import Deployment
from .held import HeldAddresses

MARK = "deployment.json"

#: What a run may leave in a directory that it has not marked yet.
_HARMLESS = frozenset({"lock", "lease.json", "lease.lock", "shipped", "lost+found"})

#: Directories in which files are written in one step; not those that are others', as volumes and roots of images are.
_WRITTEN = (
    "",
    "clustershell",
    "clustershell/*",
    "hostkeys",
    "nodes/*",
    "nodes/*/in",
    "releases",
    "results/*",
    "volumes/*",
)


@dataclass(frozen=True)
class Mark:
    """Whose a state directory is."""

    deployment: str
    #: Name of the composition, and its directory on the controller.
    composition: str
    source: str
    #: Where the directory was when it was used, the last place last: nodes may still run from a former one.
    directories: list[str]
    schema: t.Literal["immutable.compose/state/1"] = "immutable.compose/state/1"

    @classmethod
    def read(cls, state: str) -> Mark | None:
        """The mark of a state directory, if it has one.

        :raises InputError: it is damaged; says what to do.
        """
        path = os.path.join(state, MARK)
        remedy = (
            f"The file says whose {state} is: if that is the state directory of this deployment, remove the file, and "
            "it is written again"
        )
        try:
            return codec.read(cls, path, remedy=remedy)
        except FileNotFoundError:
            return None

    def is_of(self, deployment: Deployment) -> bool:
        """Whether the directory is of this very deployment, wherever its state is meant to be now."""
        return (self.deployment, self.source) == (deployment.name, deployment.composition)


class StateDirectory:
    """The state directory of one deployment, on the host that runs it."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.path = os.path.realpath(deployment.state)

    def require(self) -> None:
        """:raises InputError: the directory is somebody else's, or others may write to it. Writes nothing."""
        try:
            self._require_closed()
            mark = Mark.read(self.path)
            if mark is None:
                self._require_nothing_foreign()
                return
        except FileNotFoundError:
            return
        except PermissionError:
            return  # the platform says which permission is missing
        except NotADirectoryError:
            raise InputError(f"the state directory {self.path} is, or lies below, a file; set state_dir") from None
        if mark.deployment != self.deployment.name:
            raise InputError(
                f"{self.path} is the state directory of the deployment {mark.deployment!r} (composition "
                f"{mark.composition!r}), not of {self.deployment.name!r}. Nothing was touched. Set another name or "
                f"state_dir; if the directory was renamed, give it back its name {mark.deployment!r}"
            )
        if mark.composition != self.deployment.composition_name:
            self._require_handed_over(mark)

    def claim(self) -> None:
        """Make the directory, and mark it as this deployment's. Only after :meth:`require`, before anything else.

        What runs have left that were killed while they wrote a file goes.
        """
        mark = Mark.read(self.path)
        places = [place for place in (mark.directories if mark else []) if place != self.path]
        new = Mark(
            self.deployment.name, self.deployment.composition_name, self.deployment.composition, [*places, self.path]
        )
        if new != mark:
            codec.write(os.path.join(self.path, MARK), new)
        for pattern in _WRITTEN:
            for directory in glob.glob(os.path.join(glob.escape(self.path), pattern)):
                sweep(directory)

    def _require_closed(self) -> None:
        """Who may write there can take over every node, and this host: as with what ssh reads."""
        status = os.stat(self.path)
        if status.st_uid not in (0, os.geteuid()):
            raise InputError(
                f"the state directory {self.path} is that of the user with the number {status.st_uid}, who could have "
                f"its nodes, and this host. Nothing was touched. Run as that user; or, if you trust what is in there: "
                f"chown -R {os.geteuid()} {self.path}"
            )
        if status.st_mode & 0o022:
            raise InputError(
                f"other users may write to the state directory {self.path} (mode {stat.S_IMODE(status.st_mode):04o}). "
                f"Nothing was touched. Close it, if nobody has put anything there: chmod go-w {self.path}"
            )

    def _require_nothing_foreign(self) -> None:
        entries = sorted(os.listdir(self.path))
        foreign = [entry for entry in entries if entry not in _HARMLESS and not entry.startswith(f".{MARK}.")]
        if foreign and not self._is_of_an_earlier_version():
            shown = ", ".join(foreign[:5]) + (" …" if len(foreign) > 5 else "")
            raise InputError(
                f"the state directory {self.path} exists, but is not that of a deployment: it holds {shown}. "
                "Nothing was touched. Set another name or state_dir, or move away what is there"
            )

    def _is_of_an_earlier_version(self) -> bool:
        """Whether a version that marked no directories has made it."""
        has = {
            path
            for path in ("ca", "id_ed25519", "known_hosts", os.path.join("releases", "current"))
            if os.path.isfile(os.path.join(self.path, path))
        }
        return {"ca", "id_ed25519"} <= has or "releases/current" in has and "known_hosts" in has

    def _require_handed_over(self, mark: Mark) -> None:
        """A directory of another composition, with something in it, needs the word of consent for each node."""
        nodes = set(HeldAddresses.read(self.path).names()) | _entries(os.path.join(self.path, "nodes"))
        data = {
            node
            for node in _entries(os.path.join(self.path, "volumes"))
            if _entries(os.path.join(self.path, "volumes", node))
        }
        members = {node.name for node in self.deployment.nodes}
        adopted = set(self.deployment.adopt_data)
        if not nodes | data or nodes <= members and adopted and (nodes | data) & members <= adopted:
            return
        there = " and ".join(
            f"{what} {', '.join(sorted(names))}" for what, names in (("nodes", nodes), ("data of", data)) if names
        )
        consent = ", ".join(sorted((nodes | data) & members) or sorted(members)[:1])
        raise InputError(
            f"{self.path} is the state directory of composition {mark.composition!r} ({mark.source}), which has "
            f"{there}, not of composition {self.deployment.composition_name!r}. Nothing was touched. Set another "
            "name or state_dir; or destroy what is there with the deployment file that it was made with "
            "(compose_data=true for data); or, if all its nodes are in this deployment, too, hand it over: "
            f"adopt_data: [{consent}]"
        )


def _entries(directory: str) -> set[str]:
    try:
        return set(os.listdir(directory))
    except FileNotFoundError:
        return set()
