# SPDX-License-Identifier: GPL-3.0-or-later
"""A small deployment of containers, what is done to it, and all that there is of it on this host."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from lab import PATIENCE, Run
from tiny import Tiny, tiny

from .picture import Picture, differences, take
from .remains import Remains
from .steps import NAMES, STEPS, Step

#: What a node says of itself: its image, what is in it, whether its data are there, and what it was told.
_ASK = (
    "cat /usr/lib/compose/identity /etc/greeting /srv/data/marker; "
    'grep -o \'"name": *"app[0-9]"\' /run/compose/in/node.json'
)


@dataclass(frozen=True)
class Undisturbed:
    """What comes of a step that nothing disturbs."""

    picture: Picture
    #: Seconds from the start to each line that it says.
    lines: t.Sequence[float]


class World:
    """The deployment ``one`` in a directory of its own.

    :ivar at: the step that it is at the end of; empty before the first, ``None`` if nobody knows.
    """

    def __init__(self, directory: Path) -> None:
        self.lab: Tiny = tiny(directory, 2, ["other"])
        (self.lab.inventory / "two.compose.yml").unlink()
        self.remains = Remains(self.lab.directory, self.lab.state, "app")
        self.at: str | None = ""
        self._output = directory / "output"
        self._undisturbed: dict[str, Undisturbed] = {}

    # -- runs ----------------------------------------------------------------------------------------------------

    def start(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a step, in a session of its own."""
        return self._start(STEPS[name], environment)

    def _start(self, step: Step, environment: t.Mapping[str, str]) -> subprocess.Popen[bytes]:
        lab = self.lab
        lab.script(step.script)
        lab.write(roles={"app": step.count}, setup={"v": step.version})
        with self._output.open("wb") as output:
            return subprocess.Popen(
                [
                    *("env", "--default-signal"),  # whoever starts this in the background has others ignored
                    *(lab.program("ansible-playbook"), "-i", str(lab.inventory)),
                    *(f"immutable.compose.{step.playbook}", "-e", json.dumps({"compose_data": step.data})),
                ],
                cwd=lab.directory,
                env={**lab.environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """What the last run has said so far."""
        return self._output.read_text(errors="replace")

    def run(self, name: str, **environment: str) -> Run:
        """Take a step, however it ends."""
        start = time.monotonic()
        code = self.start(name, **environment).wait(timeout=PATIENCE)
        return Run(code, self.said(), time.monotonic() - start)

    def finish(self, name: str) -> None:
        """Take a step to its end."""
        run = self.run(name)
        assert run.returncode == STEPS[name].code, run.output
        for complaint in ("[WARNING]", "Traceback"):
            assert complaint not in run.output, run.output
        self._mark(name)

    def _mark(self, name: str) -> None:
        """The data of new nodes are marked; nobody else writes there."""
        self.at = name
        for volume in self.lab.state.glob("volumes/*/data"):
            if not (volume / "marker").exists():
                assert name in ("deploy", "grow"), f"the data in {volume} are gone"
                (volume / "marker").write_text(f"{volume.parent.name}\n")

    def reach(self, name: str) -> None:
        """Be where a step begins."""
        before = ["", *NAMES][NAMES.index(name)]
        if not before or self.at != before:
            self.wipe()
            for each in NAMES[: NAMES.index(name)]:
                self.finish(each)

    def undisturbed(self, name: str) -> Undisturbed:
        """What comes of a step. All of them are taken when one is asked for."""
        if not self._undisturbed:
            self.wipe()
            for version in sorted({step.version for step in STEPS.values()}):  # no step has to wait for its image
                assert self._start(Step("build", version=version), {}).wait(timeout=PATIENCE) == 0, self.said()
            for each in NAMES:
                self._undisturbed[each] = self._watched(each)
        return self._undisturbed[name]

    def _watched(self, name: str) -> Undisturbed:
        start, lines = time.monotonic(), list[float]()
        process = self.start(name)
        while process.poll() is None:
            lines += [time.monotonic() - start] * (self.said().count("\n") - len(lines))
            time.sleep(0.01)
        assert process.returncode == STEPS[name].code, self.said()
        self._mark(name)
        return Undisturbed(self.picture(), lines)

    # -- what there is -------------------------------------------------------------------------------------------

    def picture(self) -> Picture:
        """All that there is of the deployment, without what is another one each time."""
        return {
            **take(self.lab.state),
            **{f"{node} says": self.lab.ssh(node, _ASK).stdout for node in self.lab.nodes()},
            **self.remains.picture(),
        }

    def check(self, name: str) -> None:
        """A step has come to the end that it comes to undisturbed."""
        found = differences(self.undisturbed(name).picture, self.picture())
        if found:
            self.at = None
        assert not found, "\n".join(found)

    def wipe(self) -> None:
        """Be as new."""
        self.remains.end()
        if self.lab.state.exists():
            shutil.rmtree(self.lab.state)
        self.at = ""
