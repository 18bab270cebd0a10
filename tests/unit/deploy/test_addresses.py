# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses over whole runs: kept by who exists, down before they are used again, back after a run that failed."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.removal import destroy
from ansible_collections.immutable.compose.plugins.module_utils.describe.held import HeldAddresses
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Node

from .conftest import Site


def wanted(rack: Site, *names: str, **given: str) -> None:
    """The deployment has these nodes now, proposed in this order, with these addresses given."""
    rack.set(
        nodes=tuple(
            Node(name, "web", index, f"10.87.0.{given.get(name, index)}", address_given=name in given)
            for index, name in enumerate(names, 1)
        )
    )
    rack.deployment = HeldAddresses.read(rack.deployment.state).settle(rack.deployment)  # as each step does


def addresses(rack: Site) -> dict[str, t.Any]:
    """Node → last part of the address that it runs with."""
    own = {name: machine.target.node.address for name, machine in sorted(rack.machines.items()) if machine.running}
    return {name: str(address).rpartition(".")[2] for name, address in own.items()}


def test_who_stays_keeps_its_address_and_who_is_new_gets_one_that_nobody_has(rack: Site) -> None:
    wanted(rack, "a", "b", "c")
    rack.deploy()
    wanted(rack, "c", "new", "a")
    done = rack.deploy()
    assert addresses(rack) == {"a": "1", "c": "3", "new": "4"}  # 2 was still that of b
    assert done["settle"]["retired"] == ["b"]
    wanted(rack, "c", "new", "a", "later")
    rack.deploy()
    assert addresses(rack)["later"] == "5"


def test_a_retired_node_goes_down_before_its_address_is_used_again(rack: Site) -> None:
    wanted(rack, "a", "b")
    rack.deploy()
    wanted(rack, "a", "c", c="2")
    rack.deploy()
    assert [call for call in rack.called("remove", "switch") if len(call) > 1][:2] == [("remove", "b"), ("switch", "c")]
    assert addresses(rack) == {"a": "1", "c": "2"}


def test_the_address_of_one_whose_run_ended_after_it_was_retired_is_free(
    rack: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted(rack, "a", "b", "c")
    rack.deploy()
    wanted(rack, "a", "b")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr(HeldAddresses, "forget", fail)
        rack.deploy()
    assert set(rack.machines) == {"a", "b"}
    rack.deploy("a")  # not all that there is
    assert HeldAddresses.read(rack.deployment.state).names() == ["a", "b", "c"]
    rack.deploy()
    assert HeldAddresses.read(rack.deployment.state).names() == ["a", "b"]


def fail(_addresses: HeldAddresses, names: t.Iterable[str]) -> None:
    if list(names):
        raise OSError("the disk is full")


def test_an_address_of_one_that_this_run_leaves_alone_is_refused_by_the_plan(rack: Site) -> None:
    wanted(rack, "a", "b")
    rack.deploy()
    wanted(rack, "a", "c", c="2")
    with pytest.raises(InputError, match="this run neither moves nor retires 'b'"):
        rack.deploy("c")
    wanted(rack, "a", "b", "c", c="2")
    with pytest.raises(InputError, match="'b' keeps it as long as nobody gives it another"):
        rack.deploy()
    assert addresses(rack) == {"a": "1", "b": "2"}


def test_after_a_run_that_failed_the_address_is_the_old_one(rack: Site) -> None:
    wanted(rack, "a", "b")
    rack.deploy()
    rack.means["web"] = "bad"
    rack.ill.add("bad")
    wanted(rack, "a", "b", a="9")
    rack.deploy()
    assert rack.called("revert")
    rack.means["web"] = "v1"
    wanted(rack, "a", "b", "new", new="9")
    rack.deploy()
    assert addresses(rack) == {"a": "1", "b": "2", "new": "9"}


def test_who_is_destroyed_is_forgotten(rack: Site) -> None:
    wanted(rack, "a", "b")
    rack.deploy()
    destroy(rack.engine("b"), data=False)
    assert HeldAddresses.read(rack.deployment.state).names() == ["a"]
