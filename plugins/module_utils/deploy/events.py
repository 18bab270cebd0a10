# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in a run, in ``<state>/events.jsonl``, until the next run begins. PRIVATE to the collection.

The journal is what steps hand to each other, and ends with the run. This is for people, who come later: secrets are
masked in all of it.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import threading
import time
import typing as t
from contextlib import suppress

from ..errors import InputError
from ..files import Log
from ..model import codec
from ..model.event import Event, EventKind, NodeState
from ..model.step import StepFailure, StepResult
from .masking import Mask
from .run import Run

#: What the results of waves and rounds are called, but for their numbers.
WAVES = ("switch", "revert")
#: No clock says more.
END_OF_TIME = 1e11


class Events:
    """Those of one step. Safe to use from several threads.

    :param state: the deployment's directory.
    :param step: its name.
    """

    def __init__(self, state: str, step: str, mask: Mask) -> None:
        self._state = state
        self._path = path_of(state)
        self._log = Log(self._path)
        self._step = step
        self._mask = mask
        self._lock = threading.Lock()
        #: Kept back until the deployment is the run's: what is refused before that leaves nothing behind.
        self._waiting: list[str] | None = []
        self._since = time.time()
        self.add("begin")

    def begin(self, run: Run) -> None:
        """The deployment is the run's from now on. What an earlier one has left goes; not what this run did before."""
        first = next(read(self._path), None)
        # Process ids are used again.
        if first is None or (first.text, first.result) != (run.who, run.started):
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            for results in WAVES:
                for path in glob.glob(os.path.join(glob.escape(self._state), "results", f"{results}*")):
                    shutil.rmtree(path, ignore_errors=True)
            self._append([self._line(Event(self._since, "run", text=run.who, result=run.started))])
        self.go_on()

    def go_on(self) -> None:
        """The deployment is the run's already."""
        with self._lock:
            waiting, self._waiting = self._waiting or [], None
            self._append(waiting)

    def add(self, kind: EventKind, node: str = "", state: NodeState = "", text: str = "") -> None:
        """Something has happened. :param text: masked already."""
        self._write(kind, node, state, text)

    def end(self, result: StepResult | StepFailure) -> None:
        """The step has ended, or has come to nothing."""
        if self._waiting is not None:
            return
        told = self._mask.result(codec.encode(result), words=True)
        kind: EventKind = "failed" if isinstance(result, StepFailure) else "end"
        self._write(kind, result=told)

    def _write(
        self, kind: EventKind, node: str = "", state: NodeState = "", text: str = "", result: t.Any = None
    ) -> None:
        with self._lock:
            line = self._line(Event(time.time(), kind, self._step, node, state, text, result))
            if self._waiting is not None:
                self._waiting.append(line)
            else:
                self._append([line])

    def _append(self, lines: t.Sequence[str]) -> None:
        # A step that cannot tell how it fares, since the disk is full, fares no worse for it.
        with suppress(OSError):
            self._log.add("".join(lines))

    @staticmethod
    def _line(event: Event) -> str:
        return f"{json.dumps(codec.encode(event))}\n"


def path_of(state: str) -> str:
    """Where the events of a deployment's last run are."""
    return os.path.join(state, "events.jsonl")


def read(path: str) -> t.Iterator[Event]:
    """The events of the last run; none if there was none. Lines that were cut by a full disk are left out."""
    with suppress(FileNotFoundError), open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            with suppress(ValueError, InputError):
                event = codec.decode(Event, json.loads(line), "event")
                if 0 <= event.time < END_OF_TIME:
                    yield event
