# SPDX-License-Identifier: GPL-3.0-or-later
"""A site in small, and a deployment on it: what a user of Grid'5000 does, from the reservation to its end.

OAR is a real one, asked by its commands on a frontend, which is this computer. Kadeploy is a stand-in, whose machines
are containers that boot what is deployed; one of them fails the first time. At the end, also if that comes early,
nothing runs any more. Needs root and Debian 12, where OAR's packages are.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import typing as t
from contextlib import contextmanager
from pathlib import Path

from frontend import host, login_server
from lab import ROOT, Lab
from metal import Metal, metal_of

#: Left out: the database, whose data volume this platform has no place for, and the test script that asks for it.
ROLES = {"proxy": 1, "backend": 3, "database": 0}
#: In the order in which they get the machines of the job.
NODES = ("backend1", "backend2", "backend3", "proxy1")
#: Seconds for a playbook that was interrupted to end.
_PATIENCE = 60


def run(command: list[str], **options: t.Any) -> None:
    """A command that must not fail; if we are interrupted, so is it."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options) as process:
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(_PATIENCE)
            raise
    if code:
        raise SystemExit(f"{' '.join(command)}: exit code {code}")


@contextmanager
def oar(kadeploy: str) -> t.Iterator[None]:
    """An OAR without jobs, with as many nodes as are needed."""
    script = str(ROOT / "tests/tools/oar.sh")
    try:
        run([script, "down"])
        run(
            [script, "up"],
            env={**os.environ, "OAR_NODES": str(len(NODES)), "OAR_USERS": "alice", "OAR_KADEPLOY": kadeploy},
        )
        yield
    finally:
        run([script, "down"])


def made(directory: Path, metal: Metal, ssh_config: Path) -> Lab:
    """The deployment file, and a copy of the composition."""
    directory.mkdir()
    machines = [metal.machines[f"node-{number}"] for number in range(1, len(NODES) + 1)]
    lab = Lab(
        directory,
        "web",
        {
            "platform": {
                "name": "kadeploy",
                "url": metal.url,
                "user": "alice",
                "directory": str(metal.state / "served"),
                "proxy_command": metal.proxy_command,
            },
            "reservation": {
                "nodes": len(NODES),
                "walltime": "3:20:0",
                "frontend": "frontend",
                "ssh_config": str(ssh_config),
            },
            "network": "10.158.0.0/16",
            "roles": ROLES,
            "nodes": {node: {"address": machine["address"]} for node, machine in zip(NODES, machines, strict=True)},
            "retries": 2,
        },
    )
    lab.drop_test_script()
    return lab


def play(lab: Lab, playbook: str) -> None:
    """A playbook of the collection, as a user types it."""
    print(f"\n$ ansible-playbook -i inventory immutable.compose.{playbook}", flush=True)
    command = [lab.program("ansible-playbook"), "-i", str(lab.inventory), f"immutable.compose.{playbook}"]
    run(command, cwd=lab.directory, env=lab.environment())


def show_jobs(ssh_config: Path) -> None:
    """What OAR says."""
    print("\n$ ssh frontend oarstat", flush=True)
    run(["ssh", "-F", str(ssh_config), "frontend", "oarstat"])


def log_in(lab: Lab, node: str) -> None:
    """A node, and the image that it runs, as it says itself."""
    command = "hostname; cat /usr/lib/compose/identity"
    print(f"\n$ ssh -F STATE/ssh_config {node} '{command}'")
    done = lab.ssh(node, command)
    print(done.stdout, end="", flush=True)
    if done.stdout.split()[:1] != [node]:
        raise SystemExit(f"{node} does not answer: {done.stderr}")


def main() -> None:
    begin = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="compose-demo-") as name:
        site, frontend = Path(name, "site"), Path(name, "frontend")
        site.mkdir()
        frontend.mkdir()
        config = frontend / "config"
        with metal_of(site, f"node-[1-{len(NODES)}]") as metal, oar(metal.url), login_server(frontend, "alice") as port:
            config.write_text(host(frontend, "frontend", port, "alice"))
            metal.fail({"kind": "post_install", "machine": "node-3", "times": 1, "error": "no space left"})
            lab = made(Path(name, "demo"), metal, config)
            print((lab.inventory / "lab.compose.yml").read_text(), flush=True)
            try:
                play(lab, "deploy")
                for node in NODES:
                    log_in(lab, node)
                show_jobs(config)
            finally:
                play(lab, "destroy")
            show_jobs(config)
    print(f"\n{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
