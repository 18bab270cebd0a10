# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was measured in an experiment, put together from its trials. PRIVATE to the collection."""

from __future__ import annotations

import statistics
import typing as t
from dataclasses import dataclass

from ..model.experiment import Trial
from ..model.report import MachineProfile, Provenance

#: A value of a parameter; ``None`` where a combination has none.
Level = t.Union[None, bool, int, float, str]


@dataclass(frozen=True)
class Measurements:
    """What a page about an experiment is made of."""

    experiment: str
    #: In the order in which the sweep has them.
    parameters: t.Sequence[str]
    #: Those that have ended, in order.
    trials: t.Sequence[Trial]
    #: How many there are to be.
    planned: int


@dataclass(frozen=True)
class Group:
    """The values of one combination."""

    #: By parameter; all parameters have one.
    levels: t.Mapping[str, Level]
    values: t.Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)


@dataclass(frozen=True)
class Order:
    """The groups of a quantity, sorted by one column of their table."""

    column: str
    #: As HTML has it: ``ascending`` or ``descending``.
    direction: str
    groups: t.Sequence[Group]


@dataclass(frozen=True)
class Quantity:
    """What trials have recorded under one name and unit."""

    name: str
    unit: str
    #: In the order of the sweep.
    groups: t.Sequence[Group]

    @property
    def title(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def levels(self, parameter: str) -> list[Level]:
        """The values of a parameter, in the order of the sweep."""
        found = {repr(group.levels[parameter]): group.levels[parameter] for group in self.groups}
        return list(found.values())

    def orders(self, parameters: t.Sequence[str]) -> list[Order]:
        """The table, sorted by each of its columns: what a page without a script can offer."""
        found = []
        for name in parameters:
            place = {repr(level): number for number, level in enumerate(self.levels(name))}
            by_level = sorted(self.groups, key=lambda group: place[repr(group.levels[name])])
            found.append(Order(name, "ascending", by_level))
        for column in ("median", "low", "high"):
            groups = sorted(self.groups, key=lambda group: getattr(group, column), reverse=True)
            found.append(Order({"low": "smallest", "high": "largest"}.get(column, column), "descending", groups))
        return found


def quantities(measured: Measurements) -> list[Quantity]:
    """By name and unit, in the order in which they were recorded first. What is text is no quantity."""
    found: dict[tuple[str, str], dict[str, tuple[dict[str, Level], list[float]]]] = {}
    for trial in measured.trials:
        levels = {name: _level(trial.combination.get(name)) for name in measured.parameters}
        for record in trial.records if trial.ok else ():
            if not isinstance(record.value, str):
                groups = found.setdefault((record.name, record.unit), {})
                groups.setdefault(repr(levels), (levels, []))[1].append(float(record.value))
    return [
        Quantity(name, unit, [Group(levels, values) for levels, values in groups.values()])
        for (name, unit), groups in found.items()
    ]


def _level(value: object) -> Level:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


@dataclass(frozen=True)
class Origin:
    """Where values come from."""

    deployment: str
    provenance: Provenance
    #: Of its nodes, each once.
    machines: t.Sequence[MachineProfile]
    tools: t.Mapping[str, str]
    trials: t.Sequence[Trial]


def origins(trials: t.Sequence[Trial]) -> list[Origin]:
    """Trials that differ in nothing but their combination, and in how many nodes they had, have one origin."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.provenance is not None:
            source = trial.provenance
            same = (trial.deployment, source.composition, source.digest, source.revision, source.platform, source.host)
            images, tools = sorted(source.images.items()), sorted(trial.tools.items())
            found.setdefault(repr((same, images, tools, _machines([trial]))), []).append(trial)
    return [
        Origin(trials[0].deployment, trials[0].provenance, _machines(trials), trials[0].tools, trials)
        for trials in found.values()
        if trials[0].provenance is not None
    ]


def _machines(trials: t.Sequence[Trial]) -> list[MachineProfile]:
    every = [profile for trial in trials if trial.provenance for profile in trial.provenance.machines.values()]
    return list({repr(profile): profile for profile in sorted(every, key=repr)}.values())
