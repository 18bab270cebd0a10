"""VMs that a test script switches off and on."""

from __future__ import annotations

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError

from .conftest import World


def test_vms_are_switched(world: World) -> None:
    platform = world.platform("web1", "web2")
    world.deploy(platform, "a")
    one, two = platform.deployment.nodes
    boots, before = world.config(world.vmid("web1")), world.config(world.vmid("web2"))
    assert platform.is_on(one)
    platform.turn_off(one, hard=True)
    platform.turn_off(one, hard=True)
    platform.turn_off(two, hard=False)
    assert not platform.is_on(one) and not platform.is_on(two)
    assert not world.running(world.vmid("web1"))
    platform.turn_on(one)
    platform.turn_on(one)
    platform.turn_on(two)
    assert platform.is_on(one) and platform.is_on(two)
    assert world.config(world.vmid("web1")) == boots and world.config(world.vmid("web2")) == before


def test_a_node_without_a_vm_cannot_be_switched(world: World) -> None:
    platform = world.platform("web1")
    with pytest.raises(ComposeError, match="web1: has no VM"):
        platform.turn_off(platform.deployment.nodes[0], hard=True)
