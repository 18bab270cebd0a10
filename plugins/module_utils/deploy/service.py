# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes are out of service, and the user's hooks that take them there and back. PRIVATE to the collection.

Hooks are tasks of the user, so only Ansible can run them. A step that needs one *pauses*: it returns what it asks for,
and is called again when the hook has run. Therefore whatever a step does is either recorded or found to be done.
"""

from __future__ import annotations

import os
import time
import typing as t
import uuid
from dataclasses import replace

from ..model import codec
from ..model.hooks import Ask, HookLog, Hooks, OutOfService


class Paused(Exception):
    """The step cannot go on before a hook has run."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask.hook)
        self.ask = ask


class Service:
    """Of one deployment, for the length of one step.

    :param state: the deployment's directory.
    :param log: which hooks have run in this run.
    """

    def __init__(self, state: str, hooks: Hooks, log: HookLog | None = None) -> None:
        self._path = os.path.join(state, "out-of-service.json")
        self._hooks = hooks
        self.log = log or HookLog()

    @property
    def out(self) -> t.Mapping[str, str]:
        """Nodes that are out of service → since when."""
        try:
            return codec.read(OutOfService, self._path).nodes
        except FileNotFoundError:
            return {}

    def is_drained(self, name: str) -> bool:
        """Whether a node is out of service, and not only because its hook failed half-way."""
        return name in self.out and not self._ran("drain").get(name)

    # -- what a step asks for ------------------------------------------------------------------------------------

    def drain(self, names: t.Sequence[str]) -> dict[str, str]:
        """Take running nodes out of service before they go down: those for which that failed, and why.

        It is asked for again in each run: what was killed may not have come to its end. That it is asked for is written
        down before.

        :raises Paused: the hook has to run first.
        """
        if not self._hooks.drain:
            return {}
        waiting = [name for name in names if name not in self._ran("drain")]
        if waiting:
            self.leaves(waiting)
        return self._run("drain", names)

    def leaves(self, names: t.Sequence[str]) -> None:
        """These nodes are out of service from now on, until the hook ``undrain`` has run."""
        if not (self._hooks.drain or self._hooks.undrain):
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._write({**dict.fromkeys(names, now), **self.out})
        self._forget("undrain", names)

    def undrain(self, names: t.Iterable[str]) -> dict[str, str]:
        """Put nodes into service that are out of it: those for which that failed, and why.

        :raises Paused: the hook has to run first.
        """
        out = self.out
        names = [name for name in names if name in out]
        if not self._hooks.undrain:
            self.enters(names)
            return {}
        return self._run("undrain", names)

    def back(self, names: t.Sequence[str]) -> dict[str, str]:
        """Nodes are back on what was verified last: those for which the hook failed, and why.

        :raises Paused: the hook has to run first.
        """
        return self._run("back", names) if self._hooks.back else {}

    def end(self, names: t.Sequence[str]) -> Ask | None:
        """What is to run once the run has ended."""
        return Ask("end", list(names), uuid.uuid4().hex) if self._hooks.end and names else None

    def enters(self, names: t.Iterable[str]) -> None:
        """These nodes are in service, or are not there any more."""
        gone, out = set(names), self.out
        if gone & set(out):
            self._write({name: since for name, since in out.items() if name not in gone})
            self._forget("drain", gone)

    # -- what becomes of it --------------------------------------------------------------------------------------

    def answer(self, answers: t.Mapping[str, str]) -> None:
        """What was asked for has run.

        :param answers: node → why the hook failed; empty if it did not.
        """
        asked = self.log.asked
        if asked is None:
            return
        told = {name: answers.get(name, "the hook was not run") for name in asked.nodes}
        self.log = HookLog(None, {**self.log.ran, asked.hook: {**self._ran(asked.hook), **told}})
        if asked.hook == "undrain":
            self.enters(name for name, why in told.items() if not why)

    def _run(self, hook: str, names: t.Sequence[str]) -> dict[str, str]:
        ran = self._ran(hook)
        waiting = [name for name in names if name not in ran]
        if waiting:
            ask = Ask(hook, waiting, uuid.uuid4().hex)
            self.log = replace(self.log, asked=ask)
            raise Paused(ask)
        return {name: f"{hook}: {ran[name]}" for name in names if ran[name]}

    def _ran(self, hook: str) -> t.Mapping[str, str]:
        return self.log.ran.get(hook, {})

    def _forget(self, hook: str, names: t.Iterable[str]) -> None:
        gone = set(names)
        kept = {name: why for name, why in self._ran(hook).items() if name not in gone}
        self.log = replace(self.log, ran={**self.log.ran, hook: kept})

    def _write(self, nodes: dict[str, str]) -> None:
        codec.write(self._path, OutOfService(nodes))
