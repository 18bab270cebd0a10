# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Experiment files, and the trials that they mean. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import stat
import string
import typing as t
from dataclasses import dataclass

from ..checks.script import compiled, dedent, names_read
from ..describe import values
from ..describe.names import label_of
from ..errors import InputError, nearest, shown
from ..model import codec
from ..model.experiment import Experiment
from ..model.free import Json, Parameters
from . import strict_yaml
from .sweep import MOST, checked, combinations

#: A text that is nothing but a parameter has its value, whatever that is.
_ALONE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)
#: What the name of a directory can have.
_PLAIN = re.compile(r"[^A-Za-z0-9._=,-]+")
#: Number of the file → the least and the most that it may be. Seconds: a week.
_LIMITS = {"repetitions": (1, MOST), "retries": (0, 1000), "time_limit": (1, 7 * 24 * 3600)}


@dataclass(frozen=True, eq=False)
class Need:
    """The deployment that a trial needs."""

    #: As its file has it.
    deployment: str
    #: Keys of its file.
    changes: Parameters

    @property
    def name(self) -> str:
        """What the deployment is called with the changes."""
        return str(self.changes.get("name", self.deployment))

    @property
    def key(self) -> str:
        """The same for two trials that need the same: 1 is not true, as it would be for Python."""
        return json.dumps([self.deployment, self.changes], sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Need) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class Planned:
    """A trial that is to be run."""

    id: str
    combination: Parameters
    #: 1, 2, …
    repetition: int
    need: Need
    #: What the script is told: all parameters of the sweep, ``None`` where the combination has none.
    values: Parameters

    @property
    def words(self) -> str:
        """For people."""
        words = " ".join(f"{name}={value}" for name, value in self.combination.items())
        return f"{words}, repetition {self.repetition}" if self.repetition > 1 else words


@dataclass(frozen=True)
class Subject:
    """An experiment file with all that belongs to it."""

    path: str
    name: str
    experiment: Experiment
    script: str

    def trials(self, runner: str = "") -> list[Planned]:
        """All trials, in the order in which they are to be run.

        :param runner: whose deployments these need; empty where the file names no runners.
        :raises InputError: with file, key and value; nothing was touched.
        """
        return _Plan(self, runner).trials()


def read(path: str) -> Subject:
    """Read an experiment file, and its script. :raises InputError: with file, key and value."""
    data = strict_yaml.load(path, literal="sweep")
    try:
        experiment = codec.decode(Experiment, data, "experiment")
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from None
    for key, (least, most) in _LIMITS.items():
        value = getattr(experiment, key)
        if value is not None and not least <= value <= most:
            raise InputError(f"{path}: {key} is {shown(value)}, expected a whole number from {least} to {most}")
    for runner in experiment.runners:
        values.host_name(runner, f"{path}: runners")
    name = label_of(re.sub(r"(\.experiment)?\.ya?ml$", "", os.path.basename(path)))
    if not name:
        raise InputError(f"{path}: the name of the file gives no name for the experiment")
    where = os.path.join(os.path.dirname(path), os.path.expanduser(experiment.script))
    try:
        if os.path.exists(where) and not stat.S_ISREG(os.stat(where).st_mode):
            raise InputError(f"{path}: script: {where}: is no file")
        with open(where, encoding="utf-8-sig") as stream:  # editors of Windows mark it
            script = stream.read()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: script: {where}: cannot be read: {error}") from None
    try:
        compiled(dedent(script), where)
    except SyntaxError as error:
        raise InputError(f"{where}, line {error.lineno}: {error.msg}\n    {(error.text or '').strip()}") from None
    except ValueError as error:  # NUL
        raise InputError(f"{where}: {error}") from None
    return Subject(path, name, experiment, script)


class _Plan:
    """Puts values into what the file says, and remembers which parameters somebody uses."""

    def __init__(self, subject: Subject, runner: str) -> None:
        self._path = subject.path
        self._experiment = subject.experiment
        self._used = names_read(dedent(subject.script))
        runners = subject.experiment.runners
        if runner and runner not in runners:
            raise InputError(f"{subject.path}: runners: there is no {runner!r}{nearest(runner, runners)}")
        if runners and not runner:
            raise InputError(
                f"{subject.path}: has the runners {', '.join(runners)}, which share the trials; expected"
                " 'experiment_runner' with one of them"
            )
        self._runner = runner
        self._parameters = checked(subject.experiment.sweep, f"{subject.path}: sweep")

    def trials(self) -> list[Planned]:
        experiment = self._experiment
        found = combinations(experiment.sweep)
        if len(found) * experiment.repetitions > MOST:
            raise InputError(f"{self._path}: means {len(found) * experiment.repetitions} trials; at most {MOST}")
        needs = [self._need(combination, self._runner) for combination in found]
        self._refuse_shared(found)
        self._refuse_unused()
        trials = [
            Planned(
                _id(combination, repetition),
                combination,
                repetition,
                need,
                {name: combination.get(name) for name in self._parameters},
            )
            for repetition in range(1, experiment.repetitions + 1)
            for combination, need in zip(found, needs)
        ]
        if experiment.order == "random":
            random.Random(experiment.seed).shuffle(trials)
            return trials
        first: dict[str, int] = {}
        for trial in trials:
            first.setdefault(trial.need.key, len(first))
        return sorted(trials, key=lambda trial: first[trial.need.key])

    def _need(self, combination: Parameters, runner: str) -> Need:
        experiment = self._experiment
        deployment = self._filled(experiment.deployment, combination, "deployment")
        if not isinstance(deployment, str):
            raise InputError(f"{self._path}: deployment is {shown(deployment)}, expected the name of a deployment")
        changes = _over(
            self._filled(experiment.changes, combination, "changes"),
            self._filled(experiment.runners.get(runner, {}), combination, f"runners.{runner}"),
        )
        return Need(deployment, t.cast(Parameters, changes))

    def _filled(self, value: Json, combination: Parameters, where: str) -> Json:
        """A value with the combination's in place of ``$NAME``."""
        if isinstance(value, t.Mapping):
            return {
                key: self._filled(item, combination, f"{where}.{key}")
                for key, item in value.items()
                if not self._lacks(combination, item)
            }
        if isinstance(value, (list, tuple)):
            return [self._filled(item, combination, where) for item in value if not self._lacks(combination, item)]
        if not isinstance(value, str) or "$" not in value:
            return value
        alone = _ALONE.fullmatch(value)
        try:
            if alone:
                return self._value(alone[1] or alone[2], combination)
            return string.Template(value).substitute(_Values(lambda name: self._value(name, combination)))
        except KeyError as error:
            name = str(error.args[0])
            raise InputError(
                f"{self._path}: {where} is {shown(value)}, but the combination {_slug(combination)} has no"
                f" {name!r}{nearest(name, combination)}"
            ) from None
        except ValueError:
            raise InputError(f"{self._path}: {where} is {shown(value)}: write $$ for a dollar sign") from None

    def _lacks(self, combination: Parameters, value: Json) -> bool:
        """Whether a value is a parameter that only other combinations have."""
        alone = _ALONE.fullmatch(value) if isinstance(value, str) else None
        name = (alone[1] or alone[2]) if alone else ""
        return name in self._parameters and name not in combination

    def _value(self, name: str, combination: Parameters) -> Json:
        value = combination[name]
        self._used.add(name)
        return value

    def _refuse_shared(self, found: t.Sequence[Parameters]) -> None:
        """Runners change deployments at the same time."""
        whose: dict[str, str] = {}
        for runner in self._experiment.runners:
            for combination in found:
                name = self._need(combination, runner).name
                other = whose.setdefault(name, runner)
                if other != runner:
                    raise InputError(
                        f"{self._path}: runners: {other} and {runner} would have the same deployment {name!r}; expected"
                        " another name and network for each"
                    )

    def _refuse_unused(self) -> None:
        for name in self._parameters:
            if name not in self._used:
                raise InputError(
                    f"{self._path}: sweep.{name}: nothing uses this parameter: the script does not read a variable"
                    f" {name}, and neither deployment nor changes nor runners have ${name}"
                )


class _Values(t.Mapping[str, Json]):
    """What ``string.Template`` asks for the value of a name."""

    def __init__(self, value: t.Callable[[str], Json]) -> None:
        self._value = value

    def __getitem__(self, name: str) -> Json:
        return self._value(name)

    def __iter__(self) -> t.Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _over(old: Json, new: Json) -> Json:
    if isinstance(old, t.Mapping) and isinstance(new, t.Mapping):
        return {**old, **{key: _over(old.get(key), value) for key, value in new.items()}}
    return new


def _slug(combination: Parameters) -> str:
    return ",".join(f"{name}={value}" for name, value in combination.items())


def _id(combination: Parameters, repetition: int) -> str:
    """Readable, and never that of another combination: a number is not the text of the same digits."""
    digest = hashlib.sha256(json.dumps(combination, sort_keys=True).encode()).hexdigest()[:8]
    return f"{_PLAIN.sub('_', _slug(combination))[:100]}-{digest}-{repetition}"
