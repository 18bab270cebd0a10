"""Faults on demand: a list of JSON objects in ``faults.json``, or sent to ``/control/faults``.

Every fault has ``kind``; ``times`` is how often it happens (for ever without). Regular expressions are searched.

======== ========================================================================================================
kind     what happens
======== ========================================================================================================
http     a call (``method``, ``path``, both regular expressions) is answered with ``status`` and ``message``
reset    the connection is reset, before a call or after ``bytes`` of its body; ``answer`` true: after the call was
         carried out, in place of its answer
delay    a call takes ``seconds`` longer
task     a task (``type``, ``id``: regular expressions) ends in ``error``; it does nothing, or with ``when: end`` what
         it should and then fails; with ``hang`` true it never ends
node     ``node`` is down: its VMs stop, calls for it end with 595
quorum   the cluster has lost its quorum
lock     somebody holds the configuration lock of ``vmid``, or the lock of ``storage``
clock    the clocks of the nodes are ``seconds`` off
======== ========================================================================================================
"""

from __future__ import annotations

import json
import re
import threading
import typing as t
from pathlib import Path

Fault = dict[str, t.Any]
KINDS = ("http", "reset", "delay", "task", "node", "quorum", "lock", "clock")


class Faults:
    """The faults that are on; the file is read again whenever it changed."""

    def __init__(self, state: Path) -> None:
        self._path = state / "faults.json"
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._stamp: tuple[int, int] | None = None

    def all(self) -> list[Fault]:
        """Every fault that is on."""
        with self._lock:
            return [dict(fault) for fault in self._read()]

    def set(self, faults: list[Fault]) -> None:
        """Replaces all faults."""
        for fault in faults:
            if fault.get("kind") not in KINDS:
                raise ValueError(f"kind of a fault is one of {', '.join(KINDS)}, not {fault.get('kind')!r}")
        with self._lock:
            self._write(faults)

    def take(self, kind: str, wanted: t.Callable[[Fault], bool] = lambda fault: True) -> Fault | None:
        """The first fault of a kind that fits, counted as having happened."""
        with self._lock:
            faults = self._read()
            for fault in faults:
                if fault["kind"] != kind or fault.get("times", 1) <= 0 or not wanted(fault):
                    continue
                if "times" in fault:
                    fault["times"] -= 1
                    self._write(faults)
                return dict(fault)
        return None

    def call(self, kind: str, verb: str, path: str, **more: t.Any) -> Fault | None:
        """A fault of a call, if there is one; ``more`` must be equal."""
        return self.take(
            kind,
            lambda fault: (
                re.fullmatch(fault.get("method", ".*"), verb) is not None
                and re.search(fault.get("path", ""), path) is not None
                and all(fault.get(key) == value for key, value in more.items())
            ),
        )

    def task(self, kind: str, identifier: str) -> Fault | None:
        """A fault of a task, if there is one."""
        return self.take(
            "task",
            lambda fault: (
                re.fullmatch(fault.get("type", ".*"), kind) is not None
                and re.search(fault.get("id", ""), identifier) is not None
            ),
        )

    def node_down(self, node: str) -> bool:
        """The node does not answer."""
        return self.take("node", lambda fault: fault.get("node") == node) is not None

    def locked(self, **what: t.Any) -> bool:
        """Somebody else holds a lock, until the fault is taken away."""
        return self.take("lock", lambda fault: all(str(fault.get(k)) == str(v) for k, v in what.items())) is not None

    def clock_jump(self) -> float:
        """Seconds that the clocks of the nodes are off."""
        fault = self.take("clock")
        return float(fault["seconds"]) if fault else 0.0

    def _read(self) -> list[Fault]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._faults, self._stamp = [], None
            return self._faults
        if self._stamp != (stat.st_mtime_ns, stat.st_size):
            self._faults = json.loads(self._path.read_text() or "[]")
            self._stamp = (stat.st_mtime_ns, stat.st_size)
        return self._faults

    def _write(self, faults: list[Fault]) -> None:
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(faults))
        temporary.replace(self._path)
        stat = self._path.stat()
        self._faults, self._stamp = faults, (stat.st_mtime_ns, stat.st_size)
