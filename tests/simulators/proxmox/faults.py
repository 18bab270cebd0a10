"""Faults on demand: a list of JSON objects in ``faults.json``, or sent to ``/control/faults``.

======== ========================================================================================================
kind     what happens
======== ========================================================================================================
http     a call is answered with ``status`` and ``message``; ``answer`` true: it is carried out nevertheless
reset    the connection is reset, before a call or after ``bytes`` of an upload; ``answer`` true: after the call was
         carried out, in place of its answer
delay    a call takes ``seconds`` longer
task     a task ends in ``error``, or with ``hang`` true never; it does nothing before, or with ``when: end`` all that
         it should
node     ``node`` is down: its VMs stop, calls for it end with 595
quorum   the cluster has lost its quorum
lock     somebody holds the configuration lock of ``vmid``, or the lock of ``storage``; ``times`` counts time-outs
clock    the clocks of the nodes are ``seconds`` off
call     somebody else (root@pam) makes a call, once: ``do`` is its method, path and parameters
======== ========================================================================================================

Which call: ``method`` and ``path`` (regular expressions; a path is searched), ``vmid`` (in the path, or what the call
makes). Which task: ``type`` and ``id`` (regular expressions; an id is searched), ``vmid``, ``node``. Of what fits, the
first ``skip`` are spared, and the next ``times`` meet the fault (without: all of them).

With ``on`` (which call, with ``skip``) a fault of any kind sleeps until that call is made, and is there before the call
is carried out. ``for`` is how long a fault is there, in simulated seconds.
"""

from __future__ import annotations

import json
import re
import threading
import time
import typing as t
from pathlib import Path

Fault = dict[str, t.Any]
KINDS = ("http", "reset", "delay", "task", "node", "quorum", "lock", "clock", "call")


def _anything(fault: Fault) -> bool:
    return True


def _fits_call(which: Fault, verb: str, path: str, vmids: t.Collection[int]) -> bool:
    return (
        re.fullmatch(which.get("method", ".*"), verb) is not None
        and re.search(which.get("path", ""), path) is not None
        and ("vmid" not in which or int(which["vmid"]) in vmids)
    )


class Faults:
    """The faults that are on; the file is read again whenever it changed."""

    def __init__(self, state: Path, pace: float = 1.0) -> None:
        self._path, self._pace = state / "faults.json", pace
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._stamp: tuple[int, ...] | None = None

    def all(self) -> list[Fault]:
        """Every fault that is on, or sleeps."""
        with self._lock:
            return [dict(fault) for fault in self._read()]

    def set(self, faults: list[Fault]) -> None:
        """Replaces all faults."""
        for fault in faults:
            if fault.get("kind") not in KINDS:
                raise ValueError(f"kind of a fault is one of {', '.join(KINDS)}, not {fault.get('kind')!r}")
        with self._lock:
            self._write(faults)

    def find(self, kind: str, wanted: t.Callable[[Fault], bool] = _anything) -> Fault | None:
        """The first fault of a kind that is on and fits."""
        if self._stamp is None and self._stat() is None:
            return None
        with self._lock:
            return next((dict(fault) for fault in self._on(kind) if wanted(fault)), None)

    def take(self, kind: str, wanted: t.Callable[[Fault], bool] = _anything) -> Fault | None:
        """The first fault of a kind that fits, counted as having happened."""
        if self._stamp is None and self._stat() is None:
            return None
        with self._lock:
            for fault in self._on(kind):
                if wanted(fault) and self._counts(fault, fault):
                    return dict(fault)
        return None

    def call(self, kind: str, verb: str, path: str, vmids: t.Collection[int] = (), **more: t.Any) -> Fault | None:
        """A fault of a call, if there is one; ``more`` must be equal."""
        return self.take(
            kind,
            lambda fault: (
                _fits_call(fault, verb, path, vmids) and all(fault.get(key) == value for key, value in more.items())
            ),
        )

    def task(self, node: str, kind: str, identifier: str) -> Fault | None:
        """A fault of a task, if there is one."""
        return self.take(
            "task",
            lambda fault: (
                fault.get("node") in (None, node)
                and re.fullmatch(fault.get("type", ".*"), kind) is not None
                and re.search(fault.get("id", ""), identifier) is not None
                and str(fault.get("vmid", identifier)) == identifier
            ),
        )

    def wake(self, verb: str, path: str, vmids: t.Collection[int]) -> list[Fault]:
        """Faults that slept until such a call are on; those of the kind ``call`` are answered, and gone."""
        if self._stamp is None and self._stat() is None:
            return []
        with self._lock:
            faults = self._read()
            for fault in faults:
                on = fault.get("on")
                if on is not None and _fits_call(on, verb, path, vmids) and self._counts(fault, on):
                    del fault["on"]
                    self._write(faults)
            calls = [fault for fault in faults if fault["kind"] == "call" and "on" not in fault]
            if calls:
                self._write([fault for fault in faults if fault not in calls])
            return calls

    def node_down(self, node: str) -> bool:
        """The node does not answer."""
        return self.find("node", lambda fault: fault.get("node") == node) is not None

    def locked(self, *, count: bool = False, **what: t.Any) -> bool:
        """Somebody else holds a lock.

        :param count: who waited for it has given up
        """
        search = self.take if count else self.find
        return search("lock", lambda fault: all(str(fault.get(k)) == str(v) for k, v in what.items())) is not None

    def clock_jump(self) -> float:
        """Seconds that the clocks of the nodes are off."""
        fault = self.find("clock")
        return float(fault["seconds"]) if fault else 0.0

    def _on(self, kind: str) -> t.Iterator[Fault]:
        """Faults of a kind that do not sleep, have not ended and may happen once more."""
        faults = self._read()
        for fault in faults:
            if fault["kind"] != kind or "on" in fault or fault.get("times", 1) <= 0:
                continue
            if "for" in fault:
                if "until" not in fault:
                    fault["until"] = time.time() + float(fault["for"]) * self._pace
                    self._write(faults)
                if time.time() >= fault["until"]:
                    continue
            yield fault

    def _counts(self, fault: Fault, which: Fault) -> bool:
        """What fits has come; false as long as it is spared."""
        if which.get("skip", 0) > 0:
            which["skip"] -= 1
            self._write(self._faults)
            return False
        if "times" in which and which is fault:
            which["times"] -= 1
            self._write(self._faults)
        return True

    def _stat(self) -> tuple[int, ...] | None:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> list[Fault]:
        stamp = self._stat()
        if self._stamp != stamp:
            self._faults = json.loads(self._path.read_text() or "[]") if stamp else []
            self._stamp = stamp
        return self._faults

    def _write(self, faults: list[Fault]) -> None:
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(faults))
        temporary.replace(self._path)
        self._faults, self._stamp = faults, self._stat()
