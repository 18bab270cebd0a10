# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that have a Linux of their own, and forget their node with the next reboot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError

from .conftest import SiteOf
from .ground import BROKEN
from .platforms.kexec import Hall
from .site import ILL

on_kexec = pytest.mark.parametrize("ground", ["kexec"], indirect=True)


class Killed(Exception):
    pass


def before_settle(step: str) -> None:
    if step == "settle":
        raise Killed


@on_kexec
def test_what_nobody_has_confirmed_is_confirmed_by_the_next_run(site_of: SiteOf, ground: Hall) -> None:
    site = site_of(1)
    with pytest.raises(Killed):
        site.deploy(before=before_settle)
    before = site.boots()
    assert not ground.is_confirmed("10.87.0.1")
    assert site.deploy()["failed_nodes"] == []
    assert ground.is_confirmed("10.87.0.1") and site.boots() == before


@on_kexec
def test_what_went_back_because_nobody_came_is_started_again(site_of: SiteOf, ground: Hall) -> None:
    site = site_of(2)
    with pytest.raises(Killed):
        site.deploy(before=before_settle)
    ground.end(site.deployment, "web1")
    assert site.deploy()["failed_nodes"] == []
    assert site.runs() == {"web1": "v1", "web2": "v1"}
    assert ground.is_confirmed("10.87.0.1") and ground.is_confirmed("10.87.0.2")
    ground.end(site.deployment, "web2")
    assert site.plan() == {"web1": "keep", "web2": "replace"}
    assert "web2: gone; its machine has booted its own Linux" in site.said()


@on_kexec
def test_what_has_gone_back_to_its_image_stays(site_of: SiteOf, ground: Hall) -> None:
    site = site_of()
    site.deploy()
    site.means = ILL
    result = site.deploy()
    assert {node["back_on"] for node in result["nodes"].values()} == {"v1"}
    assert ground.is_confirmed("10.87.0.1") and ground.is_confirmed("10.87.0.2")


@on_kexec
def test_what_was_ill_and_is_booted_again_stays(site_of: SiteOf, ground: Hall) -> None:
    site = site_of()
    site.deploy()
    site.ill["web2"] = site.boots()["web2"]
    before = site.boots()
    assert site.deploy()["failed_nodes"] == []
    assert site.boots()["web1"] == before["web1"] and site.boots()["web2"] != before["web2"]
    assert ground.is_confirmed("10.87.0.2")


@on_kexec
def test_a_machine_that_forbids_kexec_is_refused_and_no_other_is_touched(site_of: SiteOf, ground: Hall) -> None:
    site = site_of()
    ground.write("10.87.0.2", "proc/sys/kernel/kexec_load_disabled", "1\n")
    before = ground.linuxes()
    with pytest.raises(ComposeError, match=r"web2: its machine forbids kexec until the next boot"):
        site.deploy()
    assert ground.linuxes() == before and ground.left(site.deployment) == []


@on_kexec
def test_an_image_that_the_kernel_does_not_take_ends_nothing(site_of: SiteOf, ground: Hall) -> None:
    site = site_of()
    ground.write("10.87.0.1", "sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    site.means = BROKEN
    before = ground.linuxes()
    with pytest.raises(ComposeError, match="Cannot determine the file type") as refused:
        site.deploy()
    web1, web2 = (line for line in str(refused.value).split("stage, ") if line.startswith("web"))
    assert "locked down (integrity), as with Secure Boot" in web1 and "locked down" not in web2
    assert ground.left(site.deployment) == []
    assert ground.linuxes() == before and site.runs() == {}


@on_kexec
def test_the_machine_of_another_deployment_is_refused(site_of: SiteOf, ground: Hall) -> None:
    one, two = site_of(1, "one"), site_of(1, "two")
    one.deploy()
    before = one.boots()
    (web1,) = two.deployment.nodes
    two.set(nodes=(replace(web1, address="10.87.0.1"),), network="10.87.0.0/24")
    with pytest.raises(ComposeError, match="does not answer|runs the node one/web1"):
        two.deploy()
    assert one.boots() == before and one.plan() == {"web1": "keep"}
    two.set(nodes=())


@on_kexec
def test_a_node_has_the_address_of_the_host_that_is_named(site_of: SiteOf) -> None:
    site = site_of()
    web1, web2 = (replace(node, address=None) for node in site.deployment.nodes)
    named = replace(web1, options={**web1.options, "host": "10.87.0.1"})
    site.set(nodes=(named, replace(web2, options={**web2.options, "host": "no.such.host.invalid"})))
    with pytest.raises(ComposeError, match="'web2' has no address: that of its machine is not known"):
        site.deploy()
    site.set(nodes=(named,))
    assert site.deploy()["failed_nodes"] == []
    assert site.runs() == {"web1": "v1"}
