# SPDX-License-Identifier: GPL-3.0-or-later
"""Platform ``lent``, for the contract only: machines of somebody else that forget, as bare metal does.

A machine is a directory with a disk and, while it is on, a process that runs what the disk has. It is written and
started by one call for many; nothing is known of it but what it runs, and that it is off.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.describe.ownership import DataVolume, Owner
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Interface
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult, Problem
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Lost, Tell
from ansible_collections.immutable.compose.plugins.module_utils.platforms.forgetful import ForgetfulPlatform

from .ground import BROKEN, Boot, Ground, commands, started, wait_until


class Machine:
    """One of those that are lent to a deployment."""

    def __init__(self, deployment: Deployment, node: str) -> None:
        self.directory = Path(deployment.state) / "machines" / node
        self.disk = self.directory / "disk"
        self.data = Path(deployment.state) / "bricks" / node

    def process(self) -> tuple[int, str] | None:
        """Process id and identity of what runs on it, asked of nobody but the process table."""
        for pid, command in commands().items():
            if command[:2] == ["sh", "-c"] and command[3:4] == [str(self.disk)]:
                return pid, command[4]
        return None

    def off(self) -> None:
        process = self.process()
        if process is not None:
            os.killpg(process[0], signal.SIGKILL)
            wait_until(lambda: self.process() is None)

    def on(self, system: str) -> None:
        """Write the disk, and start what it has."""
        self.off()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.disk.write_text(system)
        up = self.directory / "up"
        up.unlink(missing_ok=True)
        identity, program = system.splitlines()
        subprocess.run(["setsid", "--fork", "sh", "-c", program, str(self.disk), identity, str(up)], check=True)
        wait_until(up.exists)
        if "exit 1" in program:
            wait_until(lambda: self.process() is None)


class Lent(ForgetfulPlatform):
    """Boots machines that remember nothing."""

    name = "lent"
    formats = ("system",)

    def _machine(self, name: str) -> Machine:
        return Machine(self.deployment, name)

    def check(self, nodes: t.Sequence[Node]) -> list[Problem]:
        why = f"has no address on {self.deployment.network}"
        homeless = [Problem(why, key="address", node=node.name) for node in nodes if node.address is None]
        return super().check(nodes) + homeless

    def interfaces(self, node: Node) -> tuple[Interface, ...]:
        return [{"match": {"name": "eth0"}, "address": f"{node.address}/24"}]

    def endpoint(self, node: Node) -> Endpoint:
        return Endpoint(str(node.address))

    def ask(self, names: t.Collection[str]) -> dict[str, Seen]:
        seen = {}
        for name in names:
            machine = self._machine(name)
            process = machine.process()
            if process is not None:
                seen[name] = Seen("running", process[1])
            elif machine.directory.exists():
                seen[name] = Seen("stopped")
        return seen

    def stage(self, targets: t.Sequence[Target]) -> bool:
        return False

    def boot(self, targets: t.Sequence[Target], tell: Tell) -> dict[str, NodeResult]:
        outcomes = {}
        for target in targets:
            machine = self._machine(target.node.name)
            for volume in target.image.volumes:
                machine.data.mkdir(parents=True, exist_ok=True)
                (machine.data / volume).touch()
                (machine.data / f"{volume}.owner").write_text(target.image.role)
            machine.on(Path(target.image.path("system")).read_text())
            ok = machine.process() is not None
            outcomes[target.node.name] = NodeResult(ok, True, "" if ok else "deploy-boot: the machine did not come up")
            tell(target.node.name, outcomes[target.node.name])
        return outcomes

    def stop(self, names: t.Sequence[str], tell: Tell) -> dict[str, NodeResult]:
        outcomes = {}
        for name in names:
            self._machine(name).off()
            outcomes[name] = NodeResult(ok=True, changed=True)
            tell(name, outcomes[name])
        return outcomes

    def release(self, names: t.Sequence[str], *, data: bool, tell: Tell) -> dict[str, NodeResult]:
        outcomes = {}
        for name in names:
            machine = self._machine(name)
            machine.off()
            paths = [machine.directory, machine.data] if data else [machine.directory]
            there = [path for path in paths if path.exists()]
            for path in there:
                shutil.rmtree(path)
            outcomes[name] = NodeResult(ok=True, changed=bool(there))
            tell(name, outcomes[name])
        return outcomes

    def volumes(self, names: t.Iterable[str]) -> dict[str, list[DataVolume]]:
        found: dict[str, list[DataVolume]] = {}
        for name in names:
            bricks = sorted(self._machine(name).data.glob("*.owner"))
            found[name] = [
                DataVolume(path.stem, str(path.with_suffix("")), Owner.of(self.deployment, name, path.read_text()))
                for path in bricks
            ]
        return found

    def console(self, node: Node, lines: int = 50) -> str:
        return ""

    def lost(self, nodes: t.Sequence[Node]) -> dict[str, Lost]:
        down = [node.name for node in nodes if self._machine(node.name).process() is None]
        return dict.fromkeys(down, Lost("it was shut down, or ended by itself", certain=True))

    def prune(self, keep: t.Collection[str]) -> None:
        pass


class Machines(Ground):
    """On this host."""

    has_console = False

    def make(self, identity: str, directory: Path) -> None:
        program = "exit 1" if identity == BROKEN else "sleep 1000000; exit 0"
        (directory / "system").write_text(f"{identity}\ntouch $2; {program}\n")

    def boot(self, deployment: Deployment, node: str) -> Boot | None:
        process = Machine(deployment, node).process()
        return Boot(process[1], started(process[0])) if process else None

    def end(self, deployment: Deployment, node: str) -> None:
        Machine(deployment, node).off()

    def left(self, deployment: Deployment) -> list[str]:
        state = Path(deployment.state)
        return [str(path) for part in ("machines", "nodes") for path in (state / part).glob("*")]


GROUND = Machines
