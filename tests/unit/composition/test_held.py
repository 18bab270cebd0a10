"""Which addresses nodes have, whatever roles and names come and go."""

from __future__ import annotations

import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.held import HeldAddresses
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node


def deployment(
    tmp_path: Path, network: str = "10.87.0.0/24", given: t.Collection[str] = (), **nodes: str
) -> Deployment:
    """Nodes with the last part of the address that is proposed for them, or given."""
    prefix = network.rpartition(".")[0]
    members = tuple(
        Node(name, "web", index, f"{prefix}.{last}", address_given=name in given)
        for index, (name, last) in enumerate(nodes.items(), 1)
    )
    return Deployment("lab", "/c", "stub", "rack", members, network=network, state=str(tmp_path))


def settled(wanted: Deployment) -> dict[str, str]:
    """Node → last part of the address that it is to have."""
    found = HeldAddresses.read(wanted.state).settle(wanted)
    return {node.name: str(node.address).rpartition(".")[2] for node in found.nodes}


def verified(wanted: Deployment) -> None:
    """A run that deploys it and retires all else."""
    held = HeldAddresses.read(wanted.state)
    wanted = held.settle(wanted)
    held.start(wanted.nodes)
    held.commit(wanted.nodes)
    held.forget(set(held.names()) - {node.name for node in wanted.nodes})


def test_a_name_that_leaves_moves_nobody(tmp_path: Path) -> None:
    verified(deployment(tmp_path, a="1", b="2", c="3"))
    assert settled(deployment(tmp_path, a="1", c="2")) == {"a": "1", "c": "3"}


def test_another_order_moves_nobody(tmp_path: Path) -> None:
    verified(deployment(tmp_path, a="1", b="2"))
    assert settled(deployment(tmp_path, b="1", a="2")) == {"b": "2", "a": "1"}


def test_another_division_of_the_network_moves_nobody(tmp_path: Path) -> None:
    verified(deployment(tmp_path, alpha="1", beta="129"))
    assert settled(deployment(tmp_path, aa="1", alpha="86", beta="171")) == {"aa": "2", "alpha": "1", "beta": "129"}


def test_a_new_node_gets_no_address_of_one_that_still_exists(tmp_path: Path) -> None:
    verified(deployment(tmp_path, a="1", b="2"))
    assert settled(deployment(tmp_path, a="1", c="2")) == {"a": "1", "c": "3"}
    verified(deployment(tmp_path, a="1"))
    assert settled(deployment(tmp_path, a="1", c="2")) == {"a": "1", "c": "2"}


def test_the_same_is_found_again_by_each_step(tmp_path: Path) -> None:
    verified(deployment(tmp_path, a="1", b="2", c="3"))
    wanted = deployment(tmp_path, a="1", c="2", d="3", e="4")
    before = settled(wanted)
    held = HeldAddresses.read(wanted.state)
    held.start(held.settle(wanted).nodes)
    assert settled(wanted) == before == {"a": "1", "c": "3", "d": "5", "e": "4"}


def test_an_address_that_is_given_wins_over_a_proposal(tmp_path: Path) -> None:
    assert settled(deployment(tmp_path, given=["x"], a="1", b="2", x="1")) == {"a": "3", "b": "2", "x": "1"}


def test_the_network_and_the_gateway_are_given_to_nobody(tmp_path: Path) -> None:
    network = "10.87.0.0/29"
    verified(deployment(tmp_path, network, a="1", b="2", c="3", d="4", gone="5"))
    assert settled(deployment(tmp_path, network, a="1", b="2", c="3", d="4"))["d"] == "4"
    with pytest.raises(InputError, match=r"node 'e': 10\.87\.0\.0/29 has no free address"):
        settled(deployment(tmp_path, network, a="1", b="2", c="3", d="4", e="5"))


def test_another_network_moves_all(tmp_path: Path) -> None:
    verified(deployment(tmp_path, a="7"))
    assert settled(deployment(tmp_path, "10.99.0.0/24", a="1")) == {"a": "1"}


def test_what_was_moved_and_taken_back_has_its_old_address(tmp_path: Path) -> None:
    verified(deployment(tmp_path, a="1", b="2"))
    moved = deployment(tmp_path, given=["a"], a="9", b="2")
    held = HeldAddresses.read(moved.state)
    held.start(held.settle(moved).nodes)
    # Until it is verified or back, both are its own.
    assert settled(deployment(tmp_path, a="1", b="2", c="1", d="9")) == {"a": "9", "b": "2", "c": "3", "d": "10"}
    held.revert(["a", "b"])
    assert settled(deployment(tmp_path, a="9", b="2", d="9")) == {"a": "1", "b": "2", "d": "9"}


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "addresses.json").write_text("")
    with pytest.raises(InputError, match=r"addresses\.json.* remove it"):
        HeldAddresses.read(str(tmp_path))


def refused(wanted: Deployment, waves: list[list[str]], stays: t.Collection[str]) -> str:
    held = HeldAddresses.read(wanted.state)
    try:
        held.require_free(held.settle(wanted), waves, stays)
    except InputError as error:
        return str(error)
    return ""


def test_an_address_that_another_keeps_is_refused(tmp_path: Path) -> None:
    verified(deployment(tmp_path, a="1", b="2"))
    wanted = deployment(tmp_path, given=["c"], a="1", b="2", c="2")
    assert "node 'c' is to have the address 10.87.0.2 of node 'b', but 'b' keeps it" in refused(wanted, [["c"]], "ab")


def test_that_of_a_node_that_goes_is_free_if_it_goes_in_this_run(tmp_path: Path) -> None:
    verified(deployment(tmp_path, a="1", b="2"))
    wanted = deployment(tmp_path, given=["c"], a="1", c="2")
    assert "this run neither moves nor retires 'b'" in refused(wanted, [["c"]], {"a", "b"})
    assert refused(wanted, [["c"]], {"a"}) == ""
    assert HeldAddresses.read(wanted.state).holders(wanted.nodes) == {"c": "b"}


def test_two_may_swap_if_they_are_down_together(tmp_path: Path) -> None:
    verified(deployment(tmp_path, a="1", b="2"))
    wanted = deployment(tmp_path, given=["a", "b"], a="2", b="1")
    assert refused(wanted, [["a", "b"]], {"a", "b"}) == ""
    assert "at_most keeps the two from being down together" in refused(wanted, [["a"], ["b"]], {"a", "b"})
    assert "neither moves nor retires 'b'" in refused(wanted, [["a"]], {"a", "b"})
    # Killed when one was started already: the other follows.
    held = HeldAddresses.read(wanted.state)
    held.start(wanted.nodes)
    assert refused(wanted, [["b"]], {"a", "b"}) == ""


def test_many_nodes_are_settled_in_no_time(tmp_path: Path) -> None:
    many = tuple(Node(f"n{index}", "web", index, f"10.{index >> 8 & 255}.{index & 255}.7") for index in range(20000))
    wanted = replace(deployment(tmp_path), network="10.0.0.0/8", nodes=many)
    held = HeldAddresses.read(wanted.state)
    held.start(wanted.nodes)
    assert held.settle(replace(wanted, nodes=many[::-1])).nodes == many[::-1]
    others = tuple(replace(node, name=f"m{node.name}") for node in many)
    found = {node.address for node in held.settle(replace(wanted, nodes=(*many, *others))).nodes}
    assert len(found) == 2 * len(many)
