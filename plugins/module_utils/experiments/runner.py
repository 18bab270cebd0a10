# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the trials of an experiment, one after the other. PRIVATE to the collection."""

from __future__ import annotations

import os
import shutil
import time
import typing as t
from dataclasses import dataclass, replace

from ..errors import ComposeError
from ..files import write_json, write_text
from ..model.experiment import Measured, Trial
from ..process import Completed
from ..progress import Progress
from . import measured
from .results import Results
from .sharing import Sharing
from .trials import Need, Planned, Subject

#: Seconds after which the tables are written again while an experiment runs.
TABLES = 60.0
#: Lines of the output of a run that failed, in what is told of it.
LAST = 20
#: In the directory of a trial: what its run is told, what it printed, and what its script copied from machines.
VARIABLES, OUTPUT, FILES = "variables.json", "output.txt", "files"


class Launch(t.Protocol):
    """Starts ``ansible-playbook`` as the run of the experiment itself was started."""

    def __call__(self, playbook: str, variables: str, deployment: str) -> Completed:
        """Run it to its end.

        :param variables: file with extra variables.
        :param deployment: the only one whose hosts are acted on.
        """


@dataclass(frozen=True)
class Outcome:
    """How a run of an experiment ended."""

    #: Ids of trials that this run has done, that failed, and that nobody has done yet.
    done: t.Sequence[str]
    failed: t.Mapping[str, str]
    left: t.Sequence[str]
    #: Whether there is a table in Parquet.
    parquet: bool
    #: The page that reports it.
    page: str


class Runner:
    """One run of an experiment.

    :param trials: all, in order.
    :param tools: program → version, on this host.
    """

    def __init__(
        self,
        subject: Subject,
        trials: t.Sequence[Planned],
        results: Results,
        sharing: Sharing,
        launch: Launch,
        progress: Progress,
        *,
        runner: str = "",
        tools: t.Mapping[str, str],
    ) -> None:
        self._experiment = subject.experiment
        self._trials = {trial.id: trial for trial in trials}
        self._results = results
        self._sharing = sharing
        self._launch = launch
        self._progress = progress
        self._runner = runner
        self._tools = tools
        #: What was deployed last, and the release that came of it: nothing else may have been deployed since.
        self._need: Need | None = None
        self._release = 0
        #: Deployments that may run: those that an earlier run has left, and what this one has deployed.
        self._running = {trial.need.name: trial.need for trial in trials}
        self._written = time.monotonic()

    def run(self) -> Outcome:
        """Run what is left, as far as the file says that one goes on. :raises OSError: results cannot be written."""
        done: list[str] = []
        failed: dict[str, str] = {}
        try:
            while True:
                trial_id = self._sharing.next(self._runs_already)
                if trial_id is None:
                    break
                trial = self._tried(self._trials[trial_id], len(failed))
                self._results.keep(trial)
                if trial.ok:
                    self._sharing.done(trial_id)
                    done.append(trial_id)
                else:
                    self._sharing.skip(trial_id)
                    failed[trial_id] = trial.message
                    if self._experiment.on_failure == "stop":
                        break
                if time.monotonic() - self._written > TABLES:
                    self._write_tables()
        finally:
            parquet = self._write_tables()
        with self._sharing.alone():
            page = self._results.write_page(self._parameters)
        return Outcome(done, failed, self._sharing.left, parquet, page)

    @property
    def _parameters(self) -> list[str]:
        return list(dict.fromkeys(name for trial in self._trials.values() for name in trial.values))

    def _write_tables(self) -> bool:
        self._written = time.monotonic()
        with self._sharing.alone():
            return self._results.write_table(self._parameters)

    def _runs_already(self, trial_id: str) -> bool:
        """What costs no deployment comes first, unless the order is one that was drawn."""
        return self._experiment.order == "deployments" and self._trials[trial_id].need == self._need

    def _tried(self, planned: Planned, failed: int) -> Trial:
        done = len(self._trials) - len(self._sharing.left)
        self._progress.say(f"trial {done + failed + 1} of {len(self._trials)}: {planned.words}")
        trial = self._once(planned, 1)
        for attempt in range(2, self._experiment.retries + 2):
            if trial.ok:
                break
            self._progress.say(f"trial {planned.id}: tried again, since it failed: {trial.message}")
            trial = self._once(planned, attempt)
        if not trial.ok:
            self._progress.say(f"trial {planned.id}: failed: {trial.message}")
        return trial

    def _once(self, planned: Planned, attempt: int) -> Trial:
        start, begun = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        trial = Trial(
            planned.id,
            planned.combination,
            planned.repetition,
            planned.need.deployment,
            planned.need.changes,
            ok=False,
            runner=self._runner,
            attempts=attempt,
            started=begun,
            tools=self._tools,
        )
        with self._progress.waiting(lambda: f"trial {planned.words}"):
            try:
                if planned.need != self._need:
                    self._make_room(planned.need)
                found, deployed = self._measured(planned), planned.need != self._need
                if not deployed and (not found.provenance or found.provenance.release != self._release):
                    # Machines have died since, of which a deploy is the end; or somebody else has deployed something.
                    self._need = None
                    found, deployed = self._measured(planned), True
            except ComposeError as error:
                self._need = None
                return replace(trial, message=error.message, seconds=time.monotonic() - start)
        self._need = planned.need
        self._release = found.provenance.release if found.provenance else 0
        return replace(
            trial,
            ok=found.ok,
            message=found.message,
            deployed=deployed,
            seconds=time.monotonic() - start,
            records=found.records,
            files=found.files,
            provenance=found.provenance,
        )

    def _make_room(self, need: Need) -> None:
        """Stop other deployments of the sweep, if the file says so."""
        if self._experiment.others != "destroy":
            return
        for name in [name for name in self._running if name != need.name]:
            self._play("destroy", self._running[name], self._results.at("others", name), {})
            del self._running[name]

    def _measured(self, planned: Planned) -> Measured:
        """Deploy what the trial needs, unless it runs, and run the script. :raises ComposeError: it came to nothing."""
        directory = self._results.at("trials", planned.id)
        self._running[planned.need.name] = planned.need
        variables = {
            "trial_directory": directory,
            "trial_files": os.path.join(directory, FILES),
            "trial_script": self._results.at("script.py"),
            "trial_deploy": planned.need != self._need,
            "trial_timeout": self._experiment.time_limit,
            "trial_values": planned.values,
        }
        measured.forget(directory)
        shutil.rmtree(os.path.join(directory, FILES), ignore_errors=True)
        self._play("trial", planned.need, directory, variables)
        return measured.read(directory)

    def _play(self, playbook: str, need: Need, directory: str, variables: t.Mapping[str, t.Any]) -> None:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        changes = {need.deployment: need.changes} if need.changes else {}
        path = os.path.join(directory, VARIABLES)
        write_json(path, _as_it_is({**variables, "compose_changes": changes}))
        done = self._launch(playbook, path, need.name)
        output = os.path.join(directory, OUTPUT)
        write_text(output, done.stdout + done.stderr)
        if done.returncode:
            lines = (done.stdout + done.stderr).strip().splitlines()
            last = "\n".join(lines[-LAST:])
            raise ComposeError(
                f"{playbook}: ansible-playbook ended with exit code {done.returncode}, see {output}\n{last}"
            )


def _as_it_is(value: t.Any) -> t.Any:
    """Variables for Ansible in which braces are no templates: they are values that are measured with."""
    if isinstance(value, t.Mapping):
        return {key: _as_it_is(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_it_is(item) for item in value]
    return {"__ansible_unsafe": value} if isinstance(value, str) and "{" in value else value
