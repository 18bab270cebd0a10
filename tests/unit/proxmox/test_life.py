"""From the first deployment of a VM to its end."""

from __future__ import annotations

from ansible_collections.immutable.compose.plugins.module_utils.composition.model import Volume
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Observation

from .conftest import World


def test_a_life(world: World) -> None:
    platform = world.platform()
    assert world.observed(platform) == {"web1": Observation("absent"), "web2": Observation("absent")}
    world.deploy(platform, "one", data=Volume("/data", 16))
    platform = world.platform()
    assert world.observed(platform)["web1"] == Observation("running", "one", "d1", None, (), leftovers=True)
    world.finish(platform, "one")
    assert world.observed(world.platform())["web2"] == Observation("running", "one", "d1", "one")
    vmid = world.vmid()
    before = world.config(vmid)
    print(before)
    platform = world.platform()
    world.deploy(platform, "two", "d2", data=Volume("/data", 16))
    print(world.config(vmid))
    assert world.observed(platform)["web1"] == Observation("running", "two", "d2", "one", (), leftovers=True)
    outcomes = platform.revert(platform.deployment.nodes, world.tell)
    assert all(outcome.ok and outcome.changed for outcome in outcomes.values()), outcomes
    assert world.observed(platform)["web1"] == Observation("running", "one", "d1", "one", (), leftovers=True)
    platform.prune(["one"])
    print(world.config(vmid))
    assert world.volumes() == world.named()
    assert world.observed(platform)["web1"] == Observation("running", "one", "d1", "one")
