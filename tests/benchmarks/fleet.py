"""Benchmark ``fleet``: verification of 1,000 nodes over our connections, against ``clush -f 64 -b true`` on the same.

One real ``sshd`` stands in for all of them: each side makes 1,000 connections to it. Ours asks every node all that
the built-in checks ask, and writes the report; ClusterShell runs ``true``. CPU time and memory are those of either
side, not of the server. Turn by turn, the fastest of each counts.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing as t
from contextlib import contextmanager
from pathlib import Path

from usage import Usage, run

from ansible_collections.immutable.compose.plugins.module_utils.checks.verify import Verification, verify
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.nodes import probe
from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

NODES = 1000
RUNS = 3
GOAL = 0.8

IDENTITY = "bench-image"
#: What systemd tells of a unit, and how many units a small node has.
UNIT = """NRestarts=0
Id={name}
ActiveState=active
SubState={sub}
InactiveExitTimestampMonotonic=1000000
ActiveEnterTimestampMonotonic=1000000
Job=
"""
UNITS = 20


class Standin:
    """As much of a platform as a verification asks: all nodes are behind one address."""

    def __init__(self, deployment: Deployment, endpoint: Endpoint) -> None:
        self.deployment, self._endpoint = deployment, endpoint

    def shell(self, node: Node) -> None:
        return None

    def port_address(self, node: Node) -> None:
        return None

    def endpoint(self, node: Node) -> Endpoint:
        return self._endpoint

    def lost(self, nodes: t.Sequence[Node]) -> dict[str, t.Any]:
        return {}

    def console(self, node: Node, lines: int = 50) -> str:
        return ""


def names() -> list[str]:
    return [f"node{number}" for number in range(1, NODES + 1)]


@contextmanager
def server(directory: Path) -> t.Iterator[int]:
    """The port of an sshd that is well, as nodes are asked whether they are."""
    keys = Keys(str(directory / "state"))
    first, *others = names()
    keys.write_access({})
    keys.host_key(first)
    hostkeys = directory / "state" / "hostkeys"
    for name in others:
        shutil.copy(hostkeys / first, hostkeys / name)
    (directory / "authorized_keys").write_text(keys.login_public_key() + "\n")
    (directory / "identity").write_text(f"{IDENTITY}\n")
    (directory / "bin").mkdir()
    units = [("default.target", "active"), *((f"unit{number}.service", "running") for number in range(UNITS))]
    said = "\n".join(UNIT.format(name=name, sub=sub) for name, sub in units)
    (directory / "bin" / "systemctl").write_text(f"#!/bin/sh\nprintf %s '{said}'\n")
    (directory / "bin" / "systemctl").chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {hostkeys / first}\nAuthorizedKeysFile {directory}/authorized_keys\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nMaxStartups {4 * NODES}\nLogLevel ERROR\n"
        # What root's shell does on this machine at each login is none of a node's, and the same for both sides.
        f"SetEnv PATH={directory}/bin:{os.environ['PATH']} HOME={directory}\n"
    )
    keys.write_access(dict.fromkeys(names(), Endpoint("127.0.0.1", port)))
    os.makedirs("/run/sshd", exist_ok=True)
    process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(directory / "sshd_config")])
    try:
        for _try in range(100):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def ours(directory: Path, port: int) -> None:
    """One verification, in a process of its own."""
    probe.IDENTITY_FILE = str(directory / "identity")
    nodes = tuple(Node(name, "node", index) for index, name in enumerate(names(), 1))
    deployment = Deployment("bench", "", "debian", "standin", nodes, state=str(directory / "state"))
    report = verify(
        Verification(
            deployment,
            t.cast(t.Any, Standin(deployment, Endpoint("127.0.0.1", port))),
            Keys(deployment.state),
            dict.fromkeys(names(), IDENTITY),
            results=str(directory / "results"),
        ),
        Progress(),
    )
    if not report.ok or len(report.nodes) != NODES:
        raise SystemExit(report.message[-2000:])


def main() -> int:
    """Print the result; 0 if the goal is met."""
    if sys.argv[1:]:
        ours(Path(sys.argv[1]), int(sys.argv[2]))
        return 0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sides: dict[str, list[Usage]] = {"ours": [], "clush": []}
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as port:
        directory = Path(name)
        ssh = f"-F {directory}/state/ssh_config -o BatchMode=yes -o ControlMaster=no"
        clush = [str(Path(sys.executable).parent / "clush"), "-f", "64", "-b", "-S", "-o", ssh]
        commands = {
            "ours": [sys.executable, __file__, name, str(port)],
            "clush": [*clush, "-w", f"node[1-{NODES}]", "true"],
        }
        for _run in range(RUNS):
            for side, command in commands.items():
                sides[side].append(run(command, cwd=Path.cwd(), env={})[0])
    mine, theirs = (min(usages, key=lambda usage: usage.seconds) for usages in sides.values())
    ratio = mine.seconds / theirs.seconds
    print(f"fleet: ours {mine}; clush {theirs}", file=sys.stderr)
    print(f"bench fleet {ratio:.2f} {GOAL} {'met' if ratio <= GOAL else 'short'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
