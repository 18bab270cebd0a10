# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet module is told by the action plugin of its name: one file, read once and removed. PRIVATE.

Not by arguments: Ansible keeps these in results, in logs, and in a file of its own that a killed run leaves behind, and
a secret among them would be masked wherever the same word is found in the results.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import asdict, dataclass, field, replace

from ..builders.revision import Source
from ..errors import ComposeError
from ..model.codec import decode, encode
from ..model.deployment import Beside, Deployment
from ..shipped import Place
from .run import Run


@dataclass(frozen=True)
class Parcel:
    """One step on one deployment."""

    #: With the secrets and credentials that the step may need.
    deployment: Deployment
    #: Names of the nodes to act on; the others are peers.
    batch: tuple[str, ...]
    #: Data files of the collection (``nix/``).
    support: Place
    #: The run that the step is part of.
    run: Run
    #: Members of the deployment whose hosts the inventory of the run lacks.
    absent: tuple[str, ...] = ()
    #: Other deployments on the same host, which the run has planned before.
    beside: tuple[Beside, ...] = ()
    #: Why an earlier step of the run came to nothing; empty if none did.
    problem: str = ""
    #: What the hook came to that an earlier step has asked for: node → why it failed; empty if it did not.
    hooked: t.Mapping[str, str] = field(default_factory=dict)
    #: The composition, where this host does not have it, and the revision that it was taken from.
    composition: Place | None = None
    revision: str | None = None
    #: File for lines of progress.
    progress_file: str | None = None

    def source(self) -> Source | None:
        """The composition, if it came along."""
        return Source(self.composition.directory(), self.revision) if self.composition else None

    def to_text(self, code: Place, packed: str = "") -> str:
        """For fleet_module.py a line that says where the code is, and a line for :meth:`from_text`.

        :param code: the collection's ``plugins/module_utils``.
        :param packed: file on the module's host that has :meth:`described`, so that it need not be said again.
        """
        place = self.composition
        data = json.dumps(
            {
                "deployment": packed or json.loads(described(self.deployment)),
                "secrets": {node.name: dict(node.secrets) for node in self.deployment.nodes if node.secrets},
                "credentials": dict(self.deployment.credentials),
                "unreadable": dict(self.deployment.unreadable),
                "batch": list(self.batch),
                "run": asdict(self.run),
                "absent": list(self.absent),
                "beside": [encode(other, secrets=False) for other in self.beside],
                "problem": self.problem,
                "hooked": dict(self.hooked),
                "support": [self.support.path, self.support.name],
                "composition": [place.path, place.name] if place else None,
                "revision": self.revision,
                "progress_file": self.progress_file,
            }
        )
        return f"{json.dumps([code.path, code.name])}\n{data}\n"

    @classmethod
    def from_text(cls, text: str) -> Parcel:
        """What :meth:`to_text` said. :raises ComposeError: the deployment, which was sent before, cannot be read."""
        data = json.loads(text)
        deployment = data["deployment"]
        if isinstance(deployment, str):
            try:
                with open(deployment, encoding="utf-8") as stream:
                    deployment = json.load(stream)
            except (OSError, ValueError) as error:
                raise ComposeError(f"what the controller sent cannot be read: {error}") from None
        for node in deployment["nodes"]:
            node["secrets"] = data["secrets"].get(node["name"], {})
        deployment.update(credentials=data["credentials"], unreadable=data["unreadable"])
        return cls(
            deployment=decode(Deployment, deployment, "deployment"),
            batch=tuple(data["batch"]),
            support=Place(*data["support"]),
            run=Run(**data["run"]),
            absent=tuple(data["absent"]),
            beside=tuple(decode(Beside, other, "beside") for other in data["beside"]),
            problem=data["problem"],
            hooked=data["hooked"],
            composition=Place(*data["composition"]) if data["composition"] else None,
            revision=data["revision"],
            progress_file=data["progress_file"],
        )


def described(deployment: Deployment) -> str:
    """A deployment as text, without secrets: the same for every step of a run."""
    data = encode(replace(deployment, unreadable={}), secrets=False)
    return json.dumps(data, sort_keys=True)
