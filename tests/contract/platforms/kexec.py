# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that are directories: the scripts of the platform really run, with programs that know what is in there.

What their own Linux has in ``/run``, ``/proc`` and so on is below that directory. They start what comes in the archives
of an initramfs, as the kernel unpacks them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import typing as t
import uuid
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec import machine, platform
from ansible_collections.immutable.compose.plugins.module_utils.process import Completed

from ..ground import BROKEN, Boot, Ground

PROGRAMS = Path(__file__).with_name("kexec_programs.py")
#: Programs of the machines, for a shell.
SCRIPTS = {
    **{name: f'exec {sys.executable} -IS {PROGRAMS} {name} "$@"' for name in ("kexec", "systemctl")},
    "ip": 'read -r it <"$MACHINE/address"; case "$*" in *address*) echo "2: eth0 inet $it/24 brd 10.87.0.255";;'
    " *) echo default via 10.87.0.254 dev eth0;; esac",
    # What a server exports, if one answers.
    "mount": 'if [ "$3" = nfs ]; then for there; do :; done; cp -rT "$MACHINE/../exported/" "$there"; fi',
    "umount": 'rm -rf "$2"',
}
#: What scripts see of the machine, and not of this host.
ITS_OWN = re.compile(r"(?<![\w./$])/(?=(?:run|sys|etc|usr/lib/compose|proc/sys|proc/mounts)[/\s;])")


class Machine:
    """One machine: ``boot`` is of its boot, ``running`` is there while a node runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def make(self, address: str) -> None:
        """With its own Linux, switched on."""
        for path in ("run/systemd/system", "proc/sys/kernel/random", "sys/class/net/eth0/device", "etc", "bin"):
            (self.directory / path).mkdir(parents=True)
        (self.directory / "proc/sys/kernel/random/boot_id").write_text(f"{uuid.uuid4()}\n")
        (self.directory / "proc/mounts").touch()
        (self.directory / "sys/class/net/eth0/address").write_text("52:54:00:00:00:01\n")
        (self.directory / "etc/resolv.conf").write_text("nameserver 192.0.2.53\n")
        (self.directory / "address").write_text(f"{address}\n")
        for program, script in SCRIPTS.items():
            path = self.directory / "bin" / program
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    @property
    def runs_node(self) -> bool:
        return (self.directory / "run/compose/in/owner").exists()

    @property
    def owner(self) -> str:
        try:
            return (self.directory / "run/compose/in/owner").read_text().strip()
        except FileNotFoundError:
            return ""

    @property
    def number(self) -> str:
        return (self.directory / "proc/sys/kernel/random/boot_id").read_text().strip()

    @property
    def boot(self) -> Boot:
        return Boot((self.directory / "usr/lib/compose/identity").read_text().strip(), self.number)

    @property
    def staged(self) -> bool:
        directory = self.directory / "run/immutable.compose"
        return directory.exists() and any(directory.iterdir())

    def execute(self, command: str, stdin: t.Iterable[bytes] | None) -> Completed:
        """Run a script there; one at a time, and to its end, whoever asked for it."""
        environment = {"MACHINE": str(self.directory), "PATH": f"{self.directory}/bin:{os.environ['PATH']}"}
        with open(self.directory / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = subprocess.run(
                ["sh", "-c", ITS_OWN.sub(f"{self.directory}/", command)],
                env=environment,
                input=b"".join(stdin or ()),
                capture_output=True,
                check=False,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )
        return Completed(done.returncode, done.stdout.decode(), done.stderr.decode())


class Hall(Ground):
    """Eight machines for each deployment, at the addresses of its nodes."""

    has_console = False
    keeps_data = False

    def __init__(self, directory: Path, images: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(directory, images, patch)
        patch.setattr(machine, "run", self._ssh)
        patch.setattr(machine, "POLL", 0.02)
        patch.setattr(platform, "LOOK", 0.1)
        patch.setattr(platform, "missing", lambda program: [])
        self._hall = directory / "hall"
        #: Link to the directory that a server exports.
        self.exported = self._hall / "exported"

    def _machine(self, address: str) -> Machine:
        return Machine(self._hall / address)

    def _ssh(self, command: t.Sequence[str], *, stdin: t.Iterable[bytes] | None, **options: t.Any) -> Completed:
        """In place of SSH: who has another host key than the one that is expected does not answer."""
        at = command.index("--")
        there = self._machine(command[at + 1])
        wants_node = any(word.startswith("HostKeyAlias=") for word in command)
        if not there.directory.exists():
            return Completed(255, "", "ssh: connect to host: No route to host")
        if there.runs_node != wants_node:
            return Completed(255, "", "Host key verification failed.")
        return there.execute(command[at + 2], stdin)

    def write(self, address: str, path: str, text: str) -> None:
        """Give a machine a file."""
        file = self._machine(address).directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def is_confirmed(self, address: str) -> bool:
        """Whether the dead man's switch of the node on a machine is off."""
        return (self._machine(address).directory / "run/compose/confirmed").exists()

    def linuxes(self) -> dict[str, str]:
        """Boots of the machines that run their own Linux."""
        return {each.directory.name: each.number for each in self._all() if not each.runs_node}

    def options(self, number: int) -> dict[str, t.Any]:
        for at in range(1, 9):
            address = f"10.87.{number - 1}.{at}"
            if not self._machine(address).directory.exists():
                self._machine(address).make(address)
        return {"confirm_within": 60, "reboot_timeout": 20}

    def make(self, identity: str, directory: Path) -> None:
        (directory / "kernel").write_text("no kernel" if identity == BROKEN else "kernel")
        (directory / "initrd").write_text("what the builder made")
        (directory / "root").write_text(identity)
        (directory / "network").write_text("drivers")

    def boot(self, deployment: Deployment, node: str) -> Boot | None:
        found = [each for each in self._all() if each.owner == f"{deployment.name}/{node}"]
        assert len(found) < 2, found
        return found[0].boot if found else None

    def _all(self) -> list[Machine]:
        return [Machine(path) for path in sorted(self._hall.glob("10.*"))]

    def end(self, deployment: Deployment, node: str) -> None:
        """Somebody pulls the plug, and puts it in again: the machine boots what its disk has."""
        for each in self._all():
            if each.owner == f"{deployment.name}/{node}":
                each.execute("systemctl reboot", None)

    def spoil(self, deployment: Deployment, node: Node) -> tuple[Node, str]:
        shutil.rmtree(self._hall / str(node.address))
        return node, "No route to host"

    def left(self, deployment: Deployment) -> list[str]:
        nodes = [str(path) for path in (Path(deployment.state) / "nodes").glob("*")]
        ours = {each.address for each in deployment.nodes}
        staged = [str(each.directory) for each in self._all() if each.staged and each.directory.name in ours]
        return [*nodes, *staged, *(each.owner for each in self._all() if each.owner.startswith(f"{deployment.name}/"))]


GROUND = Hall
