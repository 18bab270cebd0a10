"""Clusters of several nodes: where VMs are made, what is not reachable, and what high availability takes care of."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.waves import out_of_service
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox import client

from .conftest import CONTENT, STORAGES, World

NODES = ["pve1", "pve2", "pve3"]
POOL = {"type": "lvmthin", "vgname": "vms", "thinpool": "data", "content": "images", "nodes": "pve2,pve3"}
Clusters = t.Callable[..., World]


def _refused(world: World, **options: t.Any) -> str:
    platform = world.platform("web1", **options)
    with pytest.raises(ComposeError) as error:
        refuse(platform.check(platform.deployment.nodes))
    assert world.vmids() == []
    return str(error.value)


def test_vms_are_made_where_their_storage_is(cluster_of: Clusters) -> None:
    world = cluster_of(nodes=NODES, storages={**STORAGES, "thin": POOL})
    platform = world.platform("web1", "web2", storage="thin", staging="auto")
    world.deploy(platform, "one")
    assert sorted(world.server.cluster.files.find()[world.vmid(name)] for name in ("web1", "web2")) == ["pve2", "pve3"]


def test_nodes_that_cannot_have_a_vm_are_refused(cluster_of: Clusters) -> None:
    world = cluster_of(nodes=NODES, storages={**STORAGES, "thin": POOL})
    expected = "web1: target_node is {!r}, expected a node that is on and has the storages 'thin' and 'local': {}"
    for node in ("pve1", "pve4"):
        assert _refused(world, storage="thin", target_node=node) == expected.format(node, "pve2, pve3")
    world.faults({"kind": "node", "node": "pve3"})
    assert _refused(world, storage="thin", target_node="pve3") == expected.format("pve3", "pve2")
    world.faults({"kind": "node", "node": "pve2"}, {"kind": "node", "node": "pve3"})
    assert _refused(world, storage="thin") == expected.format(None, "none")


def test_storages_that_cannot_have_disks_are_refused(cluster_of: Clusters) -> None:
    uploads = {"type": "dir", "path": "/var/lib/vz", "content": "import"}
    world = cluster_of(storages={"local": uploads, "off": {**uploads, "content": CONTENT, "disable": 1}})
    words = "web1: storage 'local' takes no disks of VMs; allow it: pvesm set local --content images,import"
    assert _refused(world, storage="local") == words
    assert _refused(world, storage="off").startswith(
        "web1: Proxmox has no storage 'off' that token root@pam!sim may see"
    )


def test_all_that_is_wrong_is_told_at_once(cluster_of: Clusters, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one look at what the cluster has, however many nodes have the same fault."""
    world = cluster_of(nodes=NODES, storages={**STORAGES, "thin": POOL})
    platform = world.platform(*(f"web{number}" for number in range(1, 10)))
    names = {1: {"storage": "tank"}, 2: {"storage": "tank"}, 3: {"storage": None}, 4: {"vmid": 700}, 5: {"vmid": 700}}
    options = {**names, 6: {"networks": ["bridge=vmbr9"]}, 7: {"networks": ["bridge=vmbr9"]}, 8: {"target_node": "no"}}
    nodes = [
        replace(node, options={**node.options, **options.get(number, {})})
        for number, node in enumerate(platform.deployment.nodes, 1)
    ]
    nodes[2] = replace(nodes[2], address=None)
    asked: list[str] = []
    really = client.Client.call

    def call(self: client.Client, verb: str, path: str, /, **params: t.Any) -> t.Any:
        asked.append(" ".join([verb, path, *map(str, params.values())]))
        return really(self, verb, path, **params)

    monkeypatch.setattr(client.Client, "call", call)
    found = [(problem.node, problem.key) for problem in platform.check(nodes)]
    assert found == [
        ("web3", "storage"),
        ("web3", "address"),
        ("web4", "vmid"),
        ("web5", "vmid"),
        ("web1", "storage"),
        ("web2", "storage"),
        ("web8", None),
        ("web6", "networks"),
        ("web7", "networks"),
    ]
    assert len(asked) == len(set(asked)), asked
    assert world.vmids() == []


def test_an_image_for_other_processors_is_refused(world: World) -> None:
    platform = world.platform("web1")
    (target,) = world.targets(platform, "one")
    other = replace(target, image=replace(target.image, architecture="arm64"))
    with pytest.raises(ComposeError, match="image one is for arm64, but virtual machines of Proxmox VE are amd64"):
        platform.stage([other])
    assert world.vmids() == []


def test_a_vm_that_lost_its_tag_is_not_made_again(world: World) -> None:
    world.deploy(world.platform("web1"), "one")
    vmid = world.vmid()
    tags = world.config(vmid)["tags"]
    world.call("PUT", f"/nodes/pve1/qemu/{vmid}/config", tags="mine")
    platform = world.platform("web1")
    with pytest.raises(ComposeError, match=f"VM {vmid} says in its description that it is this node; give it the tag"):
        refuse(platform.check(platform.deployment.nodes))
    world.call("PUT", f"/nodes/pve1/qemu/{vmid}/config", tags=tags)
    refuse(world.platform("web1").check(platform.deployment.nodes))


def test_a_node_that_is_off_holds_up_only_what_is_there(cluster_of: Clusters) -> None:
    """Others are deployed; nothing is removed, for a VM there may use it; a redundant node there counts as down."""
    world = cluster_of(nodes=NODES, storages=STORAGES)
    options = {"storage": "ceph", "staging": "clone"}
    names = ("web1", "web2")
    world.deploy(world.platform(*names, **options), "one")
    world.finish(world.platform(*names, **options), "one")
    homes = world.server.cluster.files.find()
    there = homes[world.vmid("web2")]
    world.call("POST", f"/nodes/{there}/qemu", vmid=500, name="other")
    world.settle()
    before = world.volumes()
    world.faults({"kind": "node", "node": there})
    platform = world.platform("web1", **options)  # as with --limit
    world.deploy(platform, "two")
    world.finish(platform, "two", release=2)
    seen = world.observed(world.platform("web1", **options))
    assert seen["web1"] == Seen("running", "two", "d1", "two", (), leftovers=True)
    assert out_of_service(seen, ["web1"]) == {"web2"}
    assert f"prune: nothing is removed as long as {there} is off" in (world.directory / "progress").read_text()
    outcome = world.platform("web1", **options).remove(["web1"], data=True, tell=world.tell)["web1"]
    assert outcome.message == f"remove, web1: {there} is off: VMs there may use disks of others; nothing is destroyed"
    world.faults()
    assert world.volumes() >= before
    world.deploy(world.platform(*names, **options), "two")
    world.finish(world.platform(*names, **options), "two", release=3)
    assert world.volumes() <= world.named() and not [one for one in world.volumes() - before if "unused" in one]
    assert world.observed(world.platform(*names, **options))["web1"].leftovers is False


# -- high availability -----------------------------------------------------------------------------------------------

RULE = {"rule": "left", "type": "node-affinity", "nodes": "pve1", "resources": "vm:700"}


@pytest.fixture
def managed(cluster_of: Clusters) -> World:
    """A cluster with a VM that a rule holds for."""
    world = cluster_of(ha_seconds=1)
    world.call("POST", "/nodes/pve1/qemu", vmid=700, name="other")
    world.settle()
    world.call("POST", "/cluster/ha/resources", sid="vm:700", state="stopped")
    world.call("POST", "/cluster/ha/rules", **RULE)
    return world


def _rule(world: World) -> str:
    (rule,) = world.call("GET", "/cluster/ha/rules")
    return str(rule["resources"])


def test_a_rule_holds_for_vms_once_they_are_verified(managed: World) -> None:
    options = {"ha": True, "ha_group": "left"}
    managed.deploy(managed.platform(**options), "one")
    assert _rule(managed) == "vm:700"
    managed.finish(managed.platform(**options), "one")
    vmids = sorted(managed.vmid(name) for name in ("web1", "web2"))
    assert _rule(managed) == ",".join(sorted(["vm:700", *(f"vm:{vmid}" for vmid in vmids)]))
    managed.platform(**options).commit(managed.platform(**options).deployment.nodes, 1)
    assert managed.calls().count("PUT /api2/json/cluster/ha/rules/left") == 1


def test_a_rule_that_does_not_exist(managed: World) -> None:
    platform = managed.platform(ha=True, ha_group="right")
    with pytest.raises(ComposeError, match="ha_group is 'right', expected a rule of node affinity of Proxmox: left"):
        refuse(platform.check(platform.deployment.nodes))


def test_a_vm_that_is_to_be_managed_from_now_on(managed: World) -> None:
    managed.deploy(managed.platform("web1"), "one")
    managed.finish(managed.platform("web1"), "one")
    platform = managed.platform("web1", ha=True)
    assert managed.observed(platform)["web1"].leftovers
    managed.finish(platform, "one")
    assert not managed.observed(managed.platform("web1", ha=True))["web1"].leftovers
