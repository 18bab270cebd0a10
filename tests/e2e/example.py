# SPDX-License-Identifier: GPL-3.0-or-later
"""An example as people find it: its composition, its inventory, and the script that breaks something."""

from __future__ import annotations

import shutil
import typing as t
from pathlib import Path

import yaml
from lab import ROOT, Lab, Run


class Example(Lab):
    """A working copy of an example, with a state directory of its own."""

    def __init__(self, directory: Path, name: str) -> None:
        theirs = ROOT / "inventories" / name
        deployment = yaml.safe_load((theirs / f"{name}.compose.yml").read_text())
        del deployment["composition"]  # the working copy's is meant
        super().__init__(directory, name, {**deployment, "name": name, "stable_for": 15})
        self.state = directory / "state" / name
        if (theirs / "group_vars").exists():
            shutil.copytree(theirs / "group_vars", self.inventory / "group_vars")

    def break_it(self) -> Run:
        """Run what destroys something and waits until it is whole again."""
        return self.play("script", "-e", f"compose_script={self.composition / 'failure.py'}")

    def count(self, **counts: int) -> None:
        """Change how many nodes roles have."""
        roles: dict[str, t.Any] = dict(self.deployment["roles"])
        for role, count in counts.items():
            roles[role] = {**roles[role], "count": count} if isinstance(roles.get(role), dict) else count
        self.write(roles=roles)
