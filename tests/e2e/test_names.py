# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that people have: roles that are no host names, hosts with dots, a domain."""

from __future__ import annotations

import json
import typing as t

import pytest
from lab import Lab

SCRIPT = r"""
  testScript = ''
    examon_Broker1.succeed("getent hosts n1.example.org | grep -c '[\d.]' || true")
    n1_example_org.wait_for_unit("visits.service")
  '';
}
"""


@pytest.fixture(scope="module")
def fresh(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("Names_of", "web", platform="nspawn", domain="c.example.com")
    lab.drop_kernels()
    lab.drop_test_script()
    lab.edit("{ inherit proxy backend database; }", "{ inherit backend; examon_Broker = backend; }")
    lab.edit("rolesDistribution.backend = 2;", "rolesDistribution.examon_Broker = 1;")
    file = lab.composition / "composition.nix"
    file.write_text(file.read_text().rstrip().removesuffix("}") + SCRIPT)
    lock = json.loads((lab.composition / "compose.lock.json").read_text())
    lock["roles"] = dict.fromkeys(("backend", "examon_Broker"), lock["roles"]["backend"])
    (lab.composition / "compose.lock.json").write_text(json.dumps(lock))
    lab.composition.rename(lab.composition.parent / "My_Web")
    (lab.inventory / "00-legacy.ini").write_text("n1.example.org\n")
    lab.write(name="names-of", composition="../compositions/My_Web", roles={"backend": {"hosts": "n1.example.org"}})
    lab.state = lab.state.parent / "names-of"
    return lab


def deploy(lab: Lab) -> str:
    """What a run says that warns."""
    process = lab.start("deploy")
    output, _errors = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def first(fresh: Lab) -> str:
    """What the first deploy says."""
    return deploy(fresh)


@pytest.fixture(scope="module")
def lab(fresh: Lab, first: str) -> Lab:
    assert first
    return fresh


def test_nodes_know_each_other_by_all_their_names(lab: Lab, first: str) -> None:
    # Said once, with its line; the inventory says nothing.
    assert first.count("testScript, line 1: ") == 1 and "<unknown>" not in first, first
    assert lab.nodes() == ["examon-broker1", "n1.example.org"]

    def says(node: str, command: str) -> str:
        return lab.ssh(node, command).stdout.strip()

    assert says("examon-broker1", "hostname; hostname -f") == "examon-broker1\nexamon-broker1.c.example.com"
    assert says("n1.example.org", "hostname -f; hostname -s") == "n1.example.org\nn1"
    for name in ("n1", "n1.example.org"):
        assert says("examon-broker1", f"getent hosts {name}").split()[1:] == ["n1.example.org", "n1"]
    for name in ("examon-broker1", "examon-broker1.c.example.com"):
        assert says("n1.example.org", f"getent hosts {name}").split()[1] == "examon-broker1.c.example.com"


def test_another_domain_is_a_reboot_and_nothing_else(lab: Lab) -> None:
    images, boots = lab.images(), lab.boots()
    lab.write(domain="d.example.com")
    deploy(lab)
    assert lab.images() == images
    assert all(lab.boots()[node] != boots[node] for node in boots)
    assert lab.ssh("examon-broker1", "hostname -f").stdout.strip() == "examon-broker1.d.example.com"
