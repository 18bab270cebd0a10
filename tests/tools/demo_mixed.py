# SPDX-License-Identifier: GPL-3.0-or-later
"""Immutable nodes in an inventory of old, with what was there before: two machines, three playbooks, a load balancer.

What docs/adopting.md tells is done here, command by command, and must come out as it says. A client asks the load
balancer all the time; in the end, not one request may have failed. All is removed, also if that comes early.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from lab import BIN, COLLECTIONS, PATIENCE, RECAP, ROOT
from old_machines import OldMachine, old_machines

from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.netns import BRIDGE, Namespace

MIXED = ROOT / "tests/tools/mixed"
LEGACY, NODES = ("db1", "lb1"), ("web1", "web2", "web3")
#: Seconds between two requests.
PAUSE = 0.05


class Demo:
    """The directory of somebody who adopts this, and the commands that they type there."""

    def __init__(self, directory: Path, hosts: t.Mapping[str, OldMachine]) -> None:
        self.directory = directory
        #: Commands that were run, word by word.
        self.typed: list[list[str]] = []
        shutil.copytree(MIXED, directory, dirs_exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        for name, word, value in (
            ("10-legacy.ini", "LB_PORT", hosts["lb1"].port),
            ("10-legacy.ini", "DB_PORT", hosts["db1"].port),
            ("group_vars/lb.yml", "SERVICE_PORT", self.port),
        ):
            path = directory / "inventory" / name
            path.write_text(path.read_text().replace(word, str(value)))
        key = (directory / "keys/host.pub").read_text()
        known = "".join(f"[127.0.0.1]:{host.port} {key}" for host in hosts.values())
        (directory / "keys/known_hosts").write_text(known)
        # The packages are those of an example, of which only one is asked for.
        lock = json.loads((ROOT / "compositions/web/compose.lock.json").read_text())
        backend = lock["roles"]["backend"]
        lock["roles"] = {"web": {"requested": ["python3"], "packages": backend["packages"]}}
        (directory / "web/compose.lock.json").write_text(json.dumps(lock))

    def run(self, program: str, *arguments: str, expect: int = 0) -> str:
        """A command, as a user types it; what it says is shown, and returned."""
        command = f"{program} -i inventory {shlex.join(arguments)}"
        self.typed.append(shlex.split(command))
        print(f"\n$ {command}", flush=True)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
        done = subprocess.run(
            [str(BIN / program), "-i", "inventory", *arguments],
            cwd=self.directory,
            env={**kept, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        print(done.stdout, flush=True)
        require(f"exit code of {program}", done.returncode, expect)
        return done.stdout

    def play(self, playbook: str, *arguments: str, expect: int = 0) -> dict[str, dict[str, int]]:
        """A playbook; the recap."""
        output = self.run("ansible-playbook", playbook, *arguments, expect=expect)
        return {
            match["host"]: {key: int(value) for key, value in (pair.split("=") for pair in match["counts"].split())}
            for match in RECAP.finditer(output)
        }

    @contextmanager
    def wired(self) -> t.Iterator[None]:
        """A cable between this computer, on which the load balancer is, and the private network of the nodes."""
        network = Namespace("30-site", str(self.directory / "state/30-site"))
        network.create("10.96.0.0/16")
        end = f"mixed{os.getpid()}"  # goes with the namespace
        for command in (
            f"ip link add {end} type veth peer name {end} netns {network.name}",
            f"ip -n {network.name} link set {end} master {BRIDGE} up",
            f"ip address add 10.96.255.253/16 dev {end}",
            f"ip link set {end} up",
        ):
            subprocess.run(command.split(), check=True)
        try:
            yield
        finally:
            network.remove()

    def served(self) -> str:
        """What the load balancer answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=30) as answer:
            return str(answer.read().decode().strip())

    @contextmanager
    def asked(self, least: int) -> t.Iterator[None]:
        """A client asks all the time meanwhile; no request may fail.

        :param least: how many requests there have to be, or the demo shows nothing.
        """
        answers: list[str] = []
        over = threading.Event()

        def ask() -> None:
            while not over.wait(PAUSE):
                try:
                    answers.append(self.served())
                except OSError as error:
                    answers.append(f"failed: {error}")

        clients = [threading.Thread(target=ask) for _dummy in range(2)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            over.set()
            for client in clients:
                client.join()
        failed = [answer for answer in answers if answer.startswith("failed")]
        print(f"client: {len(answers)} requests, {len(failed)} failed {failed[:3] or ''}", flush=True)
        require("failed requests", len(failed), 0)
        require("enough requests", len(answers) >= least, True)


def require(what: str, found: object, expected: object) -> None:
    """:raises SystemExit: it is not so."""
    if found != expected:
        raise SystemExit(f"demo-mixed: {what}: {found}, expected {expected}")


def counts(recap: t.Mapping[str, t.Mapping[str, int]], key: str) -> dict[str, int]:
    return {host: each[key] for host, each in sorted(recap.items())}


def show(demo: Demo) -> None:
    """All of it, in order."""
    # What was there before: the inventory has groups of three more sources now, and the old playbooks run.
    groups = json.loads(demo.run("ansible-inventory", "--list"))
    require("serving", groups["serving"]["hosts"], list(NODES))
    require("monitored", groups["monitored"]["hosts"], ["lb1", "db1"])
    require("lb.yml", counts(demo.play("playbooks/lb.yml"), "failed"), {"lb1": 0})

    # The nodes come, and are put into service by the hook.
    recap = demo.play("immutable.compose.deploy")
    require("deploy", counts(recap, "failed"), dict.fromkeys(NODES, 0))
    require("what is served", demo.served(), "hello")

    # group_vars/all says a bastion; nodes are reached all the same, and machines of old as before.
    reached = demo.run("ansible", "all", "-m", "raw", "-a", "whoami")
    require("hosts reached", reached.count("rc=0"), len(NODES) + len(LEGACY))

    # A play for all hosts fails on nodes, and says why; the lint finds it before.
    lint = demo.run("ansible-playbook", "immutable.compose.lint_legacy", "-e", "compose_path=playbooks", expect=1)
    require("lint", ("patch.yml:2" in lint, "motd.yml" in lint), (True, False))
    recap = demo.play("playbooks/patch.yml", expect=2)
    require("patch.yml, changed", counts(recap, "changed"), {"db1": 1, "lb1": 1, **dict.fromkeys(NODES, 0)})
    require("patch.yml, failed", counts(recap, "failed"), {"db1": 0, "lb1": 0, **dict.fromkeys(NODES, 1)})
    recap = demo.play("playbooks/motd.yml")
    require("motd.yml", counts(recap, "changed"), {"db1": 1, "lb1": 1})

    # Somebody breaks the seal; that is drift, and is healed, while a client asks.
    demo.run("ansible", "web2", "-m", "raw", "-a", "useradd bob", "-e", "immutable_unseal='try something'")
    recap = demo.play("immutable.compose.drift", expect=2)
    require("drift", counts(recap, "failed").get("web2"), 1)
    require("drift elsewhere", sum(counts(recap, "failed").values()), 1)
    with demo.asked(100):
        recap = demo.play("immutable.compose.drift", "-e", "compose_heal=true")
    require("healed", counts(recap, "failed"), dict.fromkeys(NODES, 0))
    demo.play("immutable.compose.drift")

    # Another image, one node after the other, while a client asks.
    composition = demo.directory / "web/composition.nix"
    composition.write_text(composition.read_text().replace("hello", "good day"))
    with demo.asked(200):
        recap = demo.play("immutable.compose.deploy")
    require("deploy", counts(recap, "failed"), dict.fromkeys(NODES, 0))
    require("what is served", demo.served(), "good day")
    with demo.asked(200):
        demo.play("immutable.compose.rollback")
    require("what is served", demo.served(), "hello")


def commands() -> list[list[str]]:
    """What the page has people type, word by word."""
    page = (ROOT / "docs/adopting.md").read_text()
    return [shlex.split(line, comments=True) for line in re.findall(r"^\$ (ansible.*)$", page, re.MULTILINE)]


def main() -> None:
    begin = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="compose-mixed-") as name:
        keys = Path(name, "keys")
        keys.mkdir()
        with old_machines(keys, LEGACY) as hosts:
            demo = Demo(Path(name), hosts)
            with demo.wired():
                try:
                    show(demo)
                finally:
                    demo.run("ansible-playbook", "immutable.compose.destroy")
            missing = [command for command in commands() if command not in demo.typed]
            require("commands of docs/adopting.md that were not run", missing, [])
    print(f"\ndemo-mixed: all as documented, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
