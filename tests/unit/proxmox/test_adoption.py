"""VMs and data that belong to somebody else: taken over only where somebody said so, and left as they were."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.ownership import DataVolume, Owner
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import World

DATA = {"data": Volume("/data", 16)}


def existing(world: World, name: str = "mailserver", *, running: bool = True, **more: t.Any) -> dict[str, t.Any]:
    """VM 500 of somebody else, with a system and data; its configuration."""
    disks = {"scsi0": "local:1,format=qcow2", "scsi1": "local:1,format=qcow2,serial=mail"}
    world.call("POST", "/nodes/pve1/qemu", vmid=500, name=name, boot="order=scsi0", **disks, **more)
    world.settle()
    if running:
        world.call("POST", "/nodes/pve1/qemu/500/status/start")
        world.settle()
    return world.config(500)


@pytest.mark.parametrize("running", [True, False])
def test_a_vm_of_somebody_else_is_not_taken_over(world: World, running: bool) -> None:
    before = existing(world, running=running)
    platform = world.platform("web1", vmid=500)
    state = "running" if running else "stopped"
    words = f'adopts VM 500 "mailserver" on pve1 \\({state}, not of this deployment\\): refused, .* adopt: true'
    with pytest.raises(ComposeError, match=words) as told:
        refuse(platform.check(platform.deployment.nodes))
    assert told.value.node == "web1"
    assert world.config(500) == before and world.running(500) == running
    platform = world.platform("web1", vmid=500, adopt=True)
    refuse(platform.check(platform.deployment.nodes))
    seen = world.observed(platform)["web1"]
    assert seen.differs == (f'adopts VM 500 "mailserver" on pve1 ({state}, not of this deployment)',)
    world.deploy(platform, "one")
    assert not world.observed(world.platform("web1", vmid=500))["web1"].differs
    platform = world.platform("web1", vmid=500)
    refuse(platform.check(platform.deployment.nodes))  # it is the node now


@pytest.mark.parametrize("name", ["web1", "WEB1"])
def test_the_same_name_is_consent(world: World, name: str) -> None:
    existing(world, name)
    platform = world.platform("web1", vmid=500)
    refuse(platform.check(platform.deployment.nodes))
    assert world.observed(platform)["web1"].differs[0].startswith(f'adopts VM 500 "{name}" on pve1 (running')


def test_only_staging_touches_nothing_that_runs(world: World) -> None:
    before = existing(world)
    platform = world.platform("web1", vmid=500, adopt=True)
    platform.stage(world.targets(platform, "one"))
    seen = world.observed(world.platform("web1", vmid=500, adopt=True))["web1"]
    assert seen.state == "running" and seen.differs[0].startswith("adopts VM 500")
    assert world.platform("web1", vmid=500, adopt=True).remove(["web1"], data=True, tell=world.tell)["web1"].changed
    after = world.config(500)
    assert world.running(500) and {key: after[key] for key in ("scsi0", "scsi1", "boot", "name")} == {
        key: before[key] for key in ("scsi0", "scsi1", "boot", "name")
    }
    assert not after.get("tags", "").strip() and world.volumes() == world.named()


@pytest.mark.parametrize("running", [True, False])
def test_what_was_off_is_not_started_by_the_way_back(world: World, running: bool) -> None:
    existing(world, running=running)
    platform = world.platform("web1", vmid=500, adopt=True)
    world.deploy(platform, "one")
    outcome = platform.revert(platform.deployment.nodes, world.tell)["web1"]
    assert outcome.changed and world.running(500) == running
    words = "boots the disk that it had before" if running else "is off, as it was, with the disk that it had"
    assert outcome.message == f"VM 500 {words}"
    seen = world.observed(world.platform("web1", vmid=500))["web1"]
    assert (seen.state, seen.identity) == ("running" if running else "stopped", None)
    world.platform("web1", vmid=500).remove(["web1"], data=True, tell=world.tell)
    assert world.running(500) == running  # nothing of ours runs there


def test_a_number_that_something_else_has(world: World) -> None:
    existing(world)
    world.call("POST", "/access/users", userid="deploy@pve")
    world.call("POST", "/access/roles", roleid="Most", privs="VM.Audit VM.Allocate VM.PowerMgmt VM.Config.Disk")
    for path in ("/storage", "/sdn", "/pool"):
        world.call("PUT", "/access/acl", path=path, users="deploy@pve", roles="Administrator")
    world.call("PUT", "/access/acl", path="/vms", users="deploy@pve", roles="Administrator")
    world.call("PUT", "/access/acl", path="/vms/500", users="deploy@pve", roles="NoAccess")
    secret = world.call("POST", "/access/users/deploy@pve/token/all", privsep=0)["value"]
    deployment = world.deployment("web1", vmid=500)
    credentials = {**deployment.credentials, "token_id": "deploy@pve!all", "token_secret": secret}
    mine = replace(deployment, credentials=credentials)
    with pytest.raises(ComposeError, match="vmid 500 is taken: by a container, or by a VM that token deploy@pve!all"):
        refuse(Proxmox(mine, Progress(str(world.directory / "progress"))).check(mine.nodes))


def test_a_template_is_no_node(world: World) -> None:
    existing(world, "web1", running=False)
    world.call("POST", "/nodes/pve1/qemu/500/template")
    world.settle()
    platform = world.platform("web1", vmid=500)
    with pytest.raises(ComposeError, match="VM 500 is a template, which cannot be a node"):
        refuse(platform.check(platform.deployment.nodes))


# -- data --------------------------------------------------------------------------------------------------------------


def of(world: World, role: str = "web", composition: str = "shop", **more: t.Any) -> Proxmox:
    """The deployment with one node."""
    deployment = world.deployment("web1")
    nodes = tuple(replace(node, role=role) for node in deployment.nodes)
    changed = replace(deployment, nodes=nodes, composition_name=composition, **more)
    return Proxmox(changed, Progress(str(world.directory / "progress")))


@pytest.mark.parametrize("kept", [False, True], ids=["running", "destroyed, data kept"])
@pytest.mark.parametrize("other", [{"role": "db"}, {"composition": "lab"}])
def test_data_are_not_given_to_another_role_or_composition(world: World, kept: bool, other: dict[str, str]) -> None:
    platform = of(world)
    world.deploy(platform, "one", **DATA)
    world.finish(platform, "one")
    place = world.config(world.vmid())["virtio1"].partition(",")[0]
    owner = Owner("lab", "shop", "web", "web1")
    assert of(world).volumes(["web1", "gone"]) == {"web1": [DataVolume("data", place, owner)]}
    if kept:
        of(world).remove(["web1"], data=False, tell=world.tell)
        assert of(world).volumes(["web1"]) == {"web1": [DataVolume("data", place, owner)]}
    refuse(of(world).check(of(world).deployment.nodes))
    platform = of(world, **other)
    with pytest.raises(ComposeError, match="would get the data volume 'data' .* of role 'web' of composition 'shop'"):
        refuse(platform.check(platform.deployment.nodes))
    platform = of(world, **other, adopt_data=("web1",))
    world.deploy(platform, "two", **DATA)
    assert world.config(world.vmid())["virtio1"].partition(",")[0] == place
    platform = of(world, **other)
    refuse(platform.check(platform.deployment.nodes))  # it is theirs now
    with pytest.raises(ComposeError, match="would get the data volume"):
        refuse(of(world).check(of(world).deployment.nodes))


def test_a_vm_without_data_may_change_its_role(world: World) -> None:
    platform = of(world)
    world.deploy(platform, "one")
    world.finish(platform, "one")
    platform = of(world, role="db")
    world.deploy(platform, "two")


def test_data_that_nobody_is_recorded_for_are_the_nodes(world: World) -> None:
    """They were made by an earlier version."""
    platform = of(world)
    world.deploy(platform, "one", **DATA)
    vmid = world.vmid()
    old = world.config(vmid)["description"].replace('"composition": "shop", ', "").replace(', "role": "web"', "")
    world.call("PUT", f"/nodes/pve1/qemu/{vmid}/config", description=old)
    platform = of(world, role="db")
    refuse(platform.check(platform.deployment.nodes))
