"""An experiment written for EnOSlib, on machines that this collection deploys."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import enoslib as en
import jsonschema
import pytest
from conftest import ANSIBLE


def experiment(roles: en.Roles, networks: en.Networks) -> dict[str, str]:
    """What somebody has who used another provider: commands, modules, facts; host → what it said."""
    roles = en.sync_info(roles, networks)
    with en.actions(roles=roles["compute"], gather_facts=True) as tasks:
        tasks.copy(content="{{ ansible_facts.hostname }}\n", dest="/run/mine")
        tasks.shell("getent hosts " + roles["control"][0].alias, task_name="peers")
    assert {result.rc for result in tasks.results.filter(task="peers")} == {0}
    (address,) = roles["compute"][0].filter_addresses(networks=networks["experiment"])
    assert address.ip.ip in ip_network("10.89.0.0/16")
    return {result.host: result.stdout for result in en.run_command("cat /run/mine", roles=roles["compute"])}


def boots_of(roles: en.Roles) -> dict[str, str]:
    """Changes with each boot of a host."""
    results = en.run_command("cut -d ' ' -f 22 /proc/1/stat", roles=roles, raw=True)
    return {result.host: result.stdout for result in results}


def test_what_is_wrong_is_said_before_anything_is_deployed(inventory: Path) -> None:
    from immutable_compose.deployment import DeploymentError
    from immutable_compose.enoslib import Compose, ComposeConf

    with pytest.raises(jsonschema.ValidationError, match="'inventory' is a required property"):
        ComposeConf.from_dictionary({"resources": {"machines": [], "networks": []}})
    conf = ComposeConf.from_settings(inventory=str(inventory), ansible=str(ANSIBLE))
    conf.add_machine(roles=["compute"], role="workers")
    with pytest.raises(DeploymentError, match=r"deployment lab has no node of role 'workers': head, worker$"):
        Compose(conf).init()
    assert not (inventory.parent / "state").exists()


def test_an_experiment_runs_on_what_is_deployed(inventory: Path) -> None:
    from immutable_compose.enoslib import Compose, ComposeConf

    conf = ComposeConf.from_settings(inventory=str(inventory), ansible=str(ANSIBLE))
    conf.add_machine(roles=["compute", "nodes"], role="worker").add_machine(roles=["control"], role="head")
    conf.add_network(roles=["experiment"])
    provider = Compose(conf)
    roles, networks = provider.init()
    assert {role: sorted(host.alias for host in hosts) for role, hosts in roles.items()} == {
        "compute": ["worker1", "worker2"],
        "nodes": ["worker1", "worker2"],
        "control": ["head"],
    }
    assert experiment(roles, networks) == {"worker1": "worker1", "worker2": "worker2"}
    boots = boots_of(roles)
    provider.init()  # changes nothing
    assert boots_of(roles) == boots


def test_without_more_roles_are_those_of_the_composition(inventory: Path) -> None:
    from immutable_compose.enoslib import Compose, ComposeConf

    conf = ComposeConf.from_dictionary({"inventory": str(inventory), "ansible": str(ANSIBLE)})
    with Compose(conf) as (roles, networks):
        assert (len(roles["worker"]), len(roles["head"]), len(networks["lab"])) == (2, 1, 1)
        (said,) = en.run_command("hostname", roles=roles["head"])
        assert said.stdout == "head"
    assert not list(inventory.parent.glob("state/lab/nodes/*"))
