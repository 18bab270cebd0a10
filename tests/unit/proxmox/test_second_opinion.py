"""The deployer against fakepve, which others wrote: an independent view of requests, errors, tasks and locks.

It knows no import and keeps drives as mere text: what becomes of disks is tested on our own simulator only.
"""

from __future__ import annotations

import asyncio
import threading
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest
from fakepve import FakePve
from fakepve.certs import make_cert

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import (
    client as client_module,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import tasks as tasks_module
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import vm as vm_module
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.answers import Version
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.client import (
    Access,
    Client,
    LostAnswer,
    ProxmoxError,
)
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.cluster import Cluster
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.privileges import Privileges
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.record import Boot, Content, Record
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.tasks import TaskError, wait_for
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.vm import Patience, Vm
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..model.samples import document

TOKEN = {"token_id": "deploy@pve!ci", "token_secret": "0ec1a0e6-46ce-4f6c-9a01-0a4a7b1d2f33"}
T = t.TypeVar("T")


class Fake:
    """A cluster that is served by a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self.ca_file, key, dummy = make_cert(str(directory), hosts=("127.0.0.1",))
        self.pve = FakePve(host="127.0.0.1", port=0)
        self.pve.apitokens[TOKEN["token_id"]] = TOKEN["token_secret"]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self.pve.start(self.ca_file, key))

    def run(self, what: t.Coroutine[t.Any, t.Any, T]) -> T:
        """Have the server do something."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    def call(self, act: t.Callable[[], object]) -> None:
        """Do something where the server runs."""

        async def soon() -> None:
            act()

        self.run(soon())

    def stop(self) -> None:
        self.run(self.pve.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def client(self, **others: str) -> Client:
        login = {} if "user" in others else TOKEN
        return Client(Access("127.0.0.1", self.pve.port, **{"ca_file": self.ca_file, **login, **others}))

    def vm(self, **patience: int) -> Vm:
        """VM 100 as the deployer has it."""
        return Vm(Cluster(self.client()), 100, Patience(**patience))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Fake]:
    """VM 100 runs on pve1, which is not alone; tasks end at once."""
    monkeypatch.setattr(vm_module, "_POLL", 0.02)
    monkeypatch.setattr(tasks_module, "_SHORTEST", 0.005)
    monkeypatch.setattr(client_module, "_PAUSE", 0.005)
    fake = Fake(tmp_path)
    fake.pve.add_node("pve2")
    drives = {"virtio0": "local-lvm:vm-100-disk-0,size=2G", "virtio1": "local-lvm:vm-100-disk-1,serial=data,size=1G"}
    fake.pve.add_vm(100, "web", status="running", config={**drives, "boot": "order=virtio0", "memory": 512})
    yield fake
    fake.stop()


# -- logins ------------------------------------------------------------------------------------------------------------


def test_a_token_and_a_password(fake: Fake) -> None:
    for client in (fake.client(), fake.client(user="root@pam", password="secret")):
        assert client.get(Version, "/version").version == fake.pve.version
        client.call("PUT", "/nodes/pve1/qemu/100/config", description="x")  # with a ticket, this needs the CSRF token


def test_a_wrong_token_and_a_wrong_password(fake: Fake) -> None:
    with pytest.raises(ProxmoxError, match=r"401 .*as token deploy@pve!ci"):
        fake.client(token_secret="wrong").get(Version, "/version")
    with pytest.raises(ComposeError, match="'root@pam' or its password is wrong"):
        fake.client(user="root@pam", password="wrong").get(Version, "/version")


def test_a_certificate_of_somebody_else(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other, *dummy = make_cert(str(tmp_path / "other"), hosts=("127.0.0.1",))
    with pytest.raises(ComposeError, match="is not trusted; give the cluster's authority as ca_file"):
        fake.client(ca_file=other).get(Version, "/version")


# -- the cluster -------------------------------------------------------------------------------------------------------


def test_old_versions_and_a_lost_quorum_are_refused(fake: Fake) -> None:
    cluster = Cluster(fake.client())
    cluster.check()
    fake.pve.lose_quorum()
    with pytest.raises(ComposeError, match="cluster fakecluster has no quorum"):
        cluster.check()
    with pytest.raises(ProxmoxError, match="no quorum"):
        fake.client().call("PUT", "/nodes/pve1/qemu/100/config", description="x")
    fake.pve.version = "7.4-16"
    with pytest.raises(InputError, match=r"version 7\.4-16; at least 8\.4 is needed"):
        Cluster(fake.client()).check()


def test_nodes_and_vms_in_one_call(fake: Fake) -> None:
    fake.pve.vm(100).config["tags"] = "a;compose.lab"
    fake.pve.set_node_offline("pve2")
    cluster = Cluster(fake.client())
    before = len(fake.pve.requests)
    assert [(vm.vmid, vm.node, vm.tags) for vm in cluster.tagged("compose.lab")] == [
        (100, "pve1", {"a", "compose.lab"})
    ]
    assert cluster.nodes() == ["pve1"] and cluster.off() == ["pve2"]
    assert len(fake.pve.requests) == before + 1


def test_a_vm_that_has_moved_is_found(fake: Fake) -> None:
    vm = fake.vm()
    assert vm.node == "pve1"
    fake.run(fake.pve.migrate(100, "pve2"))
    assert vm.config().get("memory") == "512" and vm.node == "pve2"
    fake.pve.set_node_offline("pve2")
    with pytest.raises(ProxmoxError, match="595"):
        vm.config()


def test_missing_privileges_are_named(fake: Fake) -> None:
    fake.pve.grant("deploy@pve", "/vms", "VM.Audit", "VM.PowerMgmt")
    needed = Privileges(fake.client())
    needed.demand("/vms/100", ["VM.Audit", "VM.Config.Disk"])
    needed.demand("/storage/local", ["Datastore.AllocateSpace"])
    told = (
        r"token deploy@pve!ci lacks what is needed: on /storage/local: Datastore.AllocateSpace; "
        r"on /vms/100: VM.Config.Disk"
    )
    with pytest.raises(ComposeError, match=told):
        refuse(needed.missing())
    with pytest.raises(ProxmoxError, match=r"403 .*VM\.Config\.Options"):
        fake.client().call("PUT", "/nodes/pve1/qemu/100/config", description="x")


# -- changes -----------------------------------------------------------------------------------------------------------


def test_a_change_of_what_was_read(fake: Fake) -> None:
    vm = fake.vm()
    config = vm.config()
    vm.change(config, {"description": "x", "tags": "a;b"})
    assert (fake.pve.vm(100).config["description"], fake.pve.vm(100).config["tags"]) == ("x", "a;b")
    assert vm.config().digest != config.digest
    with pytest.raises(ComposeError, match="VM 100 was changed by someone else meanwhile"):
        vm.change(config, {"description": "y"})
    assert fake.pve.vm(100).config["description"] == "x"


def test_a_vm_that_is_being_backed_up_is_left_alone(fake: Fake) -> None:
    fake.pve.snapshot_lock(100, "backup")
    with pytest.raises(ComposeError, match=r"VM 100 is locked \(backup\): left alone; .* qm unlock 100"):
        fake.vm(lock=0).free()
    with pytest.raises(ProxmoxError) as refused:
        fake.vm().change(fake.vm().config(), {"description": "x"})
    assert refused.value.locked
    fake.pve.unlock(100)
    assert fake.vm(lock=0).free().lock == ""


def test_a_lock_that_somebody_holds_for_a_moment(fake: Fake) -> None:
    told = "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"
    fake.pve.fail("PUT", "/nodes/pve1/qemu/100/config", 500, told, times=2)
    vm = fake.vm()
    vm.change(vm.config(), {"description": "x"})
    assert fake.pve.vm(100).config["description"] == "x"
    assert [method for method, *dummy in fake.pve.requests].count("PUT") == 3


def test_reads_survive_a_bad_network(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake.pve._random, "random", iter([0.1, 0.9] * 50).__next__)
    client = fake.client()
    fake.pve.flaky_network(drop_rate=0.5)
    assert [client.get(Version, "/version").version for dummy in range(3)] == [fake.pve.version] * 3
    fake.pve.flaky_network(drop_rate=1.0)
    with pytest.raises(LostAnswer, match=r"broke \(POST /nodes/pve1/qemu/100/status/stop\)"):
        client.call("POST", "/nodes/pve1/qemu/100/status/stop")


# -- power, tasks ------------------------------------------------------------------------------------------------------


def test_stop_and_start(fake: Fake) -> None:
    vm = fake.vm()
    assert vm.stop() and not vm.is_running()
    assert not vm.stop()
    vm.start()
    assert vm.is_running()
    vm.start()  # it is so already
    assert [task["type"] for task in fake.pve.tasklog] == ["qmshutdown", "qmstart", "qmstart"]


def test_a_guest_that_does_not_shut_down_is_switched_off(fake: Fake) -> None:
    fake.pve.vm(100).acpi = False
    assert fake.vm(shutdown=1).stop()
    assert fake.pve.tasklog[-1]["log"][0] == "VM still running - terminating now with SIGTERM"


def test_a_task_is_waited_for(fake: Fake) -> None:
    fake.pve.time_scale, fake.pve.lock_wait = 0.01, 1e6
    fake.run(fake.pve.hold_config_lock(100, None))
    vm = fake.vm()
    upid = str(vm.call("POST", "/status/shutdown", timeout=60))
    with pytest.raises(TaskError, match="shutdown failed: has not ended after 0 s"):
        wait_for(vm.cluster.client, upid, "shutdown", 0)
    assert vm.is_running()
    fake.call(lambda: fake.pve.release_config_lock(100))
    wait_for(vm.cluster.client, upid, "shutdown", 60)
    assert not vm.is_running()


def test_a_task_that_fails_tells_why(fake: Fake) -> None:
    vm = fake.vm()
    vm.stop()
    fake.pve.vm(100).start_error = "start failed: QEMU exited with code 1"
    with pytest.raises(
        TaskError, match=r"start of VM 100 failed: start failed: QEMU exited with code 1 \(task UPID:pve1"
    ):
        vm.start()


def test_a_start_that_finds_no_free_worker_is_made_again(fake: Fake) -> None:
    vm = fake.vm()
    vm.stop()
    fake.pve.fail("POST", "/nodes/pve1/qemu/100/status/start", 500, "got no worker upid - start worker failed", times=2)
    vm.start()
    assert vm.is_running()


def test_what_is_managed_has_only_been_asked_for(fake: Fake) -> None:
    fake.pve.time_scale = 0.01
    fake.pve.vm(100).ha_state = "started"
    vm = fake.vm(task=60)
    assert vm.stop() and not vm.is_running()
    vm.start()
    assert vm.is_running()
    assert [task["type"] for task in fake.pve.tasklog] == ["hastop", "hastart"]


# -- the platform ------------------------------------------------------------------------------------------------------


def test_a_switch_and_the_way_back(fake: Fake, tmp_path: Path) -> None:
    first, second = (
        Boot(f"image{number}", f"local-lvm:vm-100-disk-{number}0", f"d{number}", f"local-lvm:vm-100-disk-{number}1")
        for number in (1, 2)
    )
    volumes = {first.system: Content(image="image1"), first.drive: Content(document="d1")}
    volumes |= {second.system: Content(image="image2"), second.drive: Content(document="d2")}
    record = Record("lab", "web", created=False, current=first, verified=first, release=1, volumes=volumes)
    config = fake.pve.vm(100).config
    config["virtio0"], config["ide3"] = (
        f"{first.system},cache=writeback,serial=old",
        f"{first.drive},serial=compose-node",
    )
    # The server does not do this by itself when a drive gets another volume.
    config.update({f"unused{number}": volume for number, volume in enumerate(volumes)})
    config["description"], config["tags"] = record.into("Ask Ann."), record.tags({"mine"})

    def platform() -> Proxmox:
        node = Node("web", "web", 1, "10.87.0.1", options={"storage": "local-lvm", "staging": "import"})
        credentials = {"host": f"127.0.0.1:{fake.pve.port}", "ca_file": fake.ca_file, **TOKEN}
        deployment = Deployment(
            "lab", "/composition", "debian", "proxmox", (node,), state=str(tmp_path), credentials=credentials
        )
        return Proxmox(deployment, Progress(str(tmp_path / "progress")))

    def seen() -> Seen:
        found = platform().observe(platform().deployment.nodes)
        assert list(found) == ["web"]
        return replace(found["web"], leftovers=False)

    assert seen() == Seen("running", "image1", "d1", "image1")
    nodes = platform().deployment.nodes
    target = Target(nodes[0], Image("web", "debian", "image2", "amd64", {}, str(tmp_path)), document(nodes[0]), "d2")
    outcome = platform().switch([target], lambda name, outcome: None)["web"]
    assert outcome.ok and outcome.changed, outcome
    assert seen() == Seen("running", "image2", "d2", "image1")
    assert config["virtio0"].split(",")[:2] == [second.system, "cache=writeback"]
    assert config["virtio1"] == "local-lvm:vm-100-disk-1,serial=data,size=1G"
    assert config["description"].startswith("Ask Ann.") and "mine" in config["tags"].split(";")
    assert platform().revert(nodes, lambda name, outcome: None)["web"].ok
    assert seen() == Seen("running", "image1", "d1", "image1")
    platform().switch([target], lambda name, outcome: None)
    platform().commit(nodes, 2)
    assert seen() == Seen("running", "image2", "d2", "image2")
