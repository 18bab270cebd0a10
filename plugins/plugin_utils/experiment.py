# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An experiment before its first trial: everything that can be refused is. PRIVATE to the collection."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import typing as t
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

import yaml
from ansible.release import __version__ as core

from ansible_collections.immutable.compose.plugins.module_utils.checks.script import (
    check_script,
    dedent,
    modules_needed,
    variables,
)
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.experiments.replay import Source, write_replay
from ansible_collections.immutable.compose.plugins.module_utils.experiments.results import Results
from ansible_collections.immutable.compose.plugins.module_utils.experiments.runner import Launch, Outcome, Runner
from ansible_collections.immutable.compose.plugins.module_utils.experiments.sharing import Sharing
from ansible_collections.immutable.compose.plugins.module_utils.experiments.trials import Need, Planned, Subject, read
from ansible_collections.immutable.compose.plugins.module_utils.files import read_json
from ansible_collections.immutable.compose.plugins.module_utils.page import plots
from ansible_collections.immutable.compose.plugins.module_utils.platforms.hands import abilities
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress
from ansible_collections.immutable.compose.plugins.plugin_utils.variations import Variations

#: Python packages of whose versions results may depend.
_PACKAGES = ("execo", "msgspec", "paramiko")


@dataclass(frozen=True)
class Asked:
    """What the task says."""

    file: str
    #: By default ``results/NAME`` beside the file.
    results: str | None
    runner: str
    #: Whether this interpreter is the one that runs scripts.
    runs_scripts: bool


@dataclass(frozen=True)
class Prepared:
    """An experiment that can be run."""

    subject: Subject
    trials: t.Sequence[Planned]
    results: Results
    runner: str
    #: Deployment files of the sweep.
    sources: t.Sequence[Source]

    @property
    def left(self) -> list[str]:
        """Trials that did not end well up to now."""
        done = self.results.done()
        return [trial.id for trial in self.trials if trial.id not in done]

    def run(self, launch: Launch, show: t.Callable[[str], None]) -> Outcome:
        """Run what is left of it."""
        progress = _Shown(show)
        self.results.claim()
        ids = [trial.id for trial in self.trials]
        sharing = Sharing(self.results.at("sharing"), self.runner, ids, self.results.done)
        try:
            with sharing.alone():
                write_replay(self.results.path, self.subject, self.sources)
            runner = Runner(
                self.subject,
                self.trials,
                self.results,
                sharing,
                launch,
                progress,
                runner=self.runner,
                tools=_tools(),
            )
            outcome = runner.run()
        finally:
            sharing.close()
        progress.say(f"results: {self.results.at('results.csv')}")
        progress.say(f"page: {outcome.page}")
        if not outcome.parquet:
            progress.say("there is no results.parquet, since the Python library 'pyarrow' is not installed")
        if not plots.available():
            progress.say("the page has no plots, since the Python library 'vl-convert-python' is not installed")
        return outcome


def prepare(asked: Asked, variations: Variations) -> Prepared:
    """Read an experiment, and refuse what cannot work. Nothing was touched.

    :raises ComposeError: names file, key and value.
    """
    subject = read(asked.file)
    trials = subject.trials(asked.runner)
    if asked.runs_scripts:
        _check_modules(subject)
    checked: set[Need] = set()
    for trial in trials:
        if trial.need not in checked:
            checked.add(trial.need)
            _check(subject, trial, variations)
    where = asked.results or os.path.join(os.path.dirname(asked.file), "results", subject.name)
    sources = variations.sources(trial.need.deployment for trial in trials)
    for source in sources:
        inside = os.path.realpath(source.directory)
        if os.path.commonpath((inside, os.path.realpath(where))) == inside:
            raise InputError(
                f"{where}: lies in the composition {inside}, which would be another one with each result; expected"
                " another directory for the results (experiment_results)"
            )
    results = Results(where, subject, [trial.id for trial in trials])
    return Prepared(subject, trials, results, asked.runner, sources)


def _check_modules(subject: Subject) -> None:
    """:raises InputError: a module that the script imports is not there."""
    for name, line in modules_needed(dedent(subject.script)).items():
        with suppress(ImportError, ValueError):
            if importlib.util.find_spec(name) is not None:
                continue
        raise InputError(
            f"{subject.path}: script: line {line}: there is no module {name!r} for {sys.executable}, which runs the"
            " script; install it there"
        )


def _check(subject: Subject, trial: Planned, variations: Variations) -> None:
    """:raises InputError: the deployment of a trial does not exist, or the script does not fit it."""
    try:
        deployment = variations.read(trial.need.deployment, trial.need.changes)
    except (ComposeError, OSError) as error:
        raise InputError(f"{subject.path}: {trial.words}: {error}") from None
    nodes = [node.name for node in deployment.nodes]
    if not nodes:
        raise InputError(f"{subject.path}: {trial.words}: the deployment {trial.need.deployment!r} has no node")
    machines = variables(nodes, subject.script)
    for name in trial.values:
        if name in machines:
            raise InputError(
                f"{subject.path}: sweep.{name}: {trial.words}: in the script, {name} is the node {machines[name]!r} of "
                f"the deployment {trial.need.name!r}; expected another name"
            )
    can = abilities(PLATFORMS[deployment.platform])
    try:
        check_script(subject.script, nodes, deployment.platform, can, trial.values)
    except InputError as error:
        raise InputError(f"{subject.path}: {trial.words}: {error}") from None


def _tools() -> dict[str, str]:
    """Program → version, of what runs an experiment on this host."""
    found = {"immutable.compose": _own_version(), "ansible-core": core, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _own_version() -> str:
    """As the collection was installed, or as its checkout has it."""
    top = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    installed = os.path.join(top, "MANIFEST.json")
    if os.path.exists(installed):
        return str(read_json(installed)["collection_info"]["version"])
    with open(os.path.join(top, "galaxy.yml"), encoding="utf-8") as stream:
        return str(yaml.safe_load(stream)["version"])


class _Shown(Progress):
    """Lines that go to the terminal at once: they are said by the controller itself."""

    def __init__(self, show: t.Callable[[str], None]) -> None:
        super().__init__()
        self._show = show

    def _write(self, line: str) -> None:
        self._show(f"  compose | {line}")
