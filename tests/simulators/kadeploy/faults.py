"""Faults on demand: ``faults.json`` in the state directory, or ``/control/faults``; README.md lists them."""

from __future__ import annotations

import json
import re
import threading
import time
import typing as t
from pathlib import Path

from .errors import DATABASE, KadeployError
from .nodesets import expand
from .web import Answer, Request

Fault = dict[str, t.Any]
_CALLS = ("http", "reset", "delay")


class Faults:
    """The list, and how often each was met."""

    def __init__(self, state: Path) -> None:
        self._path = state / "faults.json"
        self._lock = threading.Lock()
        self._read = 0.0
        self._faults: list[Fault] = []

    def _now(self) -> list[Fault]:
        """The faults; read anew when the file was changed."""
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            changed = 0
        if changed != self._read:
            self._faults = json.loads(self._path.read_text()) if changed else []
            self._read = changed
        return self._faults

    def _write(self, faults: list[Fault]) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(faults, indent=1) + "\n")
        new.replace(self._path)
        self._now()

    def _meet(self, fits: t.Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for fault in self._now():
                if not fits(fault):
                    continue
                met = fault["met"] = fault.get("met", 0) + 1
                if fault.get("skip", 0) < met <= fault.get("skip", 0) + fault.get("times", 1 << 30):
                    return fault
        return None

    def meet(self, machine: str, kind: str, system: str = "", step: str = "") -> Fault | None:
        """A fault of a machine that happens now.

        :param system: ``deploy`` or ``user``: the one that boots
        :param step: the microstep
        """
        return self._meet(
            lambda fault: bool(
                fault["kind"] == kind
                and machine in expand(fault.get("machine", machine))
                and fault.get("system", system) == system
                and fault.get("step", step) == step
            )
        )

    def _call(self, kinds: t.Collection[str], request: Request) -> Fault | None:
        """A fault of a call that happens now."""
        return self._meet(
            lambda fault: bool(
                fault["kind"] in kinds
                and fault.get("method", request.method) == request.method
                and re.search(fault.get("path", ""), request.path)
            )
        )

    def query(self, request: Request) -> None:
        """What the database may refuse of a call."""
        fault = self._call(("database",), request)
        if fault is not None:
            raise KadeployError(DATABASE, fault.get("error", "MySQL error #2006: MySQL server has gone away"))

    def spoil(self, request: Request) -> Answer | None:
        """What a fault answers to a call instead."""
        fault = self._call(_CALLS, request)
        if fault is None:
            return None
        if fault["kind"] == "delay":
            time.sleep(fault["seconds"])
            return None
        if fault["kind"] == "reset":
            return Answer(None)
        headers = {"Content-Type": fault.get("type", "text/html")}
        return Answer(fault["status"], str(fault.get("body", "<h1>out of order</h1>\n")).encode(), headers)

    def control(self, request: Request) -> Answer:
        """``/control/faults``: GET, PUT (all), POST (adds one or more), DELETE (all)."""
        with self._lock:
            if request.method != "GET":
                given = json.loads(request.body or b"[]")
                given = given if isinstance(given, list) else [given]
                self._write([*self._now(), *given] if request.method == "POST" else given)
            return Answer(200, json.dumps(self._now()).encode(), {"Content-Type": "application/json"})
