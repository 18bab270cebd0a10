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
from ..model.answer import WrongAnswer, answer, json_answer
from ..model.codec import decode, encode
from ..model.deployment import SECRET, Beside, Deployment
from ..model.free import Json
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
    #: Other deployment → nodes folded onto machines of this one, which the run starts again once these are settled.
    carried: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)
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
                "carried": {name: list(nodes) for name, nodes in self.carried.items()},
                "problem": self.problem,
                "hooked": dict(self.hooked),
                "support": asdict(self.support),
                "composition": asdict(place) if place else None,
                "revision": self.revision,
                "progress_file": self.progress_file,
            }
        )
        return f"{json.dumps([code.path, code.name])}\n{data}\n"

    @classmethod
    def from_text(cls, text: str) -> Parcel:
        """What :meth:`to_text` said. :raises ComposeError: the deployment, which was sent before, cannot be read."""
        try:
            told = json_answer(_Told, text, "parcel")
            described_ = told.deployment if isinstance(told.deployment, dict) else _sent(told.deployment)
            nodes = answer(list[dict[str, Json]], described_.pop("nodes", None), "deployment.nodes")
        except WrongAnswer as error:
            raise ComposeError(f"what the controller sent cannot be read: {error.message}") from None
        whole = {
            **described_,
            "nodes": [{**node, "secrets": told.secrets.get(str(node.get("name")), {})} for node in nodes],
            "credentials": told.credentials,
            "unreadable": told.unreadable,
        }
        return cls(
            deployment=decode(Deployment, whole, "deployment"),
            batch=told.batch,
            support=told.support,
            run=told.run,
            absent=told.absent,
            beside=told.beside,
            carried=told.carried,
            problem=told.problem,
            hooked=told.hooked,
            composition=told.composition,
            revision=told.revision,
            progress_file=told.progress_file,
        )


@dataclass(frozen=True)
class _Told:
    """What :meth:`Parcel.to_text` says."""

    #: It, or the file that has it.
    deployment: str | dict[str, Json]
    #: By node.
    secrets: dict[str, dict[str, str]] = field(metadata=SECRET)
    credentials: dict[str, str] = field(metadata=SECRET)
    unreadable: dict[str, str]
    batch: tuple[str, ...]
    run: Run
    absent: tuple[str, ...]
    beside: tuple[Beside, ...]
    carried: dict[str, tuple[str, ...]]
    problem: str
    hooked: dict[str, str]
    support: Place
    composition: Place | None
    revision: str | None
    progress_file: str | None


def _sent(path: str) -> dict[str, Json]:
    """A deployment that was sent before."""
    try:
        with open(path, "rb") as stream:
            return json_answer(dict[str, Json], stream.read(), "deployment")
    except OSError as error:
        raise ComposeError(f"what the controller sent cannot be read: {error}") from None


def described(deployment: Deployment) -> str:
    """A deployment as text, without secrets: the same for every step of a run."""
    data = encode(replace(deployment, unreadable={}), secrets=False)
    return json.dumps(data, sort_keys=True)
