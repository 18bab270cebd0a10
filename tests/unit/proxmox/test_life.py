"""What becomes of VMs from their first deployment to their end."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Match
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import endpoints
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse

from ..model.samples import document
from .conftest import World

DATA = {"data": Volume("/data", 16)}
CEPH = {"storage": "ceph", "staging": "auto"}
METHODS: list[dict[str, t.Any]] = [{}, CEPH]
both_methods = pytest.mark.parametrize("options", METHODS, ids=["import", "clone"])


def drive(world: World, vmid: int, serial: str) -> tuple[str, str]:
    """Key and volume of the drive with a serial number."""
    for key, value in world.config(vmid).items():
        if f"serial={serial}" in str(value):
            return key, str(value).partition(",")[0]
    raise AssertionError(f"no drive with serial {serial}")


@both_methods
def test_deploy_replace_revert(world: World, options: dict[str, t.Any]) -> None:
    platform = world.platform(**options)
    assert world.observed(platform) == {"web1": Seen("absent"), "web2": Seen("absent")}
    world.deploy(platform, "one", **DATA)
    platform = world.platform(**options)
    assert world.observed(platform)["web1"] == Seen("running", "one", "d1", None, (), leftovers=True)
    world.finish(platform, "one", release=7)
    assert world.observed(world.platform(**options))["web2"] == Seen("running", "one", "d1", "one")
    vmid = world.vmid()
    data = drive(world, vmid, "data")
    assert '"release": 7' in world.config(vmid)["description"]

    platform = world.platform(**options)
    world.deploy(platform, "two", "d2", **DATA)
    assert world.observed(platform)["web1"] == Seen("running", "two", "d2", "one", (), leftovers=True)
    assert drive(world, vmid, "data") == data
    outcomes = platform.revert(platform.deployment.nodes, world.tell)
    assert all(outcome.ok and outcome.changed for outcome in outcomes.values()), outcomes
    assert world.observed(platform)["web1"] == Seen("running", "one", "d1", "one", (), leftovers=True)
    again = platform.revert(platform.deployment.nodes, world.tell)
    assert not any(outcome.changed for outcome in again.values())
    world.platform(**options).prune(["one"])
    assert world.observed(platform)["web1"] == Seen("running", "one", "d1", "one")
    assert drive(world, vmid, "data") == data
    assert world.volumes() == world.named()
    assert not [file for file in world.uploads() if file.endswith(".raw")]

    outcomes = world.platform(**options).remove(["web1", "web2"], data=True, tell=world.tell)
    assert all(outcome.ok and outcome.changed for outcome in outcomes.values()), outcomes
    world.platform(**options).teardown()
    assert (world.vmids(), world.volumes(), world.uploads()) == ([], set(), set())


def test_kept_images_stay_with_the_vm(world: World) -> None:
    for number, identity in enumerate(("one", "two", "three"), 1):
        platform = world.platform()
        world.deploy(platform, identity)
        world.finish(platform, "one" if number < 3 else "two", identity, release=number)
    contents = world.config(world.vmid())["description"]
    assert '"image": "one"' not in contents and '"image": "two"' in contents
    calls = len(world.calls())
    world.deploy(world.platform("web1"), "two")  # the way back needs no copy
    assert not [
        call for call in world.calls()[calls:] if "/upload" in call or call.startswith("POST") and "/config" in call
    ]


def test_a_new_document_alone_needs_no_new_image(world: World) -> None:
    platform = world.platform()
    world.deploy(platform, "one")
    world.finish(platform, "one")
    system = world.config(world.vmid())["virtio0"]
    platform = world.platform()
    node = platform.deployment.nodes[0]
    platform.refresh(node, document(node, parameters={"what": "d1-b"}), "d1-b")
    observed = world.observed(platform)["web1"]
    assert (observed.state, observed.document, observed.verified) == ("running", "d1-b", "one")
    platform.prune(["one"])
    vmid = world.vmid()
    runs = world.call("GET", f"/nodes/pve1/qemu/{vmid}/config", current=1)
    assert {runs[key].partition(",")[0] for key in ("virtio0", "ide3")} <= world.volumes()  # it is not taken away
    world.deploy(world.platform(), "one", "d2")
    assert world.config(vmid)["virtio0"] == system
    world.finish(world.platform(), "one")
    assert world.volumes() == world.named()


def test_scaling_out_and_in(world: World) -> None:
    platform = world.platform("web1")
    world.deploy(platform, "one", **DATA)
    world.finish(platform, "one")
    platform = world.platform("web1", "web2")
    assert world.observed(platform)["web2"].state == "absent"
    world.deploy(platform, "one", **DATA)
    world.finish(platform, "one")
    data = drive(world, world.vmid("web2"), "data")
    platform = world.platform("web1")
    assert world.observed(platform)["web2"].state == "running"
    assert platform.remove(["web2"], data=False, tell=world.tell)["web2"].changed
    assert world.observed(platform)["web2"].state == "absent"
    assert not platform.remove(["web2"], data=False, tell=world.tell)["web2"].changed
    assert world.volumes() == world.named()
    platform = world.platform("web1", "web2")
    world.deploy(platform, "one", **DATA)
    assert drive(world, world.vmid("web2"), "data") == data


def existing(world: World, vmid: int = 300) -> dict[str, t.Any]:
    """A VM as somebody made it: system disk on scsi0, data on scsi1."""
    disks = {"scsi0": "local:1,discard=on,iothread=1,format=qcow2", "scsi1": "local:1,format=qcow2"}
    more = {"boot": "order=scsi0;net0", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "tags": "mine", "memory": 64}
    world.call("POST", "/nodes/pve1/qemu", vmid=vmid, name="old", description="Ask Ada.", **disks, **more)
    world.settle()
    world.call("POST", f"/nodes/pve1/qemu/{vmid}/status/start")
    world.settle()
    return world.config(vmid)


def test_an_existing_vm_is_adopted_and_let_go(world: World) -> None:
    before = existing(world)
    platform = world.platform("web1", vmid=300, adopt=True)
    assert world.observed(platform)["web1"].state == "running"
    assert platform.interfaces(platform.deployment.nodes[0])[0].match == Match(mac="bc:24:11:00:00:01")
    world.deploy(platform, "one")
    config = world.config(300)
    assert config["boot"] == before["boot"] and config["scsi1"] == before["scsi1"]
    assert ",discard=on,iothread=1," in config["scsi0"] and config["unused0"] == before["scsi0"].partition(",")[0]
    assert (
        config["description"].startswith("Ask Ada.")
        and "mine" in config["tags"]
        and config["memory"] == before["memory"]
    )
    assert config["scsi0"].rpartition(",")[2] == before["scsi0"].rpartition(",")[2] == "size=1G"  # the image has 8 MiB
    outcomes = platform.revert(platform.deployment.nodes, world.tell)
    assert outcomes["web1"].message == "VM 300 boots the disk that it had before"
    assert world.config(300)["scsi0"] == before["scsi0"] and world.running(300)
    world.deploy(platform, "one")
    world.finish(platform, "one")
    world.deploy(world.platform("web1", vmid=300, adopt=True), "two")
    world.finish(world.platform("web1", vmid=300, adopt=True), "two")
    assert world.platform("web1", vmid=300, adopt=True).remove(["web1"], data=True, tell=world.tell)["web1"].ok
    config = world.config(300)
    assert (config["scsi0"], config["scsi1"], config["tags"]) == (before["scsi0"], before["scsi1"], "mine")
    assert config["description"].strip() == "Ask Ada."
    assert world.volumes() == world.named() and not world.running(300)


def test_ha_keeps_off_during_a_switch(cluster_of: t.Callable[..., World]) -> None:
    world = cluster_of(ha_seconds=1)
    platform = world.platform("web1", ha=True)
    world.deploy(platform, "one")
    world.finish(platform, "one")
    vmid = world.vmid()
    assert world.call("GET", "/cluster/ha/resources")[0]["state"] == "started"
    platform = world.platform("web1", ha=True)
    world.deploy(platform, "two")
    world.finish(platform, "two")
    assert world.call("GET", f"/cluster/ha/resources/vm:{vmid}")["state"] == "started"
    assert world.observed(platform)["web1"] == Seen("running", "two", "d1", "two")
    calls = [call.rpartition("/")[2] for call in world.calls() if f"vm:{vmid}" in call or "/status/s" in call]
    assert calls[calls.index("start") + 1 :][:4] == [f"vm:{vmid}", "shutdown", "start", f"vm:{vmid}"], calls


def test_data_are_secured_before_a_switch(world: World) -> None:
    file = world.directory / "secured"
    command = {"snapshot": "node-command", "snapshot_command": f"echo {{vmid}} {{node}} {{host}} {{volumes}} >> {file}"}
    platform = world.platform("web1", **command)
    world.deploy(platform, "one", **DATA)
    world.finish(platform, "one")
    assert not file.exists()  # nothing was there to be secured
    world.deploy(world.platform("web1", **command), "two", **DATA)
    vmid = world.vmid()
    assert file.read_text() == f"{vmid} web1 pve1 {drive(world, vmid, 'data')[1]}\n"
    failing = world.platform("web1", snapshot="node-command", snapshot_command="echo no space >&2; exit 3")
    targets = world.targets(failing, "three", **DATA)
    failing.stage(targets)
    outcome = failing.switch(targets, world.tell)["web1"]
    assert not outcome.ok and "exit code 3" in outcome.message and "no space" in outcome.message
    assert world.observed(failing)["web1"].identity == "two" and world.running(vmid)


def test_a_snapshot_lasts_until_the_new_system_is_verified(world: World) -> None:
    platform = world.platform("web1", snapshot="vm")
    world.deploy(platform, "one", **DATA)
    world.finish(platform, "one")
    vmid = world.vmid()

    def snapshots() -> list[str]:
        return [one["name"] for one in world.call("GET", f"/nodes/pve1/qemu/{vmid}/snapshot")]

    assert snapshots() == ["current"]
    platform = world.platform("web1", snapshot="vm")
    world.deploy(platform, "two", **DATA)
    assert "before-compose" in snapshots()
    platform.revert(platform.deployment.nodes, world.tell)
    platform.prune(["one"])
    assert "before-compose" in snapshots()
    platform = world.platform("web1", snapshot="vm")
    world.deploy(platform, "two", **DATA)
    world.finish(platform, "two")
    assert snapshots() == ["current"]
    assert world.volumes() == world.named()


def test_a_volume_made_elsewhere_is_attached(world: World) -> None:
    options = {"storage": "ceph", "staging": "volume", "volume": "ceph:vm-{vmid}-sys-{image}"}
    platform = world.platform("web1", vmid=500, **options)
    targets = world.targets(platform, "one")
    with pytest.raises(Exception, match=r"volume ceph:vm-500-sys-\w{16} of VM 500 does not exist") as told:
        platform.stage(targets)
    name = str(told.value).partition("ceph:")[2].partition(" ")[0]
    world.call("POST", "/nodes/pve1/storage/ceph/content", vmid=500, filename=name, size="8M")
    assert platform.stage(targets)
    assert platform.switch(targets, world.tell)["web1"].ok
    assert world.config(500)["virtio0"].startswith(f"ceph:{name},serial=")


def test_memory_and_processors_follow_the_file(world: World) -> None:
    platform = world.platform("web1", memory=1024)
    world.deploy(platform, "one")
    world.finish(platform, "one")
    larger = world.platform("web1", memory=2048, cpus=2)
    assert world.observed(larger)["web1"].differs == ("memory 1024 → 2048", "cores 1 → 2")
    world.deploy(larger, "one")
    assert (world.config(world.vmid())["memory"], world.config(world.vmid())["cores"]) == ("2048", 2)


def test_processors_of_a_vm_with_two_sockets(world: World) -> None:
    world.call("POST", "/nodes/pve1/qemu", vmid=300, name="old", cores=2, sockets=2, scsi0="local:1,format=qcow2")
    world.settle()
    world.deploy(world.platform("web1", vmid=300, adopt=True), "one")
    assert world.config(300)["sockets"] == 2  # nothing is said
    larger = world.platform("web1", vmid=300, adopt=True, cpus=4)
    assert world.observed(larger)["web1"].differs == ("cores 2 → 4", "sockets 2 → 1")
    world.deploy(larger, "one")
    assert world.observed(larger)["web1"].differs == ()


def _interface(name: str, mac: str, *addresses: str) -> dict[str, t.Any]:
    told = [{"ip-address": address, "ip-address-type": "ipv4", "prefix": 24} for address in addresses]
    return {"name": name, "hardware-address": mac, "ip-addresses": told}


def test_the_guest_agent_tells_an_address(cluster_of: t.Callable[..., World]) -> None:
    world = cluster_of()
    platform = world.platform("web1", address="agent")
    node = platform.deployment.nodes[0]
    mac = platform.interfaces(node)[0].match.mac
    bridge = _interface("docker0", "02:42:00:00:00:01", "172.17.0.1")
    world.server.cluster.options.guest.update(
        agent=20, interfaces=[bridge, _interface("eth0", mac.upper(), "169.254.7.7", "192.0.2.7")]
    )
    assert endpoints(platform) == {}
    assert platform.interfaces(node)[0].dhcp
    world.deploy(platform, "one")
    assert platform.endpoint(node).host == "192.0.2.7"  # once the guest is up


def test_asking_changes_nothing_and_nothing_to_do_is_no_change(world: World) -> None:
    platform = world.platform()
    refuse(platform.check(platform.deployment.nodes))
    world.observed(platform)
    facts = [(platform.endpoint(node), platform.interfaces(node)) for node in platform.deployment.nodes]
    again = world.platform()
    assert [(again.endpoint(node), again.interfaces(node)) for node in again.deployment.nodes] == facts
    assert facts[0] != facts[1]
    assert not platform.remove(["web1", "gone"], data=True, tell=world.tell)["gone"].changed
    platform.prune(set())
    platform.teardown()
    platform.teardown()
    assert {call.split()[0] for call in world.calls()} == {"GET"}


def test_a_run_without_a_change_reads_state_and_configuration_of_each_vm_once(world: World) -> None:
    platform = world.platform()
    world.deploy(platform, "one")
    world.finish(platform, "one")
    calls = len(world.calls())
    platform = world.platform()
    refuse(platform.check(platform.deployment.nodes))
    world.observed(platform)
    reads = [call.rpartition("/qemu/")[2] for call in world.calls()[calls:] if "/qemu/" in call]
    assert sorted(reads) == sorted(f"{vmid}/{what}" for vmid in world.vmids() for what in ("config", "status/current"))
    assert len(world.calls()) - calls == len(reads) + 5  # whatever the number of VMs
