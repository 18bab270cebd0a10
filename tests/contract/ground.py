# SPDX-License-Identifier: GPL-3.0-or-later
"""What a platform brings to the contract: images that its nodes really boot, and a look past it at what runs."""

from __future__ import annotations

import os
import time
import typing as t
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.ownership import DataVolume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Fold, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import IDENTITY_FILE

#: The image that cannot even be started.
BROKEN = "broken"


class Boot(t.NamedTuple):
    """What runs on a node."""

    #: Of the image, as the node itself has it.
    identity: str
    #: Another with each boot.
    number: str


class Ground(ABC):
    """Where the nodes of one test live.

    :param directory: of the test.
    :param images: directory that all tests share: files of images stay there.
    :param patch: for what the platform would else wait for too long.
    """

    #: Whether nodes have a console that can be read.
    has_console: t.ClassVar[bool] = True
    #: Whether nodes may have data volumes; else the roles that have some are refused.
    keeps_data: t.ClassVar[bool] = True
    #: Whether a machine that has ended can be told from one that does not answer.
    sees_ends: t.ClassVar[bool] = True
    #: What nodes are folded onto.
    fold: Fold | None = None

    def __init__(self, directory: Path, images: Path, patch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.images = images

    def close(self) -> None:
        """End what :meth:`__init__` has begun."""

    def options(self, number: int) -> dict[str, t.Any]:
        """The platform's options of the first, second, … deployment of the test, for all nodes."""
        return {}

    @property
    def credentials(self) -> dict[str, str]:
        """Of every deployment."""
        return {}

    def files(self, identity: str) -> dict[str, Path]:
        """The files of an image, by format, made once."""
        directory = self.images / identity
        if not directory.exists():
            temporary = directory.with_name(f".{identity}")
            temporary.mkdir(parents=True)
            self.make(identity, temporary)
            temporary.rename(directory)
        return {path.name: path for path in directory.iterdir()}

    @abstractmethod
    def make(self, identity: str, directory: Path) -> None:
        """Write each format that the platform needs as a file of that name.

        The system says ``boots IDENTITY`` on its console. That of the identity :data:`BROKEN` cannot be started.
        """

    @abstractmethod
    def boot(self, deployment: Deployment, node: str) -> Boot | None:
        """What really runs, asked past the platform; ``None`` if nothing does."""

    @abstractmethod
    def end(self, deployment: Deployment, node: str) -> None:
        """The node's machine ends, by itself."""

    def spoil(self, deployment: Deployment, node: Node) -> tuple[Node, str]:
        """Put something wrong with a node that does not exist, besides its address; the node, and words that say it."""
        path = Path(deployment.state) / "nodes" / node.name / "current.json"
        path.parent.mkdir(parents=True)
        path.write_text('{"schema": "immutable.compose/machine/99"}')
        return node, "a newer version of immutable.compose wrote it"

    def volume(self, volume: DataVolume) -> Path:
        """A data volume's file, or a file in its directory."""
        path = Path(volume.place)
        return path / "file" if path.is_dir() else path

    @abstractmethod
    def left(self, deployment: Deployment) -> list[str]:
        """All that the platform has of a deployment, besides data."""


def started(pid: int) -> str:
    """When a process was started: process ids are used again."""
    return f"{pid} {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"


def wait_until(true: t.Callable[[], bool]) -> None:
    """Wait for what takes an instant."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def commands() -> dict[int, list[str]]:
    """Command lines of all processes, by process id."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            found[int(entry)] = Path(f"/proc/{entry}/cmdline").read_text(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def inside(pid: int) -> Boot | None:
    """What a container runs whose init has this process id."""
    try:
        return Boot(Path(f"/proc/{pid}/root{IDENTITY_FILE}").read_text().strip(), started(pid))
    except (FileNotFoundError, ProcessLookupError):
        return None
