# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of a deployment, and what each of them said. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ...errors import ComposeError
from ...model.deployment import Deployment
from ...model.free import Options
from ...nodes.keys import Keys
from ...progress import Progress, listed
from ..ledger import Ledger
from .answer import Answer
from .machine import Machine, login_of
from .options import OPTIONS

#: Machines that are worked on at the same time.
PARALLEL = 32


class Machines:
    """By the names of the nodes, also of those that the deployment does not have any more."""

    def __init__(self, deployment: Deployment, progress: Progress) -> None:
        self._deployment = deployment
        self._progress = progress
        self._keys = Keys(deployment.state)
        self._nodes = {node.name: node for node in deployment.nodes}
        self._machines: dict[str, Machine] = {}
        #: What each machine said when it was asked last; ``None``: nothing.
        self.answers: dict[str, Answer | None] = {}

    def options(self, name: str) -> Options:
        """All options of a node; ``host`` is where its machine is, ``None`` if that is not known."""
        if name in self._nodes:
            node = self._nodes[name]
            options = {key: node.options.get(key, option.default) for key, option in OPTIONS.items()}
            address = node.address
        else:
            told = Ledger(self._deployment.state, name).readable()[0]
            if told is None:
                raise ComposeError("nothing is known of its machine", node=name)
            options, address = dict(told.options), told.document.address
        return {**options, "host": options["host"] or address}

    def place(self, name: str) -> str:
        """Where the machine of a node is, empty if that is not known."""
        options = self.options(name)
        return f"{options['host']}, port {options['port']}" if options["host"] else ""

    def __getitem__(self, name: str) -> Machine:
        if name not in self._machines:
            options = self.options(name)
            if not options["host"]:
                raise ComposeError("has no address", node=name)
            self._machines[name] = Machine(name, login_of(options), self._keys)
        return self._machines[name]

    def ask(self, names: t.Collection[str]) -> dict[str, str]:
        """Ask all of these; those that do not work out, and why."""
        wrong = {}

        def ask(name: str) -> None:
            try:
                self.answers[name] = self[name].ask()
            except ComposeError as error:
                self.answers[name] = None
                wrong[name] = error.message

        if names:
            waiting = self._progress.waiting(lambda: f"asking the machines of {listed(sorted(names))}")
            with waiting, ThreadPoolExecutor(max_workers=min(PARALLEL, len(names))) as pool:
                list(pool.map(ask, names))
        return wrong

    def owner(self, name: str) -> str:
        """By which a node knows whose it is."""
        return f"{self._deployment.name}/{name}"

    def is_ours(self, name: str, answer: Answer | None) -> bool:
        """Whether a machine that answers so runs the node."""
        return answer is not None and answer.node is not None and answer.node.owner == self.owner(name)
