# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment of its own, driven only through ansible-playbook and ansible-inventory."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing as t
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.lock import KERNEL_SUPPORT

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / ".cache" / "collections"
BIN = Path(sys.executable).parent

#: In what a test changes: the image is in no store yet, whatever ran here before.
NEW = secrets.token_hex(4)

#: Seconds until something hangs: machines are emulated, and the computer may be slow and busy.
PATIENCE = 900

#: ``host : ok=1 changed=0 unreachable=0 failed=0 …`` of the recap.
RECAP = re.compile(r"^(?P<host>\S+)\s+: (?P<counts>ok=\d+ .*)$", re.MULTILINE)


@dataclass
class Run:
    """What an ``ansible-playbook`` left behind."""

    returncode: int
    output: str
    seconds: float

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Host → counts of the recap."""
        return {
            match["host"]: {key: int(value) for key, value in (pair.split("=") for pair in match["counts"].split())}
            for match in RECAP.finditer(self.output)
        }

    @property
    def changed(self) -> int:
        return sum(counts["changed"] for counts in self.recap.values())

    def said(self, text: str) -> list[str]:
        """Lines of the output that contain ``text``."""
        return [line for line in self.output.splitlines() if text in line]


class Lab:
    """A working copy of a composition with its deployment file and state directory."""

    #: Where Ansible finds the collection: that of the checkout, until a test installs another.
    collections = COLLECTIONS

    def __init__(self, directory: Path, composition: str, deployment: dict[str, t.Any]) -> None:
        self.directory = directory
        self.composition = directory / "compositions" / composition
        shutil.copytree(ROOT / "compositions" / composition, self.composition)
        self.inventory = directory / "inventory"
        self.inventory.mkdir()
        self.name = directory.name.replace("_", "-")
        self.state = directory / "state" / self.name
        self.deployment: dict[str, t.Any] = {
            "plugin": "immutable.compose.composition",
            "composition": f"../compositions/{composition}",
            "name": self.name,
            "state_dir": str(directory / "state"),
            "boot_timeout": PATIENCE,
            "stable_for": 0,  # each of hundreds of deploys would wait for it
            **deployment,
        }
        self.write()

    def write(self, **changes: t.Any) -> None:
        """Change the deployment file."""
        self.deployment.update(changes)
        (self.inventory / "lab.compose.yml").write_text(yaml.safe_dump(self.deployment))

    def edit(self, old: str, new: str, file: str = "composition.nix") -> None:
        """Change a file of the composition; ``old`` must be there."""
        path = self.composition / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {path}"
        path.write_text(text.replace(old, new))

    def drop_test_script(self) -> None:
        """Leave only the built-in checks; the test script is the last attribute of the examples."""
        path = self.composition / "composition.nix"
        path.write_text(path.read_text().partition("  testScript = ")[0] + "}\n")

    def drop_kernels(self) -> None:
        """Leave out of ``web`` what only virtual machines need: an image is built in half the time."""
        self.edit('role: role // { kernel = "linux-image-cloud-amd64"; }', "role: role")
        path = self.composition / "compose.lock.json"
        lock = json.loads(path.read_text())
        for role in lock["roles"].values():
            del role["kernel"], role["requested_kernel"]
            role["requested"] = [name for name in role["requested"] if name not in KERNEL_SUPPORT]
        path.write_text(json.dumps(lock))

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTEST_"))}
        return {
            **kept,
            "PATH": f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, playbook: str | Path, *args: str) -> subprocess.Popen[str]:
        """Start ``ansible-playbook`` on a playbook of the collection, or on a file."""
        name = str(playbook) if isinstance(playbook, Path) else f"immutable.compose.{playbook}"
        return subprocess.Popen(
            [self.program("ansible-playbook"), "-i", str(self.inventory), name, *args],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def play(self, playbook: str | Path, *args: str, expect: int | None = 0, quiet: bool = False) -> Run:
        """Run a playbook of the collection, or a file, to its end."""
        start = time.monotonic()
        process = self.start(playbook, *args)
        output, _errors = process.communicate(timeout=2 * PATIENCE)
        run = Run(process.returncode, output, time.monotonic() - start)
        if not quiet:
            print(f"--- {playbook} {' '.join(args)} ({run.seconds:.1f} s)\n{output}")
        if expect is not None:
            assert run.returncode == expect, output
        for complaint in ("[WARNING]", "[DEPRECATION WARNING]"):
            assert complaint not in output, output
        return run

    def kill_module(self, module: str, playbook: str = "deploy", *args: str) -> Run:
        """Run a playbook in which that module is killed with SIGKILL as soon as it runs."""
        process, start = self.start(playbook, *args), time.monotonic()
        found: list[int] = []
        # A shell, and the module: if the shell alone were killed, the module would go on. Before, chmod has that file.
        while len(found) < 2 or not any("/python" in command_of(pid).split(" ")[0] for pid in found):
            assert process.poll() is None, f"it ended without {module}"
            time.sleep(0.02)
            found = [pid for pid in descendants(process.pid) if f"AnsiballZ_{module}.py" in command_of(pid)]
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        output, _errors = process.communicate(timeout=2 * PATIENCE)
        print(output)
        return Run(process.returncode, output, time.monotonic() - start)

    def kill_when(self, says: str, playbook: str = "deploy", *args: str, alone: bool = False) -> None:
        """Run a playbook and kill it and all its children with SIGKILL as soon as it says ``says``.

        :param alone: its children live on, as they would on another host.
        """
        process = self.start(playbook, *args)
        until(process, says)
        for pid in [process.pid, *([] if alone else descendants(process.pid))]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def ssh(self, node: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a node through the generated SSH configuration."""
        return subprocess.run(
            ["ssh", "-F", str(self.state / "ssh_config"), "-o", "BatchMode=yes", node, command],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def ansible(self, pattern: str, module: str, arguments: str, *more: str) -> subprocess.CompletedProcess[str]:
        """Run one task on nodes, as people do."""
        return subprocess.run(
            [self.program("ansible"), "-i", str(self.inventory), pattern, "-m", module, "-a", arguments, *more],
            cwd=self.directory,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def program(self, name: str) -> str:
        """Path of one of Ansible's commands."""
        return str(BIN / name)

    def nodes(self) -> list[str]:
        """Nodes that exist on the platform."""
        directory = self.state / "nodes"
        return sorted(entry.name for entry in directory.iterdir()) if directory.exists() else []

    def boots(self) -> dict[str, str]:
        """Node → start time of its init, which changes with each boot."""
        return {
            node: self.ssh(node, "cut -d ' ' -f 22 /proc/1/stat; cat /proc/sys/kernel/random/boot_id").stdout
            for node in self.nodes()
        }

    def images(self) -> dict[str, str]:
        """Node → identity of the image that it runs, as the node itself says."""
        return {node: self.ssh(node, "cat /usr/lib/compose/identity").stdout.strip() for node in self.nodes()}

    def release(self) -> int:
        """Number of the current release."""
        return int((self.state / "releases" / "current").read_text())

    def read_release(self) -> dict[str, t.Any]:
        """The record of the current release."""
        return t.cast("dict[str, t.Any]", json.loads((self.state / f"releases/{self.release()}.json").read_text()))


def until(process: subprocess.Popen[str], says: str) -> str:
    """Wait until a run says ``says``; all that it has said up to then."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if says in line:
            return "".join(seen)
    raise AssertionError(f"never said {says!r}:\n{''.join(seen)}")


def wait_for_port(port: int) -> None:
    """Wait until something of the loopback interface listens there."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, f"nothing listens on port {port}"
            time.sleep(0.05)


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Keys whose values differ, or that one side lacks."""
    return {key for key in {*before, *after} if before.get(key) != after.get(key)}


def command_of(pid: int) -> str:
    """The command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descendants(pid: int) -> list[int]:
    """Processes below ``pid``, by their parents in /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
