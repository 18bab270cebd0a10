# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The consoles of VMs that are waited for, recorded: nobody could read them later. PRIVATE to the collection.

Each is kept as ``nodes/NODE/console.log`` in the state directory, its last :data:`KEPT` bytes, as it was when the node
was waited for last.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
import typing as t

from ...errors import ComposeError, InputError
from ...files import write_text
from ...nodes.words import clean
from ...progress import Progress
from .terminal import NoConsole, console
from .vm import Vm

#: Consoles at once: each is a task on the server. The other nodes take the places of those that answer.
AT_ONCE = 16
#: Bytes of a console.
KEPT = 32 * 1024
#: Seconds after which a recording ends for which nobody waits any more.
LEASE = 120.0
#: Seconds between two looks at what is to be written; before the second try, from where on they double; and at most.
_WRITE, _PAUSE, _LONGEST = 1.0, 1.0, 16.0


class Consoles:
    """Recordings of one step.

    :param state: state directory of the deployment.
    """

    def __init__(self, state: str, progress: Progress) -> None:
        self._directory = os.path.join(state, "nodes")
        self._progress = progress
        self._recordings: dict[str, Recording] = {}
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def follow(self, vms: t.Mapping[str, Vm]) -> None:
        """Record the consoles of these nodes, from now on, and of no others."""
        with self._lock:
            for name, recording in self._recordings.items():
                recording.until = time.monotonic() + LEASE if name in vms else 0.0
            working = {name for name, recording in self._recordings.items() if recording.works()}
            hopeless = {name for name, recording in self._recordings.items() if recording.hopeless}
            free = max(0, AT_ONCE - len(working))
            for name in [name for name in vms if name not in working | hopeless][:free]:
                self._recordings[name] = Recording(vms[name], self._path(name), self._explain)

    def begin(self, names: t.Iterable[str]) -> None:
        """These VMs start anew: what they said before is not of this boot."""
        with self._lock:
            for name in names:
                if name in self._recordings:
                    self._recordings[name].begin()

    def heard(self, name: str) -> str:
        """What a node's console has said in this step, since its VM was started if that was in this step, too."""
        with self._lock:
            return self._recordings[name].text() if name in self._recordings else ""

    def text(self, name: str) -> str:
        """What a node's console said, as far as it was recorded, now or by an earlier step."""
        with self._lock:
            recording = self._recordings.get(name)
        if recording is not None:
            return recording.text()
        try:
            with open(self._path(name), encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""

    def forget(self, name: str) -> None:
        """Nothing stays of a node that was removed."""
        shutil.rmtree(os.path.dirname(self._path(name)), ignore_errors=True)

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name, "console.log")

    def _explain(self, error: ComposeError) -> None:
        """Say why there is no console, once for all nodes with a reason of that kind."""
        kind = type(error).__name__
        with self._lock:
            if kind in self._told:
                return
            self._told.add(kind)
        self._progress.say(f"the consoles of VMs are not recorded; nothing else needs them: {error.message}")


class Recording:
    """One console, read in a thread."""

    def __init__(self, vm: Vm, path: str, explain: t.Callable[[ComposeError], None]) -> None:
        #: When it ends; and whether there is no use in trying again.
        self.until, self.hopeless = time.monotonic() + LEASE, False
        self._vm, self._path, self._explain = vm, path, explain
        self._said = bytearray()
        self._anew = threading.Event()
        self._written, self._when = 0, 0.0
        self._heard = 0
        self._thread = threading.Thread(target=self._record, daemon=True)
        self._thread.start()

    def works(self) -> bool:
        """It has, or wants, a connection."""
        return self._thread.is_alive() and self._wanted()

    def begin(self) -> None:
        """Forget what was said, and look for more at once: the VM is about to say it."""
        self._said.clear()
        self._anew.set()

    def text(self) -> str:
        """What was said last, without what a terminal would obey."""
        return clean(bytes(self._said).decode("utf-8", "replace"))

    def _wanted(self) -> bool:
        return time.monotonic() < self.until

    def _record(self) -> None:
        try:
            self._keep()
            self._listen()
        except OSError as error:
            self.hopeless = True
            self._explain(ComposeError(f"{self._path}: {error.strerror}"))

    def _listen(self) -> None:
        pause = _PAUSE
        while self._wanted():
            try:
                with console(self._vm) as said:
                    for data in said:
                        if data:
                            pause = _PAUSE
                        self._take(data)
                        if not self._wanted():
                            break
            except (NoConsole, InputError) as error:
                self.hopeless = True
                self._explain(error)
                return
            except ComposeError as error:
                self._explain(error)
            finally:
                self._keep()
            if self._anew.wait(pause):  # it is off, or somebody else looks at its console
                self._anew.clear()
                pause = _PAUSE
            else:
                pause = min(2 * pause, _LONGEST)

    def _take(self, data: bytes) -> None:
        self._heard += len(data)
        self._said += data
        del self._said[:-KEPT]
        if time.monotonic() - self._when > _WRITE:
            self._keep()

    def _keep(self) -> None:
        """Write it down, unless that is written."""
        if self._when and self._written == self._heard:
            return
        write_text(self._path, self.text())
        self._written, self._when = self._heard, time.monotonic()
