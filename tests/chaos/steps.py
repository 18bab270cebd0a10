# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to the deployment, in this order: each step is disturbed, and leaves what an undisturbed one would."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

_RIGHT = 'for machine in machines: machine.succeed("test -e /etc/greeting")'
_WRONG = 'raise Exception("not well")'


@dataclass(frozen=True)
class Step:
    """A change of the deployment file, and the playbook that brings it about."""

    playbook: str = "deploy"
    #: How many nodes there are to be, and what they say of themselves.
    count: int = 2
    version: int = 1
    #: Whether the test script passes.
    well: bool = True
    #: Whether data go, too.
    data: bool = False
    #: The kept release that is gone back to. A number: ``previous`` is another one once that is done.
    release: str = ""

    @property
    def script(self) -> str:
        return _RIGHT if self.well else _WRONG

    @property
    def code(self) -> int:
        """How the playbook ends."""
        return 0 if self.well else 2


STEPS: t.Mapping[str, Step] = {
    "deploy": Step(),
    "change": Step(version=2),
    "fail": Step(version=3, well=False),
    "grow": Step(version=2, count=3),
    "shrink": Step(version=2),
    "back": Step("rollback", version=2, release="1"),
    "destroy": Step("destroy"),
    "return": Step(version=2),
    "end": Step("destroy", version=2, data=True),
}
NAMES = list(STEPS)
