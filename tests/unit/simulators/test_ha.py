"""Resources and rules of high availability (pve-ha-manager: API2/HA, HA/Rules)."""

from __future__ import annotations

import pytest

from .conftest import Client, Simulate, eventually

RESOURCES, RULES = "/cluster/ha/resources", "/cluster/ha/rules"


@pytest.fixture
def ha(simulate: Simulate) -> Client:
    """Two resources on two nodes, without a manager."""
    pve = simulate(nodes=["pve1", "pve2"])
    for vmid in (100, 101):
        assert pve.task("POST", "/nodes/pve1/qemu", vmid=vmid) == "OK"
        pve.do("POST", RESOURCES, sid=f"vm:{vmid}")
    return pve


@pytest.mark.parametrize(
    ("sid", "error"),
    [
        ("vm:999", "resource 'vm:999' does not exist in cluster"),
        ("999", "unable to detect SID from VMID - VM/CT 999 does not exist"),
        ("ct:100", "resource 'ct:100' - guest with ID 100 is not a container"),
        ("xx:100", "unknown section type 'xx'"),
        ("vm:x", "invalid VMID"),
        ("100", "create resource failed: resource ID 'vm:100' already defined"),
    ],
)
def test_resources_that_cannot_be_made(ha: Client, sid: str, error: str) -> None:
    assert ha.call("POST", RESOURCES, sid=sid).error == (500, error)


def test_changes_of_resources(ha: Client) -> None:
    failed = "update resources config failed:"
    assert ha.call("PUT", f"{RESOURCES}/vm:102", state="stopped").error[1] == f"{failed} no such resource 'vm:102'"
    assert ha.call("PUT", f"{RESOURCES}/vm:100", delete="color").error[1] == f"{failed} no such option 'color'"
    group = ha.call("PUT", f"{RESOURCES}/vm:100", group="fast")
    assert group.error[1] == "invalid parameter 'group': ha groups have been migrated to rules"
    groups = ha.call("POST", "/cluster/ha/groups", group="fast", nodes="pve1")
    assert groups.error[1] == "cannot create group: ha groups have been migrated to rules"
    assert ha.get("/cluster/ha/status/manager_status")["quorum"] == {"quorate": 1, "node": "pve1"}


NODES = {"type": "node-affinity", "nodes": "pve1", "resources": "vm:100"}
INVALID: list[tuple[dict[str, object], tuple[int, str]]] = [
    ({}, (400, "type: property is missing and it is not optional")),
    (
        {"type": "x"},
        (400, "type: value 'x' does not have a value in the enumeration 'node-affinity, resource-affinity'"),
    ),
    (
        {"type": "node-affinity", "resources": "vm:100"},
        (400, "oneOf[node-affinity].nodes: property is missing and it is not optional"),
    ),
    (
        {**NODES, "affinity": "positive"},
        (400, "affinity: property is not defined in schema and the schema does not allow additional properties"),
    ),
    ({**NODES, "resources": "vm:102"}, (500, "create ha rule failed: cannot use unmanaged resource(s) vm:102.")),
    ({**NODES, "nodes": "pve9"}, (500, "create ha rule failed: cannot use non-existent node(s) pve9.")),
    ({**NODES, "rule": "first"}, (500, "create ha rule failed: HA rule 'first' already defined")),
    (NODES, (500, "create ha rule failed: 400 Rule 'new' is invalid.")),
    (
        {"type": "resource-affinity", "affinity": "positive", "resources": "vm:101"},
        (500, "create ha rule failed: 400 Rule 'new' is invalid."),
    ),
]


@pytest.mark.parametrize(("parameters", "error"), INVALID)
def test_rules_that_cannot_be_made(ha: Client, parameters: dict[str, object], error: tuple[int, str]) -> None:
    ha.do("POST", RULES, rule="first", **NODES)
    assert ha.call("POST", RULES, **{"rule": "new", **parameters}).error == error


def test_a_rule_says_why_it_cannot_be_kept(ha: Client) -> None:
    ha.do("POST", RULES, rule="first", **NODES)
    message = ha.call("POST", RULES, rule="new", **NODES).body["message"]
    assert message.endswith("resources: resource 'vm:100' is already used in another node affinity rule\n")
    ha.do("PUT", f"{RULES}/first", disable=1)
    ha.do("POST", RULES, rule="new", **NODES)
    assert [rule["rule"] for rule in ha.get(RULES, type="node-affinity")] == ["first", "new"]


def test_rules_change_and_go_with_their_resources(ha: Client) -> None:
    ha.do("POST", RULES, rule="first", **NODES)
    ha.do("PUT", f"{RULES}/first", resources="vm:100,vm:101", strict=1)
    required = ha.call("PUT", f"{RULES}/first", delete="nodes")
    assert required.error == (500, "update HA rules failed: unable to delete required option 'nodes'")
    ha.do("DELETE", f"{RESOURCES}/vm:100")
    assert ha.get(f"{RULES}/first")["resources"] == "vm:101"
    ha.do("DELETE", f"{RESOURCES}/vm:101")
    assert ha.call("GET", f"{RULES}/first").error == (500, "no such ha rule 'first'")


def test_the_manager_moves_a_vm(simulate: Simulate) -> None:
    storages = {"ceph": {"type": "rbd", "content": "images", "shared": 1}}
    pve = simulate(nodes=["pve1", "pve2"], storages=storages, ha_seconds=1)
    assert pve.task("POST", "/nodes/pve1/qemu", vmid=100, scsi0="ceph:1") == "OK"
    unmanaged = pve.call("POST", f"{RESOURCES}/vm:100/migrate", node="pve2")
    assert unmanaged.error == (500, "resource 'vm:100' is not HA managed")
    pve.do("POST", RESOURCES, sid="vm:100", state="stopped")
    assert pve.task("POST", "/nodes/pve1/qemu/100/migrate", target="pve2") == "OK"
    assert eventually(lambda: pve.get("/nodes/pve2/qemu"))[0]["vmid"] == 100
