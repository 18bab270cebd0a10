# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pages are walked, and the shell of whoever walks them: one who has just cloned the repository."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from page import Command

ROOT = Path(__file__).parents[2]
#: These are walked, in this order, in one clone: each goes on where the one before has ended.
WALKED = ("README.md", "docs/tutorial.md", "docs/composition.md")
#: These lead somebody through something, too.
GUIDES = (
    *WALKED,
    "docs/adopting.md",
    "docs/awx.md",
    "docs/compatibility.md",
    "docs/config.md",
    "docs/grid5000.md",
    "docs/hooks.md",
    "docs/reservations.md",
    "docs/platforms/proxmox.md",
    "docs/builders/nxc.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs/guides").glob("*.md")),
)
#: Seconds for one command; the first builds images, and boots emulated machines where there is no KVM.
PATIENCE = 1500
#: What the gate's own environment has set, and somebody who comes new has not.
OURS = ("ANSIBLE_", "PYTHON", "PYTEST", "VIRTUAL_ENV")


@dataclass
class Shell:
    """A shell that keeps its directory and variables from one command to the next."""

    home: Path
    directory: Path

    @property
    def memory(self) -> Path:
        return self.home / ".walk"

    def run(self, text: str) -> tuple[int, str]:
        """How a command ends, and what it prints."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        environment |= {
            "HOME": str(self.home),
            "PATH": os.pathsep.join(
                part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "activate").exists()
            ),
            "PYENV_ROOT": os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")),
            "ANSIBLE_NOCOLOR": "true",
        }
        script = (
            f"cd '{self.directory}'; if [ -e '{self.memory}' ]; then . '{self.memory}'; fi\n"
            f"{text}\n"
            f"code=$?; {{ export -p; echo \"cd '$PWD'\"; }} >'{self.memory}'; exit $code\n"
        )
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout

    def write(self, name: str, text: str) -> None:
        """A file, from the directory in which the shell is."""
        _code, here = self.run("pwd")
        path = Path(here.strip()) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def follow(self, command: Command) -> str | None:
        """What is not as the page says, if anything."""
        code, printed = self.run(command.text)
        if code != command.code:
            return f"{command.text}: exit code {code}, the page says {command.code}\n{printed[-3000:]}"
        if pattern := command.missing(printed):
            return f"{command.text}: printed\n{printed}\nwhich is not\n{pattern}"
        return None
