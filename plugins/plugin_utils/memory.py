# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run knows of a deployment from its plan to its end, on the controller. PRIVATE to the collection.

Each task has a process of its own. What they share is the run's own directory, which Ansible removes at its end. A run
may be killed, so no secrets of nodes and no credentials are kept there.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass
from glob import escape, glob

from ansible import constants

from ansible_collections.immutable.compose.plugins.module_utils.files import read_json, write_json
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment
from ansible_collections.immutable.compose.plugins.module_utils.model.hooks import Ask


def directory_of_run() -> str:
    """Ansible's temporary directory of this run: the constant, for each look at the configuration makes another."""
    return str(vars(constants)["DEFAULT_LOCAL_TMP"])


@dataclass(frozen=True)
class Known:
    """A deployment as the inventory has it."""

    #: Without secrets and credentials.
    deployment: Deployment
    #: Those of its hosts that the inventory of this run has.
    hosts: tuple[str, ...]
    #: Those of them that have secrets.
    secretive: tuple[str, ...]


class Memory:
    """Of one deployment."""

    def __init__(self, deployment: str) -> None:
        self._path = os.path.join(directory_of_run(), f"immutable.compose-{deployment}")

    def begin(self) -> None:
        """Forget all: a new plan begins anew."""
        for path in glob(f"{escape(self._path)}.*"):
            os.unlink(path)

    def keep(self, known: Known) -> None:
        """What the plan is made of: it is put together once, for that takes long with many hosts."""
        write_json(self._known, codec.encode(known, secrets=False))

    def recall(self) -> Known | None:
        """What the plan was made of; ``None`` if it was not made by this run."""
        return codec.read(Known, self._known) if os.path.exists(self._known) else None

    def give_up(self, why: str) -> None:
        """A step came to nothing. A module that was killed, or never started, can leave nothing behind on its host.

        The first word stays: what follows from it explains nothing.
        """
        if not self.given_up:
            write_json(self._given_up, why)

    @property
    def given_up(self) -> str:
        """Why the run has given up the deployment; empty if it has not."""
        return t.cast(str, read_json(self._given_up)) if os.path.exists(self._given_up) else ""

    def end(self, step: str, result: t.Mapping[str, object]) -> None:
        """A step has come to its end: while others wait for hooks, it is not taken again."""
        write_json(f"{self._path}.{step}.json", result)

    def ended(self, step: str) -> dict[str, t.Any] | None:
        """The result of a step that has come to its end."""
        path = f"{self._path}.{step}.json"
        return t.cast("dict[str, t.Any]", read_json(path)) if os.path.exists(path) else None

    def ask(self, ask: Ask) -> None:
        """A hook has to run."""
        codec.write(self._asked, ask)

    def asked(self) -> Ask | None:
        """What was asked for since the last look."""
        if not os.path.exists(self._asked):
            return None
        ask = codec.read(Ask, self._asked)
        os.unlink(self._asked)
        return ask

    @property
    def _asked(self) -> str:
        return f"{self._path}.asked.json"

    @property
    def _known(self) -> str:
        return f"{self._path}.json"

    @property
    def _given_up(self) -> str:
        return f"{self._path}.given-up.json"
