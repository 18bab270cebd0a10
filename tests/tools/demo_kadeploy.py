# SPDX-License-Identifier: GPL-3.0-or-later
"""A site in small, and a deployment on it: what a user of Grid'5000 does, from the reservation to its end.

The stand-ins for the API of Grid'5000, which lends four machines, and for Kadeploy, which installs them; the
machines are containers that boot what is deployed. One of them fails the first time. Nothing is left at the end. Needs
root.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import Lab
from metal import Site, site_of

#: Left out: the database, whose data volume this platform has no place for, and the test script that asks for it.
ROLES = {"proxy": 1, "backend": 3, "database": 0}
#: In the order in which they get the machines of the job.
NODES = ("backend1", "backend2", "backend3", "proxy1")


def made(directory: Path, site: Site) -> Lab:
    """The deployment file, and a copy of the composition."""
    platform = {"name": "kadeploy", "url": site.url, "directory": str(site.state / "served")}
    api = {"interface": "grid5000", "site": "grenoble", "url": f"{site.api}/stable"}
    (directory / "demo").mkdir()
    lab = Lab(
        directory / "demo",
        "web",
        {
            "platform": {**platform, "proxy_command": site.proxy_command},
            "reservation": {"nodes": len(NODES), "walltime": "48:0:0", **api},
            "network": "10.158.0.0/16",
            "roles": ROLES,
            "nodes": {
                node: {"address": site.machines[f"sim-{number}"]["address"]} for number, node in enumerate(NODES, 1)
            },
            "retries": 2,
        },
    )
    lab.drop_test_script()
    (lab.inventory / "group_vars").mkdir()
    (lab.inventory / "group_vars/all.yml").write_text("compose_credentials: {user: alice, password: alice}\n")
    return lab


def play(lab: Lab, playbook: str) -> None:
    """A playbook of the collection, as a user types it."""
    print(f"\n$ ansible-playbook -i inventory immutable.compose.{playbook}", flush=True)
    command = [lab.program("ansible-playbook"), "-i", str(lab.inventory), f"immutable.compose.{playbook}"]
    subprocess.run(command, cwd=lab.directory, env=lab.environment(), stdin=subprocess.DEVNULL, check=True)


def main() -> None:
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="compose-demo-") as name:
        directory = Path(name)
        for part in ("site", "api"):
            (directory / part).mkdir()
        with site_of(directory / "site", directory / "api", machines=len(NODES)) as site:
            site.fail({"kind": "post_install", "machine": "sim-3", "times": 1, "error": "no space left"})
            lab = made(directory, site)
            print((lab.inventory / "lab.compose.yml").read_text())
            try:
                play(lab, "deploy")
                for node in NODES:
                    said = lab.ssh(node, "hostname; cat /usr/lib/compose/identity").stdout.split()
                    print(f"$ ssh -F STATE/ssh_config {node}\n{' '.join(said)}")
                print("jobs:", *(f"{job} is {state}" for job, state in site.jobs()))
            finally:
                play(lab, "destroy")
            print("jobs:", *(f"{job} is {state}" for job, state in site.jobs()))
    print(f"{time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
