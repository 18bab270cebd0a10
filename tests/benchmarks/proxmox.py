"""Benchmark ``proxmox``: two VMs get an image, the same again, another one; against modules of community.proxmox.

Both sides have the same simulated cluster and the same images; on both, an import takes 20 seconds (of 2 GiB), and
a guest 10 to shut down. Guests are not booted: in place of SSH, our checks look into the simulator.
Prints a table (the one in docs/platforms/proxmox-comparison.md), and one line: how much longer theirs are down for an
image that is replaced.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from noop import ROOT
from proxmox_lab import HERE, Lab, Run

GOAL = 2
#: The collection comes in this package of the Python index, with all others that there are; it is for this only.
PACKAGE = "ansible==14.5.0"
CACHE = ROOT / ".cache" / "benchmarks"
#: Simulated seconds, which are real ones here.
OPTIONS = {
    "copy_seconds": 10,  # for each GiB
    "task_seconds": {"imgcopy": 1, "qmcreate": 1, "qmclone": 1, "qmstart": 2},
    "guest": {"shutdown": 10},
}
VMS = {"web1": 101, "web2": 102}

DEPLOYMENT = """
plugin: immutable.compose.composition
composition: images
builder: files
name: two
platform:
  name: proxmox_unbooted
  storage: ceph
  staging: {staging}
  memory: 512
network: 10.87.0.0/16
state_dir: state
roles:
  web: [{names}]
"""


@dataclass
class Side:
    """One way to do it: what each run was, and what was left after the last."""

    name: str
    runs: list[Run] = field(default_factory=list)
    left: str = ""
    kept: str = ""

    @property
    def downtime(self) -> float:
        """Seconds that a VM was down for its new image."""
        return statistics.fmean(self.runs[-1].downtimes.values())


def community(directory: Path) -> Path:
    """The collection community.proxmox, fetched once."""
    collections = CACHE / "collections"
    if not (collections / "ansible_collections" / "community" / "proxmox").exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(directory), PACKAGE]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(directory.glob("ansible-*.whl"))) as wheel:
            prefix = "ansible_collections/community/proxmox/"
            wheel.extractall(collections, [name for name in wheel.namelist() if name.startswith(prefix)])
    return collections


def theirs(directory: Path) -> Side:
    """By the modules of community.proxmox."""
    side = Side("community.proxmox")
    collections = community(directory)
    hosts = {name: {"vmid": vmid, "ansible_connection": "local"} for name, vmid in VMS.items()}
    with Lab(directory / "theirs", **OPTIONS) as lab:
        (lab.directory / "hosts.json").write_text(json.dumps({"web": {"hosts": hosts}}))
        for name in ("sys-1", "sys-1", "sys-2"):
            path = lab.directory / f"{name}.qcow2"
            image = path if path.exists() else lab.image(name, lab.directory)
            variables = json.dumps({"image": str(image), "ansible_python_interpreter": sys.executable})
            args = ("-i", "hosts.json", str(HERE / "community.yml"), "-e", variables)
            side.runs.append(lab.play(*args, ANSIBLE_COLLECTIONS_PATH=str(collections)))
        orphans = lab.disks() - lab.drives(unused=False)
        side.left = f"{len(orphans)} disks, {len(lab.uploads()) - 1} upload"
        side.kept = "–"
    return side


def ours(directory: Path, staging: str) -> Side:
    """By this collection."""
    side = Side(f"immutable.compose, {staging}")
    with Lab(directory / staging, **OPTIONS) as lab:
        images = lab.directory / "images"
        images.mkdir()
        (lab.directory / "two.compose.yml").write_text(DEPLOYMENT.format(staging=staging, names=", ".join(VMS)))
        for name in ("sys-1", "sys-1", "sys-2"):
            if not (images / f"{name}.qcow2").exists():
                lab.image(name, images)
            (images / "images.json").write_text(json.dumps({"web": name}))
            side.runs.append(lab.play("-i", "two.compose.yml", "immutable.compose.deploy"))
        orphans = lab.disks() - lab.drives(unused=False) - lab.recorded()
        kept = (lab.disks() & lab.recorded()) - lab.drives(unused=False)
        stale = len(lab.uploads()) - len(list((lab.directory / "state").glob("*/roots/*")))
        side.left = f"{len(orphans)} disks, {max(0, stale)} uploads"
        side.kept = f"{len(kept)} disks"
    return side


def table(sides: list[Side]) -> str:
    """Markdown."""
    rows = []
    for number, what in enumerate(("first run", "second run, nothing to do", "another image")):
        runs = [side.runs[number] for side in sides]
        rows.append([f"{what}: API calls", *(f"{len(run.calls)} ({run.polls} of them polls)" for run in runs)])
        rows.append([f"{what}: seconds", *(f"{run.seconds:.0f}" for run in runs)])
        rows.append([f"{what}: results `changed`", *(str(run.changed) for run in runs)])
    rows.append(["another image: seconds that a VM is down", *(f"{side.downtime:.1f}" for side in sides)])
    rows.append(["left over after another image", *(side.left for side in sides)])
    rows.append(["kept to go back at once", *(side.kept for side in sides)])
    lines = [["", *(side.name for side in sides)], ["---"] * (len(sides) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Print the result; 0 if the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        sides = [theirs(directory), *(ours(directory, staging) for staging in ("import", "clone"))]
    print(table(sides), file=sys.stderr)
    ratio = sides[0].downtime / max(side.downtime for side in sides[1:])
    print(f"bench proxmox {ratio:.1f} {GOAL} {'met' if ratio >= GOAL else 'short'}")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
