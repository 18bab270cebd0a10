"""What a real Proxmox VE showed (docs/platforms/proxmox.md): on a simulator that behaves like it."""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.result import NodeResult
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import CONTENT, STORAGES, World

DATA = {"data": Volume("/data", 16)}
CLONE = {"storage": "ceph", "staging": "clone"}
Cluster = t.Callable[..., World]


def stage(world: World, platform: Proxmox, identity: str = "one", **volumes: Volume) -> None:
    refuse(platform.check(platform.deployment.nodes))
    platform.stage(world.targets(platform, identity, **volumes))


def own(world: World) -> set[str]:
    """Volumes of no template."""
    return {volume for volume in world.volumes() if "base-" not in volume or "/vm-" in volume}


def remove(world: World, platform: Proxmox, *names: str, data: bool = False) -> dict[str, NodeResult]:
    outcomes = platform.remove(names, data=data, tell=world.tell)
    assert all(outcome.ok for outcome in outcomes.values()), outcomes
    return outcomes


def node_boots(world: World) -> None:
    """All VMs are off, as after a failure of power; the node starts what it is to start."""
    for vmid in world.vmids():
        world.server.cluster.guests.forget(vmid)
    world.call("POST", "/nodes/pve1/startall")
    world.settle()


# -- templates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["ceph", "local"])
def test_a_template_with_clones_is_left_alone_and_stays_usable(world: World, storage: str) -> None:
    options = {"storage": storage, "staging": "clone"}
    stage(world, world.platform("web1", "web2", **options))
    (template,) = [vmid for vmid in world.vmids() if world.config(vmid).get("template")]
    calls = len(world.calls())
    platform = world.platform("web1", "web2", **options)
    platform.teardown()
    assert not [call for call in world.calls()[calls:] if f"/qemu/{template}/config" in call and "POST" in call]
    assert "sata0" in world.config(template)
    stage(world, world.platform("web1", "web2", "web3", **options))
    assert template in world.vmids() and len(world.vmids()) == 4
    remove(world, world.platform("web1", "web2", "web3", **options), "web1", "web2", "web3")
    world.platform("web1", **options).teardown()
    assert (world.vmids(), world.volumes(), world.uploads()) == ([], set(), set())


def test_a_removal_that_was_refused_is_taken_back(world: World) -> None:
    """It was asked for by an earlier version, or of clones that the token may not see."""
    stage(world, world.platform("web1", **CLONE))
    (template,) = [vmid for vmid in world.vmids() if world.config(vmid).get("template")]
    path = f"/nodes/pve1/qemu/{template}/config"
    world.call("POST", path, delete="sata0", force=1)
    world.settle()
    assert "sata0" not in world.config(template)
    stage(world, world.platform("web1", "web2", **CLONE))
    assert "sata0" in world.config(template) and len(world.vmids()) == 3


def test_a_removal_that_is_refused_does_not_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(world, world.platform("web1", **CLONE))
    (template,) = [vmid for vmid in world.vmids() if world.config(vmid).get("template")]
    readable = world.server.cluster.volumes.readable

    def hide(user: t.Any, node: str, volume: str) -> bool:
        return "base-" not in volume and readable(user, node, volume)

    monkeypatch.setattr(world.server.cluster.volumes, "readable", hide)
    world.platform("web1", **CLONE).teardown()
    assert "sata0" in world.config(template)


# -- what starts by itself -------------------------------------------------------------------------------------------


def test_only_verified_systems_start_with_their_node(world: World) -> None:
    stage(world, world.platform("web1"), **DATA)
    node_boots(world)
    vmid = world.vmid()
    assert not world.running(vmid) and "net0" not in str(world.config(vmid).get("boot"))
    platform = world.platform("web1")
    world.deploy(platform, "one", **DATA)
    assert not world.config(vmid).get("onboot")
    platform.revert(platform.deployment.nodes, world.tell)  # it was never verified
    node_boots(world)
    assert not world.running(vmid)
    platform = world.platform("web1")
    world.deploy(platform, "one", **DATA)
    world.finish(platform, "one")
    node_boots(world)
    assert world.running(vmid)
    remove(world, world.platform("web1"), "web1")
    node_boots(world)
    config = world.config(vmid)
    assert not world.running(vmid) and "net0" not in str(config.get("boot")) and "serial=data" in config["virtio1"]
    platform = world.platform("web1")
    world.deploy(platform, "one", **DATA)
    world.finish(platform, "one")
    assert world.config(vmid)["onboot"] == 1 and world.config(vmid)["boot"] == "order=virtio0"


def test_a_vm_that_earlier_versions_made_and_that_was_never_verified(world: World) -> None:
    platform = world.platform("web1")
    world.deploy(platform, "one")
    vmid = world.vmid()
    world.call("PUT", f"/nodes/pve1/qemu/{vmid}/config", onboot=1)
    platform = world.platform("web1")
    platform.revert(platform.deployment.nodes, world.tell)
    node_boots(world)
    assert not world.running(vmid)


def test_onboot_follows_the_file_without_a_new_start(world: World) -> None:
    platform = world.platform("web1", onboot=False)
    world.deploy(platform, "one")
    world.finish(platform, "one")
    assert not world.config(world.vmid()).get("onboot")
    platform = world.platform("web1")
    seen = world.observed(platform)["web1"]
    assert seen.leftovers and not seen.differs
    world.finish(platform, "one")
    assert world.config(world.vmid())["onboot"] == 1
    assert not world.observed(world.platform("web1"))["web1"].leftovers


# -- destroy ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, CLONE], ids=["import", "clone"])
def test_what_was_only_staged_is_removed(world: World, options: dict[str, t.Any]) -> None:
    stage(world, world.platform(**options), **DATA)
    assert len(world.vmids()) >= 2
    seen = world.observed(world.platform(**options))
    assert {(one.state, one.leftovers) for one in seen.values()} == {("absent", True)}
    outcomes = remove(world, world.platform(**options), "web1", "web2")
    assert all(outcome.changed and "only staged" in outcome.message for outcome in outcomes.values()), outcomes
    world.platform(**options).teardown()
    assert (world.vmids(), world.volumes(), world.uploads()) == ([], set(), set())


def test_what_a_node_left_is_no_leftover(world: World) -> None:
    platform = world.platform("web1")
    world.deploy(platform, "one", **DATA)
    world.finish(platform, "one")
    remove(world, world.platform("web1"), "web1")
    seen = world.observed(world.platform("web1"))["web1"]
    assert (seen.state, seen.leftovers) == ("absent", False)
    stage(world, world.platform("web1"), **DATA)
    assert world.observed(world.platform("web1"))["web1"].leftovers
    remove(world, world.platform("web1"), "web1")  # data stay
    assert not world.observed(world.platform("web1"))["web1"].leftovers
    assert len(world.volumes()) == 1


# -- networks --------------------------------------------------------------------------------------------------------


def test_a_bridge_that_is_missing_is_found_before_anything_is_made(cluster_of: Cluster) -> None:
    world = cluster_of(bridges={"pve1": ["vmbr0", "vmbr1"]})
    platform = world.platform("web1", networks=["bridge=vmbr7,tag=20"])
    with pytest.raises(ComposeError, match=r"networks .* bridge 'vmbr7'.* pve1 has: vmbr0, vmbr1"):
        refuse(platform.check(platform.deployment.nodes))
    assert world.vmids() == []


def test_a_vm_is_made_where_its_bridges_are(cluster_of: Cluster) -> None:
    world = cluster_of(nodes=["pve1", "pve2"], bridges={"pve2": ["vmbr0", "vmbr1"]})
    platform = world.platform("web1", "web2", networks=["bridge=vmbr0", "bridge=vmbr1"])
    world.deploy(platform, "one")
    assert set(world.server.cluster.files.find().values()) == {"pve2"}
    platform = world.platform("web1", networks=["bridge=vmbr1"], target_node="pve1")
    refuse(platform.check(platform.deployment.nodes))  # it is on pve2 already
    platform = world.platform("web3", networks=["bridge=vmbr1"], target_node="pve1")
    with pytest.raises(ComposeError, match=r"bridge 'vmbr1'.* pve1 has: vmbr0"):
        refuse(platform.check(platform.deployment.nodes))


def test_networks_of_a_vm_that_was_made_follow_the_file(cluster_of: Cluster) -> None:
    world = cluster_of(bridges={"pve1": ["vmbr0", "vmbr1", "vmbr2"]})
    platform = world.platform("web1", networks=["bridge=vmbr1", "bridge=vmbr2"])
    world.deploy(platform, "one")
    world.finish(platform, "one")
    vmid = world.vmid()
    before = world.config(vmid)
    assert world.observed(world.platform("web1", networks=["bridge=vmbr1", "bridge=vmbr2"]))["web1"].differs == ()
    for networks, differs in (
        (["bridge=vmbr0,tag=20"], ("net0 bridge=vmbr1 → bridge=vmbr0,tag=20", "net1 bridge=vmbr2 → none")),
        (["tag=20,bridge=vmbr0", "bridge=vmbr2"], ("net1 none → bridge=vmbr2",)),
    ):
        platform = world.platform("web1", networks=networks)
        assert world.observed(platform)["web1"].differs == differs
        world.deploy(platform, "one")
        assert world.observed(world.platform("web1", networks=networks))["web1"].differs == ()
    config = world.config(vmid)
    assert config["net0"].partition(",")[0] == before["net0"].partition(",")[0]  # its address stays
    platform = world.platform("web1", networks=["bridge=vmbr9"])
    with pytest.raises(ComposeError, match=r"bridge 'vmbr9'"):
        refuse(platform.check(platform.deployment.nodes))


@pytest.mark.parametrize("identity", ["one", "two"])
def test_a_revert_brings_networks_and_memory_back(world: World, identity: str) -> None:
    """With others, the last verified image could not be reached, or would not start."""
    platform = world.platform("web1", networks=["bridge=vmbr0,tag=20", "bridge=vmbr0"])
    world.deploy(platform, "one")
    world.finish(platform, "one")
    vmid = world.vmid()
    keys = ("net0", "net1", "net2", "memory", "cores")
    before = {key: world.config(vmid).get(key) for key in keys}
    other = {"networks": ["bridge=vmbr0,tag=21"], "memory": 4096}
    for more in ({}, {"cpus": 2}):  # a second try, before anything was verified
        world.deploy(world.platform("web1", **other, **more), identity)
        assert {key: world.config(vmid).get(key) for key in keys} != before
    platform = world.platform("web1", **other)
    assert platform.revert(platform.deployment.nodes, world.tell)["web1"].changed
    assert {key: world.config(vmid).get(key) for key in keys} == before and world.running(vmid)
    assert not platform.revert(platform.deployment.nodes, world.tell)["web1"].changed
    world.deploy(platform, identity)
    world.finish(platform, identity)
    platform = world.platform("web1", networks=["bridge=vmbr0,tag=22"])
    world.deploy(platform, identity)
    platform.revert(platform.deployment.nodes, world.tell)
    assert ",tag=21" in world.config(vmid)["net0"] and "net1" not in world.config(vmid)


def test_networks_of_an_adopted_vm_are_its_own(cluster_of: Cluster) -> None:
    world = cluster_of(bridges={"pve1": ["vmbr1"]})
    world.call(
        "POST", "/nodes/pve1/qemu", vmid=300, name="web1", scsi0="local:1,format=qcow2", net0="e1000,bridge=vmbr1"
    )
    world.settle()
    platform = world.platform("web1", vmid=300)
    before = world.config(300)["net0"]
    world.deploy(platform, "one")
    world.finish(platform, "one")
    seen = world.observed(world.platform("web1", vmid=300, networks=["bridge=vmbr0"]))["web1"]
    assert seen.differs == () and world.config(300)["net0"] == before


# -- data disks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, CLONE], ids=["import", "clone"])
def test_data_disks_are_made_by_a_task_before_the_switch(world: World, options: dict[str, t.Any]) -> None:
    volumes = {f"data{number}": Volume(f"/data{number}", 16) for number in range(7)}  # more than there are slots
    platform = world.platform("web1", **options)
    stage(world, platform, **volumes)
    calls = len(world.calls())
    platform = world.platform("web1", **options)
    outcome = platform.switch(world.targets(platform, "one", **volumes), world.tell)["web1"]
    assert outcome.ok, outcome
    assert not [call for call in world.calls()[calls:] if call.startswith("POST") and "/config" in call]
    config = world.config(world.vmid())
    assert {name for name in volumes if any(f"serial={name}" in str(value) for value in config.values())} == {*volumes}
    world.finish(platform, "one")
    assert world.volumes() == world.named() and len(own(world)) == 9
    remove(world, world.platform("web1", **options), "web1")
    assert len(own(world)) == 7
    stage(world, world.platform("web1", **options), **volumes)
    assert len(own(world)) == 9  # none is made anew


def test_a_large_data_disk_takes_its_time(cluster_of: Cluster) -> None:
    """A synchronous call would end with 596, and hold the VM's lock."""
    world = cluster_of(allocate_seconds=50)
    platform = world.platform("web1")
    large = {"data": Volume("/data", 2 << 20)}
    world.deploy(platform, "one", **large)
    world.finish(platform, "one")
    assert "size=2T" in str(world.config(world.vmid()))
    platform = world.platform("web1")
    world.deploy(platform, "two", **large, more=Volume("/more", 1 << 20))  # to a VM that runs
    world.finish(platform, "two")
    assert world.volumes() == world.named()


def test_a_data_disk_that_was_staged_too_small(world: World) -> None:
    platform = world.platform("web1")
    stage(world, platform, data=Volume("/data", 16))
    world.image("two", data=Volume("/data", 64))
    world.deploy(platform, "two", data=Volume("/data", 64))
    world.finish(platform, "two")
    assert "size=64M" in str(world.config(world.vmid())) and world.volumes() == world.named()


def test_a_change_that_was_answered_with_596_and_made(world: World) -> None:
    world.faults({"kind": "http", "method": "PUT", "path": "/config$", "status": 596, "message": "x", "answer": True})
    platform = world.platform("web1")
    world.deploy(platform, "one", **DATA)
    world.finish(platform, "one")
    assert world.running(world.vmid())


@pytest.mark.parametrize("staging", ["import", "clone"])
def test_btrfs(cluster_of: Cluster, staging: str) -> None:
    btrfs = {"type": "btrfs", "path": "/srv/fast", "content": CONTENT}
    world = cluster_of(storages={**STORAGES, "fast": btrfs})
    for identity in ("one", "two"):
        platform = world.platform(storage="fast", staging=staging, snapshot="vm")
        world.deploy(platform, identity, **DATA)
        world.finish(platform, identity)
    volumes = world.volumes()
    assert volumes == world.named()
    assert {one.rpartition(".")[2] for one in volumes if one.startswith("fast:")} == {"raw"}


# -- tags ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audit", [True, False])
def test_restricted_tags_are_told(world: World, audit: bool) -> None:
    world.call("PUT", "/cluster/options", **{"user-tag-access": "user-allow=list,user-allow-list=mine"})
    world.call("POST", "/access/users", userid="deploy@pve")
    for path in ("/vms", "/storage", "/sdn", "/pool"):
        world.call("PUT", "/access/acl", path=path, users="deploy@pve", roles="Administrator")
    if audit:
        world.call("PUT", "/access/acl", path="/", users="deploy@pve", roles="PVEAuditor")
    secret = world.call("POST", "/access/users/deploy@pve/token/all", privsep=0)["value"]
    deployment = world.deployment("web1")
    credentials = {**deployment.credentials, "token_id": "deploy@pve!all", "token_secret": secret}
    platform = Proxmox(replace(deployment, credentials=credentials), Progress(str(world.directory / "progress")))
    if audit:
        with pytest.raises(ComposeError, match="token deploy@pve!all may not tag VMs: the datacenter restricts"):
            refuse(platform.check(platform.deployment.nodes))
    else:
        refuse(platform.check(platform.deployment.nodes))
        with pytest.raises(ComposeError, match=r"for modifying tag .* \(the datacenter restricts .* user-tag-access"):
            platform.stage(world.targets(platform, "one"))
    assert world.vmids() == []


# -- while it is waited for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 10])
def test_a_vm_that_has_ended_is_known_at_once(cluster_of: Cluster, lag: int) -> None:
    world = cluster_of(resources_seconds=lag)
    platform = world.platform()
    world.deploy(platform, "one")
    assert platform.lost(platform.deployment.nodes) == {}  # whatever the list of VMs still says
    time.sleep(15 * world.server.cluster.clock.pace)
    calls = len(world.calls())
    assert platform.lost(platform.deployment.nodes) == {}
    assert len(world.calls()) == calls + 1  # however many nodes there are
    vmid = world.vmid("web2")
    world.server.cluster.guests.forget(vmid)  # its guest powers off
    time.sleep(15 * world.server.cluster.clock.pace)
    lost = platform.lost(platform.deployment.nodes)
    assert set(lost) == {"web2"} and lost["web2"].certain
    assert f"its VM is off: it was shut down, or ended by itself (VM {vmid} on pve1)" in lost["web2"].why
