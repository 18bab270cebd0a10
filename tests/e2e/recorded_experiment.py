# SPDX-License-Identifier: GPL-3.0-or-later
"""An experiment as it is recorded, made up: three file systems, one of whose trials has failed."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.immutable.compose.plugins.module_utils.model.experiment import Trial
from ansible_collections.immutable.compose.plugins.module_utils.model.report import (
    MachineProfile,
    Measurement,
    Provenance,
)
from ansible_collections.immutable.compose.plugins.module_utils.page.measurements import Measurements

SPEED = {"nfs": 41.0, "gluster": 23.5, "ceph": 30.25}


def measured(name: str = "fs", unit: str = "MiB/s", systems: t.Iterable[str] = tuple(SPEED)) -> Measurements:
    """As many trials as the demo has; the last one is left, the one before has failed.

    :param name: of the experiment.
    :param unit: of what was measured.
    """
    trials = []
    for system, clients, block, repetition in itertools.product(systems, (1, 2), ("4k", "1M"), (1, 2, 3)):
        speed = SPEED.get(system, 10.0) * clients**0.7 * (0.2 if block == "4k" else 1) * (1 + 0.06 * (repetition - 2))
        source = Provenance(
            composition=system,
            digest=f"{system}-digest",
            revision="c0ffee" * 6,
            release=clients,
            builder="debian",
            platform="nspawn",
            host="desk",
            images={"client": f"0new-{system}-client", "server": f"0new-{system}-server"},
            nodes={f"client{number}": "client" for number in range(1, clients + 1)},
            machines={
                f"client{number}": MachineProfile("6.1.0", "Some CPU", 2, 512) for number in range(1, clients + 1)
            },
        )
        trials.append(
            Trial(
                f"{system}-{clients}-{block}-{repetition}",
                {"file_system": system, "clients": clients, "block": block},
                repetition,
                f"fs-{system}",
                {"roles": {"client": clients}},
                ok=True,
                started=f"2026-01-31T12:{len(trials):02}:00Z",
                deployed=(block, repetition) == ("4k", 1),
                seconds=12.5,
                records=[Measurement("write", speed, unit), Measurement("read", 2 * speed, unit)],
                provenance=source,
                tools={"ansible-core": "2.21.0", "execo": "2.8.1"},
            )
        )
    failed = trials[-2]
    trials[-2] = Trial(
        failed.id, failed.combination, failed.repetition, failed.deployment, failed.changes, False, "line 9: no space",
        started=failed.started, seconds=3.0,
    )  # fmt: skip
    return Measurements(name, ["file_system", "clients", "block"], trials[:-1], len(trials))
