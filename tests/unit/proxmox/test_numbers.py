"""Numbers of VMs that are made at the same time."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError

from .conftest import World


def test_clones_that_are_made_at_the_same_time(cluster_of: t.Callable[..., World]) -> None:
    """A clone has its number only when its task has begun, and until then ``nextid`` tells it again."""
    world = cluster_of(task_seconds={"qmclone": 20})
    platform = world.platform("web1", "web2", "web3", storage="ceph", staging="clone")
    world.deploy(platform, "one")
    assert len(world.vmids()) == 4  # with the template
    assert {one.identity for one in world.observed(platform).values()} == {"one"}


def test_a_clone_under_a_number_that_somebody_was_faster_to_take(cluster_of: t.Callable[..., World]) -> None:
    """The VM that is there in its place is not removed."""
    world = cluster_of(task_seconds={"qmclone": 20})
    options = {"storage": "ceph", "staging": "clone"}
    world.deploy(world.platform("web1", **options), "one")
    number = max(world.vmids()) + 2  # after the template of the new image
    other = ["POST", "/nodes/pve1/qemu", {"vmid": number, "name": "other"}]
    world.faults({"kind": "call", "do": other, "on": {"path": "/tasks/.*:qmclone:.*/status$"}})
    platform = world.platform("web1", **options)
    with pytest.raises(ComposeError, match=r"clone of template .* failed: .*already exists"):
        platform.stage(world.targets(platform, "two"))
    assert world.config(number)["name"] == "other"
    world.deploy(world.platform("web1", **options), "two")
    assert world.config(number)["name"] == "other"


def test_a_template_is_known_before_the_list_of_vms_tells_so(cluster_of: t.Callable[..., World]) -> None:
    """What the list says of states and the like is up to ten seconds old."""
    world = cluster_of(resources_seconds=100_000)
    options = {"storage": "ceph", "staging": "clone"}
    for names in (["web1"], ["web1", "web2"]):
        world.deploy(world.platform(*names, **options), "one")
        world.platform(*names, **options).commit(world.platform(*names, **options).deployment.nodes, 1)
    assert len(world.vmids()) == 3  # with one template
    before = len(world.calls())
    world.platform("web1", "web2", **options).prune(["one"])
    assert not [call for call in world.calls()[before:] if call.startswith("DELETE")]


def test_a_list_of_vms_stays_as_it_was_read(world: World) -> None:
    """Other threads make and remove VMs while one goes through it."""
    world.deploy(world.platform("web1"), "one")
    cluster = world.platform("web1").service.cluster
    listed = cluster.vms()
    (number,) = listed
    cluster.add(number + 1, "pve1", ["compose.lab"])
    cluster.forget(number)
    assert list(listed) == [number] and list(cluster.vms()) == [number + 1]
