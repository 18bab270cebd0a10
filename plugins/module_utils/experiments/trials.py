# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Experiment files, and the trials that they mean. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import json
import keyword
import os
import random
import re
import string
import typing as t
from dataclasses import dataclass

from ..checks.script import SYMBOLS, compiled, dedent, names_in
from ..describe import values
from ..describe.names import label_of
from ..errors import InputError, nearest, shown
from ..libraries import missing_library
from ..model import codec
from ..model.experiment import Experiment
from ..model.free import Json, Parameters
from .table import COLUMNS

#: A text that is nothing but a parameter has its value, whatever that is.
_ALONE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)
#: What the name of a directory can have.
_PLAIN = re.compile(r"[^A-Za-z0-9._=,-]+")
#: How many trials an experiment may have; a year of trials of a minute each is half of it.
MOST = 1_000_000


@dataclass(frozen=True)
class Need:
    """The deployment that a trial needs."""

    deployment: str
    #: Keys of its file.
    changes: Parameters

    @property
    def key(self) -> str:
        """The same for two trials that need the same."""
        return json.dumps([self.deployment, self.changes], sort_keys=True)


@dataclass(frozen=True)
class Planned:
    """A trial that is to be run."""

    id: str
    combination: Parameters
    #: 1, 2, …
    repetition: int
    need: Need

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
    try:
        import yaml
    except ImportError:
        raise missing_library("yaml", what="reading an experiment file") from None
    try:
        with open(path, encoding="utf-8") as stream:
            data = yaml.safe_load(stream)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        experiment = codec.decode(Experiment, data, "experiment")
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from None
    for key, value, least in (
        ("repetitions", experiment.repetitions, 1),
        ("retries", experiment.retries, 0),
        ("time_limit", experiment.time_limit, 1),
    ):
        if value is not None and value < least:
            raise InputError(f"{path}: {key} is {value}, expected a whole number from {least} on")
    for runner in experiment.runners:
        values.host_name(runner, f"{path}: runners")
    name = label_of(re.sub(r"(\.experiment)?\.ya?ml$", "", os.path.basename(path)))
    if not name:
        raise InputError(f"{path}: the name of the file gives no name for the experiment")
    where = os.path.join(os.path.dirname(path), os.path.expanduser(experiment.script))
    try:
        with open(where, encoding="utf-8") as stream:
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
        self._used = names_in(dedent(subject.script))
        runners = subject.experiment.runners
        if runner and runner not in runners:
            raise InputError(f"{subject.path}: runners: there is no {runner!r}{nearest(runner, runners)}")
        if runners and not runner:
            raise InputError(
                f"{subject.path}: has the runners {', '.join(runners)}, which share the trials; expected"
                " 'experiment_runner' with one of them"
            )
        self._runner = runner

    def trials(self) -> list[Planned]:
        experiment = self._experiment
        combinations = self._combinations()
        if len(combinations) * experiment.repetitions > MOST:
            raise InputError(f"{self._path}: means {len(combinations) * experiment.repetitions} trials; at most {MOST}")
        needs = [self._need(combination) for combination in combinations]
        for runner in experiment.runners:  # those of others count, too
            for combination in combinations:
                self._filled(experiment.runners[runner], combination, f"runners.{runner}")
        self._refuse_unused(combinations)
        found = [
            Planned(_id(combination, repetition), combination, repetition, need)
            for repetition in range(1, experiment.repetitions + 1)
            for combination, need in zip(combinations, needs)
        ]
        if experiment.order == "random":
            random.Random(experiment.seed).shuffle(found)
            return found
        first: dict[str, int] = {}
        for trial in found:
            first.setdefault(trial.need.key, len(first))
        return sorted(found, key=lambda trial: first[trial.need.key])

    def _combinations(self) -> list[Parameters]:
        self._check_sweep(self._experiment.sweep, "sweep")
        try:
            from execo_engine.sweep import sweep
        except ImportError:
            raise missing_library("execo_engine", what="an experiment") from None
        return [dict(combination) for combination in sweep(self._experiment.sweep)]

    def _check_sweep(self, sweep: Parameters, where: str) -> None:
        if not sweep and where == "sweep":
            raise InputError(f"{self._path}: sweep is empty, expected parameters, each with its values")
        for name, levels in sweep.items():
            at = f"{self._path}: {where}.{name}"
            if not name.isidentifier() or keyword.iskeyword(name) or name in SYMBOLS or name in COLUMNS:
                why = (
                    "is a column of the table" if name in COLUMNS else "cannot be the name of a variable of the script"
                )
                raise InputError(f"{at}: {name!r} {why}; expected another name")
            if not isinstance(levels, (list, tuple, t.Mapping)) or not levels:
                raise InputError(f"{at} is {shown(levels)}, expected a list of values")
            for level in levels:
                if not isinstance(level, (bool, int, float, str)):
                    raise InputError(f"{at} has the value {shown(level)}, expected numbers, strings, true or false")
            if isinstance(levels, t.Mapping):
                for level, below in levels.items():
                    if not isinstance(below, t.Mapping):
                        raise InputError(f"{at}.{level} is {shown(below)}, expected parameters that only {level} has")
                    self._check_sweep(below, f"{where}.{name}.{level}")
            elif len(set(map(repr, levels))) < len(levels):
                raise InputError(f"{at} has a value twice")

    def _need(self, combination: Parameters) -> Need:
        experiment = self._experiment
        deployment = self._filled(experiment.deployment, combination, "deployment")
        if not isinstance(deployment, str):
            raise InputError(f"{self._path}: deployment is {shown(deployment)}, expected the name of a deployment")
        changes = _over(
            self._filled(experiment.changes, combination, "changes"),
            self._filled(experiment.runners.get(self._runner, {}), combination, f"runners.{self._runner}"),
        )
        return Need(deployment, t.cast(Parameters, changes))

    def _filled(self, value: Json, combination: Parameters, where: str) -> Json:
        """A value with the combination's in place of ``$NAME``."""
        if isinstance(value, t.Mapping):
            return {key: self._filled(item, combination, f"{where}.{key}") for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._filled(item, combination, where) for item in value]
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

    def _value(self, name: str, combination: Parameters) -> Json:
        value = combination[name]
        self._used.add(name)
        return value

    def _refuse_unused(self, combinations: t.Iterable[Parameters]) -> None:
        for name in dict.fromkeys(name for combination in combinations for name in combination):
            if name not in self._used:
                raise InputError(
                    f"{self._path}: sweep.{name}: nothing uses this parameter: the script has no variable {name}, and"
                    f" neither deployment nor changes nor runners have ${name}"
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
