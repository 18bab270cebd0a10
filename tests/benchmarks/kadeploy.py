"""Benchmark ``kadeploy``: 500 machines of three roles deployed in one run, over what the deployments alone take.

Kadeploy is the stand-in, whose steps take six times as long as recorded on three machines: about what a cluster takes.
The other side only begins the same three deployments, side by side, and waits for them. Machines do not boot, so the
checks have nothing to wait for. CPU time and memory are those of ansible-playbook with all its processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from noop import BIN, ROOT, collection_with
from usage import Usage, run

from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.outcome import Order
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.rest import Rest

GOAL = 1.15
ROLES = {"web": 400, "store": 60, "monitor": 40}
PACE = 6
HERE = Path(__file__).parent

DEPLOYMENT = """
plugin: immutable.compose.composition
composition: images
builder: tars
name: metal
platform:
  name: kadeploy_pretended
  url: {url}
  user: alice
  directory: {served}
  machines: ["sim-[1-{count}]"]
network: 10.158.0.0/16
state_dir: state
roles: {roles}
"""


def archive(path: Path) -> None:
    """As much of a system as Kadeploy looks for."""
    with tarfile.open(path, "w:gz") as tar:
        for name in ("./boot/vmlinuz", "./boot/initrd.img"):
            tar.addfile(tarfile.TarInfo(name))


def ours(directory: Path, url: str) -> Usage:
    """The run of a playbook."""
    collection_with(
        directory,
        ("platforms", HERE / "kadeploy" / "pretended.py", "KadeployPretended"),
        ("builders", HERE / "proxmox" / "files.py", "Files"),
        ("builders", HERE / "kadeploy" / "tars.py", "Tars"),
    )
    for name in ("images", "served"):
        (directory / name).mkdir()
    for role in ROLES:
        archive(directory / "images" / f"sys-{role}.tar.gz")
    (directory / "images" / "images.json").write_text(json.dumps({role: f"sys-{role}" for role in ROLES}))
    text = DEPLOYMENT.format(url=url, served=directory / "served", count=sum(ROLES.values()), roles=json.dumps(ROLES))
    (directory / "metal.compose.yml").write_text(text)
    env = {"PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_COLLECTIONS_PATH": str(directory)}
    command = [str(BIN / "ansible-playbook"), "-i", "metal.compose.yml", "immutable.compose.deploy"]
    usage, _output = run(command, cwd=directory, env=env)
    states = requests.get(f"{url}/nodes", headers={"X-Kadeploy-User": "alice"}, timeout=60).json().values()
    if [state["state"] for state in states] != ["deployed"] * sum(ROLES.values()):
        raise SystemExit("not all machines are deployed")
    return usage


def alone(directory: Path, url: str) -> float:
    """Seconds that the deployments themselves take."""
    archive(directory / "alone.tar.gz")
    names = [f"sim-{number}" for number in range(1, sum(ROLES.values()) + 1)]
    image = {"file": f"server://{directory}/alone.tar.gz", "kind": "tar", "compression": "gzip"}
    boot = {"kernel": "/boot/vmlinuz", "initrd": "/boot/initrd.img"}
    orders = []
    for role, count in ROLES.items():
        about = {"name": role, "os": "linux", "image": image, "boot": boot, "filesystem": "ext4"}
        orders.append(Order([names.pop() for _number in range(count)], about))

    def deploy(order: Order) -> None:
        client = Rest(url, "alice")
        outcome = client.wait(client.deploy(order), order.nodes, 3600)
        assert len(outcome.ok) == len(order.nodes), outcome.error

    begin = time.monotonic()
    with ThreadPoolExecutor() as pool:
        list(pool.map(deploy, orders))
    return time.monotonic() - begin


def main() -> int:
    """Print the result; 0 if the goal is met."""
    nodes = f"sim-[1-{sum(ROLES.values())}]"
    options = {"clusters": {"sim": {"nodes": [nodes]}}, "rights": {"alice": [nodes]}, "pace": PACE}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "site").mkdir()
        (directory / "site/options.json").write_text(json.dumps(options))
        serve = [sys.executable, str(ROOT / "tests/simulators/kadeploy/serve"), "--state", str(directory / "site")]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                url = process.stdout.readline().split()[1]
                usage = ours(directory, url)
                ideal = alone(directory, url)
            finally:
                process.send_signal(signal.SIGTERM)
    ratio = usage.seconds / ideal
    print(f"kadeploy: {sum(ROLES.values())} machines: {usage}; the deployments alone: {ideal:.0f} s", file=sys.stderr)
    met = ratio <= GOAL
    print(f"bench kadeploy {ratio:.2f} {GOAL} {'met' if met else 'short'}")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
