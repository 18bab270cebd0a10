"""Benchmark ``proxmox_fleet``: another image for 94 VMs on four nodes, in batches; guests are not booted.

The cluster is the simulator; in place of SSH, the checks look into it. An import takes 40 seconds; an upload, of the
image and of each VM's node document, and a linked clone one; a guest 15 to shut down, a start three. 16 VMs are worked
on at the same time. What these take alone, so many side by side, batch after batch, is the ideal. Prints, for each way
of staging, what it took and how many calls it were, and one line: the worse of the two times, over its ideal.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path

from proxmox_lab import IMAGE_GIB, Lab, Run

GOAL = 1.2
VMS, BATCH, PARALLEL = 94, 48, 16
#: Simulated seconds: of copying an image, of tasks, of a guest that shuts down.
COPY, SHUTDOWN = 40, 15
TASKS = {"imgcopy": 1, "qmcreate": 1, "qmclone": 1, "qmstart": 3}
STORAGES = {
    "local": {"type": "dir", "path": "/var/lib/vz", "content": "iso,snippets"},
    "cephfs": {"type": "cephfs", "path": "/mnt/pve/cephfs", "shared": 1, "content": "iso,import"},
    "ceph": {"type": "rbd", "shared": 1, "pool": "vms", "content": "images"},
}
#: Real seconds in a simulated one, while the fleet is made.
FAST = 0.02

DEPLOYMENT = """
plugin: immutable.compose.composition
composition: images
builder: files
name: fleet
platform:
  name: proxmox_unbooted
  storage: ceph
  staging: {staging}
  parallel: {parallel}
  memory: 512
network: 10.87.0.0/16
state_dir: state
roles:
  web: {vms}
"""


def ideal(staging: str) -> float:
    """Seconds, if nothing took time but what has to be waited for."""
    once, each = TASKS["imgcopy"], TASKS["imgcopy"] + SHUTDOWN + TASKS["qmstart"]
    if staging == "import":
        each += COPY
    else:
        once += TASKS["qmcreate"] + COPY
        each += TASKS["qmclone"]
    rounds = sum(math.ceil(min(BATCH, VMS - first) / PARALLEL) for first in range(0, VMS, BATCH))
    return once + rounds * each


def replaced(directory: Path, staging: str) -> tuple[Run, Run]:
    """The run with another image, and one with nothing to do."""
    options = {"nodes": ["pve1", "pve2", "pve3", "pve4"], "guest": {"shutdown": SHUTDOWN}}
    lab = Lab(directory, copy_seconds=COPY / IMAGE_GIB, task_seconds=TASKS, **options)
    lab.set(storages=STORAGES, pace=FAST)
    images = directory / "images"
    images.mkdir()
    text = DEPLOYMENT.format(staging=staging, parallel=PARALLEL, vms=VMS)
    (directory / "fleet.compose.yml").write_text(text)
    command = ("-i", "fleet.compose.yml", "immutable.compose.deploy", "-e", json.dumps({"compose_serial": BATCH}))
    runs = []
    for name, pace in (("sys-1", FAST), ("sys-2", 1), ("sys-2", 1)):
        if not (images / f"{name}.qcow2").exists():
            lab.image(name, images)
        (images / "images.json").write_text(json.dumps({"web": name}))
        lab.set(pace=pace)
        with lab:
            runs.append(lab.play(*command))
    if len(runs[1].downtimes) != VMS or runs[2].changed:
        raise SystemExit(f"{len(runs[1].downtimes)} VMs were replaced, and then {runs[2].changed} results changed")
    return runs[1], runs[2]


def main() -> int:
    """Print the result; 0 if the goal is met."""
    ratios = []
    for staging in ("import", "clone"):
        with tempfile.TemporaryDirectory() as name:
            run, nothing = replaced(Path(name) / "lab", staging)
        ratios.append(run.seconds / ideal(staging))
        calls, polls = len(run.calls) / VMS, run.polls / VMS
        print(
            f"proxmox_fleet, {staging}: {run.seconds:.0f} s, ideal {ideal(staging):.0f} s ({ratios[-1]:.2f}); "
            f"{calls:.0f} calls per VM ({polls:.0f} of them polls); down {max(run.downtimes.values()):.1f} s at most; "
            f"nothing to do: {nothing.seconds:.0f} s, {len(nothing.calls)} calls",
            file=sys.stderr,
        )
    met = max(ratios) <= GOAL
    print(f"bench proxmox_fleet {max(ratios):.2f} {GOAL} {'met' if met else 'short'}")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
