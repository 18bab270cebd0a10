# SPDX-License-Identifier: GPL-3.0-or-later
"""A fault at each step of a deployment on a simulated Proxmox VE, through ``ansible-playbook``; guests are not booted.

What every call, task and lock can do at every step is tested without Ansible, in tests/unit/proxmox.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
import requests
from lab import PATIENCE, ROOT, descendants

sys.path.append(str(ROOT / "tests" / "benchmarks"))

from proxmox_lab import Lab, Run

pytestmark = pytest.mark.story

Fault = dict[str, t.Any]
DEPLOYMENT: dict[str, t.Any] = {
    "plugin": "immutable.compose.composition",
    "composition": "images",
    "builder": "files",
    "name": "lab",
    "platform": {"name": "proxmox_unbooted", "storage": "ceph", "memory": 512},
    "network": "10.87.0.0/16",
    "state_dir": "state",
    "keep": 1,
    "roles": {"web": ["web1", "web2"]},
}
VOLUMES = {"web": {"data": {"mount": "/data", "size": 16}}}
ADOPTED = 300
PANIC = "\x1b[1mBegin: mounting root\x1b[0m\r\nKernel panic - not syncing: no root\r\n"


class Fleet(Lab):
    """Two nodes with data on a cluster, and a VM that is older than they are."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            directory,
            nodes=["pve1", "pve2"],
            pace=0.05,
            resources_seconds=0,
            ha_seconds=2,
            guest={"shutdown": 2, "console": PANIC},
        )
        self.images = directory / "images"
        self.images.mkdir()
        (self.images / "volumes.json").write_text(json.dumps(VOLUMES))
        (directory / "lab.compose.yml").write_text(json.dumps(DEPLOYMENT))
        self._number = 0

    def mean(self, name: str = "") -> str:
        """From now on the composition means another image."""
        self._number += 1
        identity = f"{name or 'sys'}-{self._number}"
        self.image(identity, self.images)
        (self.images / "images.json").write_text(json.dumps({"web": identity}))
        return identity

    def faults(self, *faults: Fault) -> None:
        (self.state / "faults.json").write_text(json.dumps(faults))

    def run(self, *args: str, playbook: str = "deploy", expect: int = 0) -> Run:
        run = self.play("-i", "lab.compose.yml", f"immutable.compose.{playbook}", *args, expect=expect)
        print(f"--- {playbook} {' '.join(args)} ({run.seconds:.1f} s)\n{run.output}")
        return run

    def log(self) -> list[str]:
        """All calls."""
        return (self.state / "access.log").read_text().splitlines()

    def call(self, verb: str, path: str, **data: t.Any) -> t.Any:
        """A call as somebody else makes it."""
        token = self.token.removeprefix("token:")
        where = {"params" if verb == "GET" else "data": data}
        answer = requests.request(
            verb,
            f"{self.url}/api2/json{path}",
            headers={"Authorization": f"PVEAPIToken={token}"},
            verify=str(self.state / "pve-root-ca.pem"),
            timeout=60,
            **where,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def disturbed(self, *faults: Fault) -> Run:
        """A run to which something happens, and which fails; nothing is lost."""
        self.faults(*faults)
        run = self.run(expect=2)
        self.faults()
        self.check()
        return run

    def serials(self) -> dict[str, str]:
        """Node → serial number of the disk that it was started with: what is in it."""
        return {name: json.loads(text)["serial"] for name, text in self.boots().items()}

    def config(self, vmid: int) -> dict[str, str]:
        """The configuration, without snapshots and what waits."""
        (path,) = (self.state / "etc" / "nodes").glob(f"*/qemu-server/{vmid}.conf")
        lines = path.read_text().partition("\n[")[0].splitlines()
        return dict(line.split(": ", 1) for line in lines if not line.startswith("#"))

    def vmids(self) -> dict[str, int]:
        """Node → VM."""
        found = {}
        for path in (self.state / "etc" / "nodes").glob("*/qemu-server/*.conf"):
            tag = re.search(r"^tags: .*\bcompose\.lab\.([\w-]+)", path.read_text(), re.MULTILINE)
            if tag:
                found[tag[1]] = int(path.stem)
        return found

    def data(self, vmid: int) -> Path:
        """The file of a data disk."""
        (drive,) = (value for value in self.config(vmid).values() if ",serial=data," in f"{value},")
        return self.file(drive)

    def file(self, drive: str) -> Path:
        """Where the volume of a drive is."""
        name = drive.partition(",")[0].rpartition("/")[2].rpartition(":")[2]
        (file,) = (self.state / "volumes").glob(f"*/*/blocks/{name}")
        return file

    def boots(self) -> dict[str, str]:
        """Node → when and with what its VM was started."""
        return {name: (self.state / "run" / f"{vmid}.json").read_text() for name, vmid in self.vmids().items()}

    def check(self, *, converged: bool = False) -> None:
        """Every VM has its data and a disk to boot; after a run that ended well nothing is left over."""
        assert set(self.vmids()) == {"web1", "web2"}
        for vmid in self.vmids().values():
            pattern(self.data(vmid), "read")
            config = self.config(vmid)
            assert self.file(config[config["boot"].removeprefix("order=")]).exists()
        if converged:
            assert set(self.boots()) == {"web1", "web2"}
            assert self.disks() == self.drives(unused=False) | self.recorded()
            assert {name.rpartition(".")[2] for name in self.uploads()} <= {"qcow2"}


def pattern(disk: Path, verb: str) -> None:
    """Writes something into a disk, or demands that it is there."""
    done = subprocess.run(
        ["qemu-io", "-c", f"{verb} -P 77 0 64k", str(disk)], capture_output=True, text=True, check=True
    )
    assert "verification failed" not in done.stdout, done.stdout


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("faults") / "lab")
    fleet.mean()
    with fleet:
        fleet.run()
        for vmid in fleet.vmids().values():
            pattern(fleet.data(vmid), "write")
        fleet.check(converged=True)
        yield fleet


RESET: Fault = {"kind": "reset", "path": "/upload$", "bytes": 100_000}
NO_START: Fault = {"kind": "task", "type": "qmstart", "error": "no memory left", "times": 1}
#: Three changes of each VM come before it is marked.
NO_MARK: Fault = {"kind": "http", "method": "PUT", "path": "/config$", "status": 500, "message": "no luck", "skip": 6}


def test_one_step_after_the_other_fails(fleet: Fleet) -> None:
    """What runs is left alone, or comes back; the first run that is not disturbed ends well."""
    before, serials = fleet.boots(), fleet.serials()
    fleet.mean()
    run = fleet.disturbed({"kind": "quorum"})
    assert "plan: cluster sim has no quorum: nothing can be changed now" in run.output
    run = fleet.disturbed(RESET)
    assert "stage, web" in run.output and "upload of compose.lab." in run.output
    assert fleet.boots() == before
    run = fleet.disturbed(NO_START)
    assert re.search(r"compose \| switch web\d: failed: .*no memory left", run.output)
    assert "back on its last verified image sys-" in run.output
    assert fleet.serials() == serials and fleet.boots() != before
    fleet.run()
    fleet.check(converged=True)
    assert not set(fleet.serials().values()) & set(serials.values())


def test_a_release_cannot_be_marked(fleet: Fleet) -> None:
    fleet.mean()
    run = fleet.disturbed(NO_MARK)
    assert "settle, web" in run.output and "Proxmox refused PUT" in run.output and "no luck" in run.output
    boots = fleet.boots()
    fleet.run()
    assert fleet.boots() == boots
    fleet.check(converged=True)


def test_the_way_back_fails(fleet: Fleet) -> None:
    """A bad image, and then a VM cannot be taken back; the next run, with a good one, mends all."""
    bad = fleet.mean("bad")
    deaf = {"kind": "task", "type": "qmshutdown", "skip": 2, "error": "no luck"}
    run = fleet.disturbed(deaf, {"kind": "task", "type": "qmstop", "error": "no luck"})
    assert re.search(r"compose \| revert web\d: failed: .*no luck", run.output)
    assert "the system is 'degraded'" in run.output and "NOT back: " in run.output and bad in run.output
    fleet.mean()
    fleet.run()
    fleet.check(converged=True)


def test_a_killed_run_leaves_a_vm_that_nobody_starts(fleet: Fleet) -> None:
    """High availability was told to ignore it; the next run tells otherwise."""
    sid = f"vm:{fleet.vmids()['web1']}"
    fleet.call("POST", "/cluster/ha/resources", sid=sid, state="started")
    fleet.mean()
    deaf = [fleet.state / "guests" / f"{vmid}.json" for vmid in fleet.vmids().values()]
    for guest in deaf:
        guest.write_text(json.dumps({"shutdown": 1000}))
    begin = len(fleet.log())
    process = fleet.start("-i", "lab.compose.yml", "immutable.compose.deploy")
    deadline = time.monotonic() + PATIENCE
    while sum("/status/shutdown" in line for line in fleet.log()[begin:]) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    for pid in [process.pid, *descendants(process.pid)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    for guest in deaf:
        guest.unlink()
    assert fleet.call("GET", f"/cluster/ha/resources/{sid}")["state"] == "ignored"
    fleet.check()
    fleet.run()
    assert fleet.call("GET", f"/cluster/ha/resources/{sid}")["state"] == "started"
    fleet.check(converged=True)


def test_a_vm_that_another_inventory_knows(fleet: Fleet) -> None:
    """Its number and address are in that one; its system is replaced, its data disk and the rest are not."""
    disks = {"scsi0": "ceph:1,discard=on,iothread=1", "scsi1": "ceph:1,serial=mine"}
    fleet.call("POST", "/nodes/pve1/qemu", vmid=ADOPTED, name="old", boot="order=scsi0", memory=64, **disks)
    deadline = time.monotonic() + PATIENCE
    while "boot" not in fleet.config(ADOPTED):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = fleet.config(ADOPTED)
    (fleet.directory / "known.ini").write_text(
        f"[proxmox_pool_old]\nold proxmox_vmid={ADOPTED} ansible_host=10.87.7.7\n"
    )
    platform = {"name": "proxmox_unbooted", "storage": "ceph"}
    adopting = {
        **DEPLOYMENT,
        "name": "adopting",
        "platform": platform,
        "roles": {"web": {"hosts": "proxmox_pool_old"}},
    }
    (fleet.directory / "adopting.compose.yml").write_text(json.dumps(adopting))
    inventory = ("-i", "known.ini", "-i", "adopting.compose.yml")
    fleet.play(*inventory, "immutable.compose.deploy")
    config = fleet.config(ADOPTED)
    assert fleet.file(config["scsi0"]) != fleet.file(before["scsi0"]) and ",discard=on,iothread=1" in config["scsi0"]
    assert (config["scsi1"], config["boot"], config["memory"]) == (before["scsi1"], before["boot"], before["memory"])
    assert config["unused0"] == before["scsi0"].partition(",")[0]
    assert fleet.play(*inventory, "immutable.compose.deploy").changed == 0
    fleet.play(*inventory, "immutable.compose.destroy")
    assert {key: fleet.config(ADOPTED)[key] for key in disks} == {key: before[key] for key in disks}


def test_the_end_fails(fleet: Fleet) -> None:
    fleet.faults({"kind": "task", "type": "qmdestroy", "error": "no luck", "times": 1})
    run = fleet.run("-e", "compose_data=true", playbook="destroy", expect=2)
    assert "remove, web" in run.output and "no luck" in run.output
    fleet.faults()
    fleet.run("-e", "compose_data=true", playbook="destroy")
    assert fleet.vmids() == {} and fleet.uploads() == set()
    assert fleet.disks() == fleet.drives(unused=False) - {"none"}  # of the VM that was adopted


def test_the_console_of_a_failed_boot(fleet: Fleet) -> None:
    """A node that does not answer is reported with what it said last; without VM.Console, one line says so."""
    short = json.dumps({**DEPLOYMENT, "boot_timeout": 5})
    (fleet.directory / "lab.compose.yml").write_text(short)
    fleet.mean("silent")
    told = fleet.run(expect=2).output
    for name in ("web1", "web2"):
        kept = fleet.directory / "state" / "lab" / "nodes" / name / "console.log"
        assert kept.read_text() == "Begin: mounting root\nKernel panic - not syncing: no root\n"
    assert "its console said last:" in told and "Kernel panic - not syncing: no root" in told
    assert "PVEVNC" not in told and "not recorded" not in told

    forbidden = {
        "kind": "http",
        "method": "POST",
        "path": "/termproxy$",
        "status": 403,
        "message": "Permission check failed",
    }
    fleet.faults({**forbidden, "times": 100})
    told = fleet.run(expect=2).output
    fleet.faults()
    assert "its console said last" not in told and "no answer within 5 s" in told
    assert len(set(re.findall(r"the consoles of VMs are not recorded.*lacks VM.Console on /vms/\d+", told))) == 1
