# SPDX-License-Identifier: GPL-3.0-or-later
"""``fold`` of a deployment file, by the real ``ansible-inventory``: which machines it means, and what is refused."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from .conftest import Listed, Site

MACHINES = """
name: cluster
roles: {node: [m1, m2], server: 0}
nodes: {m1: {variables: {rack: north}}, m2: {variables: {rack: 2, row: true}}}
"""


def folded(site: Site, more: str, machines: str = MACHINES, platform: str = "nspawn") -> Listed:
    """What is listed of a deployment that says more, beside one that has machines."""
    sources = [site.write(machines, file="10-cluster.compose.yml")]
    sources.append(site.write(f"\nname: site\nroles: {{node: [a, b], server: [c]}}\n{more}\n", file="20.compose.yml"))
    sources[1].write_text(sources[1].read_text().replace("platform: qemu", f"platform: {platform}"))
    return site.list(*sources)


def variables(listed: Listed) -> dict[str, t.Any]:
    found: dict[str, t.Any] = listed.data["deployment_site"]["vars"]
    return found


def test_what_nodes_are_folded_onto(site: Site) -> None:
    listed = folded(site, "fold: {onto: cluster, by: rack}\nnodes: {a: {options: {machine: m2}}}")
    assert variables(listed)["compose_fold"] == {
        "onto": "cluster",
        "state": str(site.directory.parent / "state/cluster"),
        "machines": {"m1": "north", "m2": "2"},
        "by": "rack",
        "place": "spread",
    }
    assert variables(listed)["compose_platform"] == "folded"
    assert "deployment_site" in listed.data["platform_folded"]["children"]
    assert listed.data["_meta"]["hostvars"]["a"]["compose_options"] == {"machine": "m2"}


def test_machines_are_told_apart_by_group_vars_as_well(site: Site) -> None:
    (site.directory / "group_vars").mkdir()
    (site.directory / "group_vars/role_node.yml").write_text("row: 7\n")
    Path(site.directory / "host_vars").mkdir()
    (site.directory / "host_vars/m2.yml").write_text("row: eight\n")
    listed = folded(site, "fold: {onto: cluster, by: row}", MACHINES.replace("row: true", "other: true"))
    assert variables(listed)["compose_fold"]["machines"] == {"m1": "7", "m2": "eight"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("fold: {onto: clutser}", "fold.onto is 'clutser', expected a deployment with nodes, of the inventory sources"),
        ("fold: {onto: clutser}", "did you mean 'cluster'?"),
        ("fold: {onto: site}", "fold.onto is 'site', the deployment itself"),
        ("fold: {by: rack}", "fold.onto: invalid name None"),
        ("fold: cluster", "fold is 'cluster', expected a mapping"),
        ("fold: {onto: cluster, machine: m1}", "fold: 'machine' is not a key of 'fold'"),
        ("fold: {onto: cluster, by: rock}", "fold.by is 'rock', which machine 'm1' does not have"),
        ("fold: {onto: cluster, by: row}", "fold.by is 'row', which machine 'm1' does not have"),
        ("fold: {onto: cluster, place: heap}", "fold.place is 'heap', expected one of spread, pack"),
        (
            "fold: {onto: cluster}\nnodes: {a: {options: {machine: m3}}}",
            "'machine' of node 'a' is 'm3', expected a node",
        ),
        ("fold: {onto: cluster}\nnodes: {x: {options: {machine: m1}}}", "nodes: 'x' is not a node of the deployment"),
    ],
)
def test_what_cannot_be_is_refused(site: Site, more: str, why: str) -> None:
    assert why in folded(site, more).message


def test_a_variable_that_is_no_word_tells_no_machines_apart(site: Site) -> None:
    machines = MACHINES.replace("rack: north", "row: false")
    assert (
        "which machine 'm1' has no text or number in"
        in folded(site, "fold: {onto: cluster, by: row}", machines).message
    )


@pytest.mark.parametrize("platform", ["qemu", "kexec"])
def test_other_platforms_are_refused(site: Site, platform: str) -> None:
    message = folded(site, "fold: {onto: cluster}", platform=platform).message
    assert f"fold: nodes of platform '{platform}' cannot be folded, expected platform nspawn" in message


def test_the_platform_of_folded_nodes_is_not_named(site: Site) -> None:
    for more in ("", "fold: {onto: cluster}"):
        assert "platform is 'folded': expected another one" in folded(site, more, platform="folded").message


def test_nothing_is_folded_in_a_circle(site: Site) -> None:
    machines = f"{MACHINES}fold: {{onto: site}}\n"
    assert (
        "10-cluster.compose.yml: fold.onto is 'site', expected"
        in folded(site, "fold: {onto: cluster}", machines).message
    )


def test_nothing_is_folded_onto_what_is_folded(site: Site) -> None:
    sources = [site.write(MACHINES, file="10-cluster.compose.yml")]
    for number, (name, onto) in enumerate([("one", "cluster"), ("two", "one")], 2):
        text = f"\nname: {name}\nroles: {{node: [{name}], server: 0}}\nfold: {{onto: {onto}}}\n"
        sources.append(site.write(text, file=f"{number}0.compose.yml"))
        sources[-1].write_text(sources[-1].read_text().replace("platform: qemu", "platform: nspawn"))
    assert "fold.onto is 'one', whose own nodes are folded" in site.list(*sources).message
