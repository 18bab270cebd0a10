# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An experiment: what is swept over, and what was measured. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .free import Parameters
from .report import Measurement, Provenance


@dataclass(frozen=True)
class Experiment:
    """What an experiment file says. ``$NAME`` in its texts is the value that a combination has for a parameter."""

    #: Name of a deployment of the inventory.
    deployment: str
    #: File with the script that measures, relative to the experiment file.
    script: str
    #: Parameter → its values; or value → further parameters that are swept for this one only.
    sweep: Parameters
    #: Keys of the deployment file, as they are to be for a combination.
    changes: Parameters = field(default_factory=dict)
    #: How many times each combination is measured.
    repetitions: int = 1
    #: `deployments` keeps together what needs the same nodes, so that the fewest nodes are changed; `random` is a
    #: random order of all trials.
    order: t.Literal["deployments", "random"] = "deployments"
    #: Of the random order.
    seed: int = 0
    #: Seconds for the built-in checks and the script of a trial; null: `verify_timeout` of the deployment.
    time_limit: t.Optional[int] = None
    #: How many times a trial that failed is tried again, at once.
    retries: int = 0
    #: What happens after a trial that failed all the same: `continue` with the next, or `stop`. The next run tries it
    #: again.
    on_failure: t.Literal["continue", "stop"] = "continue"
    #: What happens to other deployments of the sweep before a trial: `keep` leaves them running, `destroy` stops them,
    #: and keeps their data.
    others: t.Literal["keep", "destroy"] = "keep"
    #: Runner → further changes of deployment files, for runs that share the trials: each has deployments of its own.
    runners: t.Mapping[str, Parameters] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """What the run of a trial hands back."""

    #: Whether the script ran to its end, on nodes that were well.
    ok: bool
    #: Why not.
    message: str = ""
    records: t.Sequence[Measurement] = ()
    #: Files that the script copied from machines, below `files` in the directory of the trial.
    files: t.Sequence[str] = ()
    #: Null where the script was never started.
    provenance: t.Optional[Provenance] = None


@dataclass(frozen=True)
class Trial:
    """One repetition of one combination, and what came of it: ``trials/ID/trial.json``."""

    id: str
    #: Parameter → value.
    combination: Parameters
    #: 1, 2, …
    repetition: int
    deployment: str
    #: Keys of the deployment file that were changed.
    changes: Parameters
    ok: bool
    #: Why it failed; empty if it did not.
    message: str = ""
    #: Name of the runner; empty for the only one.
    runner: str = ""
    #: How many times it was tried.
    attempts: int = 1
    #: UTC, `2026-01-31T12:00:00Z`.
    started: str = ""
    #: Whether nodes were brought to what the combination needs, which the seconds include.
    deployed: bool = False
    seconds: float = 0.0
    records: t.Sequence[Measurement] = ()
    #: Files that the script copied from machines, below `files` in the directory of the trial.
    files: t.Sequence[str] = ()
    #: Null where the script was never started.
    provenance: t.Optional[Provenance] = None
    #: Program → version, on the controller.
    tools: t.Mapping[str, str] = field(default_factory=dict)
    schema: t.Literal["immutable.compose/trial/1"] = "immutable.compose/trial/1"


@dataclass(frozen=True)
class ExperimentMark:
    """Whose a results directory is: ``experiment.json``."""

    name: str
    #: As the file said it when the directory was made, or the sweep was extended.
    experiment: Experiment
    #: The script.
    script: str
    schema: t.Literal["immutable.compose/experiment/1"] = "immutable.compose/experiment/1"
