# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of results: whose it is, and what is in it. PRIVATE to the collection."""

from __future__ import annotations

import os
import stat
import typing as t
from contextlib import suppress

from ..errors import InputError
from ..files import write_text
from ..model import codec
from ..model.experiment import ExperimentMark, Trial
from ..page.measurements import Measurements
from ..page.render import experiment_page
from .table import write_csv, write_parquet
from .trials import Subject

#: The file that says whose the directory is, and the page.
MARK = "experiment.json"
PAGE = "report.html"
#: MiB that must be free: less, and not even the tables of a small experiment fit.
ROOM = 16
#: What may become more while an experiment goes on, or be another way to the same.
_MAY_CHANGE = ("sweep", "repetitions", "order", "seed", "time_limit", "retries", "on_failure", "others", "runners")


class Results:
    """The results directory of an experiment, made when :meth:`claim` is called.

    :param trials: ids of all that the experiment has.
    :raises InputError: it is not this experiment's, or cannot be written to; nothing was touched.
    """

    def __init__(self, path: str, subject: Subject, trials: t.Sequence[str]) -> None:
        self.path = path
        self._mark = ExperimentMark(subject.name, subject.experiment, subject.script)
        self._ids = list(trials)
        self._refuse_others()
        self._refuse_lost()
        self._refuse_full()

    def at(self, *parts: str) -> str:
        """A path in it."""
        return os.path.join(self.path, *parts)

    def claim(self) -> None:
        """Make it, or write down that the sweep has become larger. :raises OSError: names the file."""
        codec.write(self.at(MARK), self._mark, mode=0o644)
        write_text(self.at("script.py"), self._mark.script, mode=0o644)

    def keep(self, trial: Trial) -> None:
        """Write down what came of a trial."""
        codec.write(self.at("trials", trial.id, "trial.json"), trial, mode=0o644)

    def trials(self) -> list[Trial]:
        """Those that have ended, in order."""
        return self._read(self._ids)

    def done(self) -> set[str]:
        """Ids of those that have ended well."""
        return {trial.id for trial in self.trials() if trial.ok}

    def write_table(self, parameters: t.Sequence[str]) -> bool:
        """Write the tables anew; whether there is a library for the one in Parquet.

        :param parameters: in the order of their columns.
        """
        trials = self.trials()
        write_csv(self.at("results.csv"), trials, parameters)
        return write_parquet(self.at("results.parquet"), trials, parameters)

    def write_page(self, parameters: t.Sequence[str]) -> str:
        """Write what people look at; its path."""
        measured = Measurements(self._mark.name, parameters, self.trials(), len(self._ids))
        write_text(self.at(PAGE), experiment_page(measured), mode=0o644)
        return self.at(PAGE)

    def _read(self, ids: t.Iterable[str]) -> list[Trial]:
        found = []
        for name in ids:
            try:
                found.append(codec.read(Trial, self.at("trials", name, "trial.json")))
            except FileNotFoundError:
                continue
        return found

    def _refuse_others(self) -> None:
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}, expected a directory for the results") from None
        if not stat.S_ISDIR(status.st_mode):
            raise InputError(f"{self.path}: is a file, expected a directory for the results")
        # What is gone on with is read by a library that runs what it reads.
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise InputError(
                f"{self.path}: belongs to user {status.st_uid}, or others may write to it; expected a directory that"
                f" only user {os.geteuid()} can write to"
            )
        try:
            found = codec.read(ExperimentMark, self.at(MARK))
        except FileNotFoundError:
            if set(os.listdir(self.path)) - {f".{MARK}.new"}:  # which a killed run may have left
                raise InputError(
                    f"{self.path}: has files, and no {MARK}: it is not a results directory; expected an empty "
                    "directory, or a new one"
                ) from None
            return
        if found.name != self._mark.name:
            raise InputError(f"{self.path}: has the results of the experiment {found.name!r}, not {self._mark.name!r}")
        if found.script != self._mark.script:
            raise InputError(f"{self.path}: has the results of another script, which is {self.at('script.py')}")
        for key in vars(found.experiment):
            old, new = getattr(found.experiment, key), getattr(self._mark.experiment, key)
            if key not in (*_MAY_CHANGE, "script") and old != new:
                raise InputError(
                    f"{self.path}: has the results of another experiment: its {key} was {old!r}, now it is {new!r}"
                )

    def _refuse_lost(self) -> None:
        """What was measured is in the table, or it is seen."""
        with suppress(FileNotFoundError):
            others = sorted(set(os.listdir(self.at("trials"))) - set(self._ids))
            lost = [trial.id for trial in self._read(others) if trial.ok]
            if lost:
                raise InputError(
                    f"{self.path}: has {len(lost)} measured trials that the experiment does not have any more, such as"
                    f" {lost[0]}: its sweep or repetitions have become smaller; expected another directory"
                    " (experiment_results)"
                )

    def _refuse_full(self) -> None:
        above = self.path
        while not os.path.isdir(above):
            above = os.path.dirname(above)
        if not os.access(above, os.W_OK | os.X_OK):
            raise InputError(f"{self.path}: nothing can be written to {above}, expected a place for the results")
        space = os.statvfs(above)
        free = space.f_bavail * space.f_frsize >> 20
        if free < ROOM:
            raise InputError(f"{self.path}: {free} MiB are free there, expected at least {ROOM} for the results")
