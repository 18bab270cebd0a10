# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that puts machines back should the run end before it has done that itself. PRIVATE to the collection.

It is started when the first machine is about to be touched, is told of each before that, and reads until whoever
started it has ended, however that came. If nobody said that all is done, it takes the deployment and does it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import typing as t
from contextlib import contextmanager, suppress

from ..errors import ComposeError
from ..lock import deployment_lock
from ..model import codec
from ..model.deployment import Deployment
from ..platforms.base import Platform
from ..platforms.hands import HasCable, HasPower
from ..progress import Progress
from . import launch

#: What it answers once it has taken note.
NOTED = "noted\n"
#: The last word of who has done it itself.
DONE = "."
#: Seconds in which it has to answer, and to end: it only takes note, but the machine may be busy.
PATIENCE = 60.0


class Keeper:
    """Who starts it, and tells it."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._process: subprocess.Popen[str] | None = None

    def note(self, node: str) -> None:
        """Something is about to be done to a node's machine."""
        if self._process is None:
            self._process = subprocess.Popen(  # pylint: disable=ansible-bad-function; run_command waits for the end
                launch.command(__name__),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # whoever kills the run's group does not mean this one
                text=True,
            )
            self._tell(json.dumps(codec.encode(self._deployment)))
        self._tell(node)

    def dismiss(self) -> None:
        """There is nothing left to be put back."""
        process, self._process = self._process, None
        if process is not None:
            with _killed_after(process, PATIENCE), suppress(OSError):
                process.communicate(f"{DONE}\n")

    def _tell(self, line: str) -> None:
        process = t.cast("subprocess.Popen[str]", self._process)
        with _killed_after(process, PATIENCE):
            try:
                stream = t.cast("t.IO[str]", process.stdin)
                stream.write(f"{line}\n")
                stream.flush()
                noted = t.cast("t.IO[str]", process.stdout).readline() == NOTED
            except OSError:
                noted = False
        if not noted:
            raise ComposeError(
                "nobody could put the machines back if this run was killed now: the process for that has ended, or "
                f"did not answer within {PATIENCE:.0f} s"
            )


@contextmanager
def _killed_after(process: subprocess.Popen[str], seconds: float) -> t.Iterator[None]:
    """Whatever is waited for meanwhile, of a process: it comes to an end, if need be with the process."""
    late = threading.Timer(seconds, process.kill)
    late.start()
    try:
        yield
    finally:
        late.cancel()


def put_back(platform: Platform, name: str) -> None:
    """Switch a node on if it is off, and plug it in if it is not. :raises ComposeError: that does not work."""
    node = platform.deployment.node(name)
    if isinstance(platform, HasPower) and not platform.is_on(node):
        platform.turn_on(node)
    elif isinstance(platform, HasCable):
        platform.plug(node, plugged=True)


def main() -> None:
    """Read what is told on standard input, to its end."""
    from ..platforms.registry import PLATFORMS

    lines = iter(sys.stdin.readline, "")
    deployment = codec.decode(Deployment, json.loads(next(lines)), "deployment")
    _answer()
    nodes = []
    for line in lines:
        if line.strip() == DONE:
            return
        nodes.append(line.strip())
        _answer()
    progress = Progress()
    platform = PLATFORMS[deployment.platform](deployment, progress)
    with deployment_lock(deployment.state, progress):
        for node in nodes:
            with suppress(Exception):  # the others are to come back all the same
                put_back(platform, node)


def _answer() -> None:
    sys.stdout.write(NOTED)
    sys.stdout.flush()
