# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real Proxmox VE showed, through ``ansible-playbook``, on a simulator that behaves like it; nothing boots."""

from __future__ import annotations

import json
import sys
import time
import typing as t
from pathlib import Path

import pytest
import requests
from lab import PATIENCE, ROOT

sys.path.append(str(ROOT / "tests" / "benchmarks"))

from proxmox_lab import Lab, Run

pytestmark = pytest.mark.story

VOLUMES = {"web": {"data": {"mount": "/data", "size": 16}}}
MAILSERVER = 500


class Site(Lab):
    """A cluster, on which others have a VM of their own, and deployments that are written anew for each test."""

    def __init__(self, directory: Path) -> None:
        bridges = {"pve1": ["vmbr0", "vmbr1"]}
        super().__init__(directory, pace=0.05, resources_seconds=0, guest={"shutdown": 1}, bridges=bridges)
        self.images = directory / "images"
        self.images.mkdir()
        (self.images / "volumes.json").write_text(json.dumps(VOLUMES))
        self.image("sys-1", self.images)
        (self.images / "images.json").write_text(json.dumps({"web": "sys-1"}))

    def write(self, name: str, roles: t.Any = 1, **options: t.Any) -> None:
        """The deployment file of a name."""
        deployment = {
            "plugin": "immutable.compose.composition",
            "composition": "images",
            "builder": "files",
            "name": name,
            "platform": {"name": "proxmox_unbooted", "storage": "ceph", "memory": 64, **options},
            "network": "10.87.0.0/16",
            "state_dir": "state",
            "roles": {"web": roles},
        }
        (self.directory / f"{name}.compose.yml").write_text(json.dumps(deployment))

    def run(self, name: str, playbook: str, *args: str, expect: int = 0, **environment: str) -> Run:
        command = ("-i", f"{name}.compose.yml", f"immutable.compose.{playbook}", *args)
        run = self.play(*command, expect=expect, **environment)
        print(f"--- {name}: {playbook} {' '.join(args)} ({run.seconds:.1f} s)\n{run.output}")
        return run

    def call(self, verb: str, path: str, /, **data: t.Any) -> t.Any:
        """A call as somebody else makes it."""
        where = {"params" if verb == "GET" else "data": data}
        answer = requests.request(
            verb,
            f"{self.url}/api2/json{path}",
            headers={"Authorization": f"PVEAPIToken={self.token.removeprefix('token:')}"},
            verify=str(self.state / "pve-root-ca.pem"),
            timeout=60,
            **where,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def settle(self) -> None:
        """Wait for the end of all tasks."""
        deadline = time.monotonic() + PATIENCE
        while self.call("GET", "/nodes/pve1/tasks", source="active"):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def vms(self) -> dict[str, str]:
        """VM → its state."""
        return {vm["name"]: vm["status"] for vm in self.call("GET", "/cluster/resources", type="vm")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    with Site(tmp_path_factory.mktemp("real") / "site") as site:
        disks = {"scsi0": "ceph:1", "scsi1": "ceph:1,serial=mail"}
        site.call("POST", "/nodes/pve1/qemu", vmid=MAILSERVER, name="mailserver", boot="order=scsi0", **disks)
        site.settle()
        site.call("POST", f"/nodes/pve1/qemu/{MAILSERVER}/status/start")
        site.settle()
        yield site


def test_what_was_only_staged(site: Site) -> None:
    """Its template stays usable, nothing of it starts with the node, and ``destroy`` removes it."""
    site.write("box", 2)
    site.run("box", "deploy", "--tags", "build,stage")
    site.write("box", 3)
    site.run("box", "destroy", "--limit", "web1")
    site.run("box", "deploy", "--tags", "build,stage")
    site.call("POST", "/nodes/pve1/startall")
    site.settle()
    assert {name: state for name, state in site.vms().items() if name.startswith("web")} == {
        f"web{number}": "stopped" for number in (1, 2, 3)
    }
    assert "web2: would be removed" in site.run("box", "destroy", "--check").output
    run = site.run("box", "destroy")
    assert run.changed > 0
    assert site.vms() == {"mailserver": "running"} and site.uploads() == set()
    assert site.disks() == {f"vm-{MAILSERVER}-disk-{number}" for number in (0, 1)}
    assert site.run("box", "destroy").changed == 0


def test_a_vm_of_somebody_else(site: Site) -> None:
    before = site.call("GET", f"/nodes/pve1/qemu/{MAILSERVER}/config")
    adopts = f'adopts VM {MAILSERVER} "mailserver" on pve1 (running, not of this deployment)'
    site.write("mail", ["mx"], vmid=MAILSERVER)
    for playbook in ("plan", "deploy"):
        assert f"{adopts}: refused" in site.run("mail", playbook, expect=2).output.replace("\\", "")
    assert site.call("GET", f"/nodes/pve1/qemu/{MAILSERVER}/config") == before
    site.write("mail", ["mx"], vmid=MAILSERVER, adopt=True)
    assert adopts in site.run("mail", "plan", "--diff").output.replace("\\", "")
    assert site.call("GET", f"/nodes/pve1/qemu/{MAILSERVER}/config") == before
    # A system that does not come up: its own comes back, and that is what is said.
    site.image("bad-1", site.images)
    (site.images / "images.json").write_text(json.dumps({"web": "bad-1"}))
    run = site.run("mail", "deploy", expect=2)
    (site.images / "images.json").write_text(json.dumps({"web": "sys-1"}))
    assert f"running: VM {MAILSERVER} boots the disk that it had before" in run.output
    assert "there is no verified image" not in run.output
    assert site.call("GET", f"/nodes/pve1/qemu/{MAILSERVER}/config")["scsi0"].startswith(before["scsi0"][:20])
    site.run("mail", "destroy")
    assert site.vms()["mailserver"] == "running"


def test_a_bridge_that_is_missing(site: Site) -> None:
    site.write("net", networks=["bridge=vmbr7"])
    output = site.run("net", "plan", expect=2).output
    assert "web1: networks need the bridge 'vmbr7'" in output and "pve1 has: vmbr0, vmbr1" in output
    site.write("net", networks=["bridge=vmbr1"])
    site.run("net", "deploy")
    site.write("net", networks=["bridge=vmbr0"])
    assert "net0 bridge=vmbr1 → bridge=vmbr0" in site.run("net", "deploy", "--diff").output
    assert site.run("net", "deploy").changed == 0
    site.run("net", "destroy", "-e", "compose_data=true")


def test_who_logs_in_where(site: Site) -> None:
    site.write("login")
    site.run("login", "plan", PROXMOX_HOST=f"{site.url}/")
    token, _equals, secret = site.token.removeprefix("token:").partition("=")
    for variables, words in (
        ({"PROXMOX_HOST": "http://pve1:8006"}, "expected HOST, HOST:PORT or https://HOST:PORT/"),
        ({"PROXMOX_TOKEN_ID": f"{token}={secret}"}, "token_id has the token's secret in it, expected USER@REALM!NAME"),
        ({"https_proxy": "http://me:geheim@127.0.0.1:1", "no_proxy": ""}, "through the proxy http://127.0.0.1:1 ("),
    ):
        output = site.run("login", "plan", expect=2, **variables).output
        assert words in output and secret not in output and "geheim" not in output
    site.call("POST", "/access/users", userid="deploy@pve")
    site.call("PUT", "/access/acl", path="/", users="deploy@pve", roles="Administrator")
    made = site.call("POST", "/access/users/deploy@pve/token/ansible")
    for path, role in (("/storage", "PVEDatastoreAdmin"), ("/access", "PVEAuditor")):
        site.call("PUT", "/access/acl", path=path, tokens="deploy@pve!ansible", roles=role)
    run = site.run("login", "plan", expect=2, PROXMOX_TOKEN_ID="deploy@pve!ansible", PROXMOX_TOKEN_SECRET=made["value"])
    assert "token deploy@pve!ansible lacks what is needed: on " in run.output
    assert "(its user has it: the token was made with privilege separation)" in run.output
