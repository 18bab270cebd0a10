# SPDX-License-Identifier: GPL-3.0-or-later
"""Data volumes on disks of machines that are lent. What nodes do with disks is in tests/boot: containers have none."""

from __future__ import annotations

import json
import typing as t

import pytest
from lab import Lab
from metal import Site, site_of

pytestmark = pytest.mark.backends


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    with site_of(tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("api"), disks=2) as site:
        yield site


@pytest.fixture(scope="module")
def lab(site: Site, lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of(
        "disks",
        "web",
        platform={
            "name": "kadeploy",
            "url": site.url,
            "user": "alice",
            "directory": str(site.state / "served"),
            "proxy_command": site.proxy_command,
        },
        network="10.158.0.0/16",
        roles={"proxy": 0, "backend": 0, "database": 1},
        boot_timeout=120,
    )
    lab.drop_test_script()
    (lab.inventory / "group_vars").mkdir()
    (lab.inventory / "group_vars/all.yml").write_text("compose_credentials: {user: alice, password: alice}\n")
    return lab


def write(lab: Lab, site: Site, machine: str = "sim-1", disks: bool = True, **options: t.Any) -> None:
    """The deployment file with these options of the node, on a machine of the job."""
    api = {"interface": "grid5000", "site": "grenoble", "url": f"{site.api}/stable", "walltime": "2:0:0", "nodes": 3}
    address = site.machines[machine]["address"]
    lab.write(
        reservation={**api, "disks": disks},
        nodes={"database1": {"address": address, "options": {"machine": machine, **options}}},
    )


@pytest.mark.parametrize(
    ("disks", "options", "says"),
    [
        (True, {}, "role 'database' has data volumes for which no disk is given: data"),
        (False, {"volumes": ["data=disk1"]}, "data=disk1: the reservation has no scratch disks"),
        (True, {"volumes": ["data=disk0"]}, "data=disk0: disk0 is the system disk"),
        (True, {"volumes": ["data=disk1"], "raw_disks": ["osd=disk1"]}, "osd=disk1: 'data' has that disk already"),
        (True, {"volumes": ["data=disk3"]}, "There are not enough resources"),
    ],
)
def test_refused_before_anything_is_reserved(
    lab: Lab, site: Site, disks: bool, options: dict[str, t.Any], says: str
) -> None:
    write(lab, site, disks=disks, **options)
    run = lab.play("deploy", expect=2)
    assert run.said(says), run.output
    assert site.running() == set() and site.jobs() == []


def test_a_node_is_told_its_disks_and_where_its_data_stay(lab: Lab, site: Site) -> None:
    write(lab, site, volumes=["data=disk1"])
    lab.play("deploy")
    assert site.jobs() == [(f"compose-{lab.name}", "running")]
    (disk,) = json.loads(lab.ssh("database1", "cat /run/compose/node.json").stdout)["disks"]
    assert (disk["name"], disk["device"]) == ("data", "/dev/disk1")
    whose = f"volume 'data' of role 'database' of composition 'web' (node 'database1' of deployment '{lab.name}')"
    assert disk["owner"] == whose
    assert lab.play("deploy").changed == 0
    write(lab, site, "sim-2", volumes=["data=disk1"])
    stays = "its data (data) stay on sim-1, and are not on sim-2"
    run = lab.play("plan")
    assert run.said(f"plan: replace database1: on machine sim-1, not on sim-2, {stays}"), run.output
    assert lab.play("deploy").said(stays)
    lab.play("destroy")
    assert site.running() == set()
