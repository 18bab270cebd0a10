# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of one deployment on the machines of another: where they are, that they know each other, and what ends them."""

from __future__ import annotations

import csv
import json
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from lab import NEW, PATIENCE, Lab, Run, changed
from schemas import check_state

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.lock import KERNEL_SUPPORT

pytestmark = pytest.mark.story

#: Each node reaches each by its name, wherever they are.
SCRIPT = """\
for one in machines:
    for other in machines:
        one.succeed(f"timeout 10 bash -c 'exec 3<>/dev/tcp/{other.name}/22; head -c 4 <&3 | grep -q SSH-'")
"""
COMPOSITION = """
{ ... }:
{
  roles.db.files."/etc/greeting".text = "db 1 NEW\\n";
  roles.web = {
    packages = [ "netcat-openbsd" "squashfs-tools" "systemd-container" ];
    files."/etc/greeting".text = "web 1 NEW\\n";
    # BROKEN
  };
  testScript = ''
SCRIPT
  '';
}
"""
#: What an experiment measures: nodes that reach each other.
MEASURE = """
for machine in machines:
    machine.succeed("timeout 10 bash -c 'exec 3<>/dev/tcp/db2/22; head -c 4 <&3 | grep -q SSH-'")
record("nodes", len(machines))
"""
EXPERIMENT = {
    "deployment": "site",
    "script": "measure.py",
    "changes": {"roles": {"web": "$clients"}},
    "sweep": {"clients": [1, 3]},
}
BROKEN = """units."broken.service".text = ''
      [Service]
      Type=oneshot
      ExecStart=/bin/false

      [Install]
      WantedBy=multi-user.target
    '';"""
NODES = ("db1", "db2", "web1", "web2")
#: The machines.
MACHINES = {"machine1": {"variables": {"rack": "north"}}, "machine2": {"variables": {"rack": "south"}}}
#: In place of the description of machines: another image for them.
CHANGED = 'Carries nodes"; files."/etc/changed".text = "'
#: What machines have of other deployments: files, networks, units, mounts.
LEFT = (
    "find /run/immutable.compose /run/netns -mindepth 1 2>/dev/null; ip -o link show type vxlan; "
    "systemctl list-units --plain --no-legend 'compose-site-*'; grep immutable.compose /proc/mounts || true"
)


class Folded(Lab):
    """``site``, whose nodes are folded onto the two machines of ``cluster``, in one inventory."""

    cluster: Lab

    def __init__(self, cluster: Lab) -> None:
        self.cluster = cluster
        self.directory, self.inventory = cluster.directory, cluster.inventory
        self.name, self.state = "site", cluster.state.with_name("site")
        self.composition = cluster.composition.with_name("site")
        self.composition.mkdir()
        lock = json.loads((cluster.composition / "compose.lock.json").read_text())
        lock["roles"] = {"db": {"requested": [], "packages": []}, "web": lock["roles"]["machine"]}
        (self.composition / "compose.lock.json").write_text(json.dumps(lock))
        text = COMPOSITION.replace("SCRIPT", SCRIPT).replace("NEW", NEW)
        (self.composition / "composition.nix").write_text(text)
        self.deployment = {
            **cluster.deployment,
            "composition": "../compositions/site",
            "name": "site",
            "network": "10.90.0.0/16",
            "nodes": {},
            "fold": {"onto": "cluster"},
            "roles": {"db": 2, "web": 2},
        }
        self.write()

    def write(self, **changes: t.Any) -> None:
        self.deployment.update(changes)
        (self.inventory / "site.compose.yml").write_text(yaml.safe_dump(self.deployment))

    def deploy(self, *args: str, expect: int = 0) -> Run:
        return self.play("deploy", "--limit", "deployment_site", *args, expect=expect)

    def end_machine2(self) -> None:
        self.cluster.ssh("machine2", "systemctl poweroff")
        end = time.monotonic() + PATIENCE
        while self.cluster.boots()["machine2"]:
            assert time.monotonic() < end
            time.sleep(0.5)

    def places(self) -> dict[str, str]:
        """Node → the machine whose systemd runs it, asked of the machines."""
        found = {}
        for machine in self.cluster.nodes():
            units = self.cluster.ssh(machine, "systemctl list-units --plain --no-legend 'compose-site-*'").stdout
            for line in units.splitlines():
                found[line.split(".service")[0].rpartition("-")[2]] = machine
        return found


@pytest.fixture(scope="module")
def site(lab_of: t.Callable[..., Lab]) -> Folded:
    cluster = lab_of(
        "cluster",
        "cluster",
        platform="nspawn",
        network="10.89.0.0/16",
        roles={"machine": 2},
        nodes=MACHINES,
    )
    cluster.deployment["name"] = cluster.name = "cluster"
    cluster.state = cluster.directory / "state" / "cluster"
    cluster.edit('    kernel = "linux-image-cloud-amd64";\n', "")
    path = cluster.composition / "compose.lock.json"
    lock = json.loads(path.read_text())
    machine = lock["roles"]["machine"]
    del machine["kernel"], machine["requested_kernel"]
    machine["requested"] = [name for name in machine["requested"] if name not in KERNEL_SUPPORT]
    path.write_text(json.dumps(lock))
    cluster.write()
    return Folded(cluster)


def test_nothing_is_folded_onto_what_is_not_there(site: Folded) -> None:
    run = site.deploy(expect=2)
    assert run.said("its machine 'machine1' is not up: it was never verified")
    assert run.said("deploy 'cluster' first, or both at once")
    assert site.cluster.nodes() == site.nodes() == []
    assert not site.state.exists()


def test_roles_with_data_are_refused(site: Folded) -> None:
    volume = 'roles.db.volumes.data = { mount = "/srv"; size = 64; };'
    site.edit("roles.db.files", f"{volume}\n  roles.db.files")
    run = site.play("plan", expect=2)
    assert run.said("role 'db' has data volumes (data), which folded nodes lack: their machines forget everything")
    assert run.said("a deployment without 'fold' can have the role")
    site.edit(f"{volume}\n  ", "")


def test_the_plan_of_both_shows_both(site: Folded) -> None:
    run = site.play("plan")
    assert run.said("cluster: plan: 2 create") and run.said("site: plan: 4 create")
    assert site.cluster.nodes() == site.nodes() == []


def test_nodes_are_spread_and_reach_each_other(site: Folded) -> None:
    run = site.play("deploy")
    assert {name for name, counts in run.recap.items() if counts["changed"]} == {"machine1", "machine2", *NODES}
    assert site.cluster.release() == 1
    assert site.places() == {"db1": "machine1", "db2": "machine2", "web1": "machine1", "web2": "machine2"}
    assert site.release() == 1
    assert len(set(site.images().values())) == 2
    assert site.ssh("web1", "getent hosts db2").stdout.split()[:2] == ["10.90.0.2", "db2"]
    check_state(site.state)
    # Packets of the usual length go through the tunnel, though the network of the machines takes no longer ones.
    site.ssh("web2", "systemd-run --quiet --unit=hears sh -c 'nc -l 4000 >/run/heard'")
    assert site.ssh("web1", "sleep 1; head -c 3000000 /dev/zero | timeout 30 nc -N web2 4000").returncode == 0
    assert site.ssh("web2", "stat -c %s /run/heard").stdout == "3000000\n"


def test_ansible_reaches_nodes_on_any_machine(site: Folded) -> None:
    done = site.ansible("deployment_site", "ansible.builtin.raw", "hostname")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name for name in ("db1", "db2", "web1", "web2") if f"\n{name}\n" in done.stdout} == set(site.places())


def test_nothing_to_do_is_nothing_done(site: Folded) -> None:
    boots = site.boots()
    run = site.play("deploy")
    assert run.changed == 0 and site.boots() == boots
    assert site.play("verify").changed == 0


def test_a_changed_role_replaces_its_nodes_only(site: Folded) -> None:
    boots, places = site.boots(), site.places()
    site.edit("web 1", "web 2")
    site.deploy()
    assert changed(boots, site.boots()) == {"web1", "web2"}
    assert site.ssh("web1", "cat /etc/greeting").stdout == f"web 2 {NEW}\n"
    assert site.places() == places and site.release() == 2


def test_a_failed_check_goes_back(site: Folded) -> None:
    boots, images = site.boots(), site.images()
    site.edit("# BROKEN", BROKEN)
    run = site.deploy(expect=2)
    assert run.said("broken.service")
    assert site.images() == images and changed(boots, site.boots()) == {"web1", "web2"}
    assert site.release() == 2
    site.edit(BROKEN, "# BROKEN")
    assert site.deploy().changed == 0


def test_a_node_that_ends_is_started_again(site: Folded) -> None:
    boots = site.boots()
    site.cluster.ssh("machine2", "systemctl kill --signal=KILL 'compose-site-*-web2.service'")
    assert site.play("plan").said("web2")
    site.deploy()
    assert changed(boots, site.boots()) == {"web2"}


def test_machines_are_not_replaced_under_nodes_alone(site: Folded) -> None:
    boots, machines = site.boots(), site.cluster.boots()
    site.cluster.edit("Carries nodes", CHANGED)
    run = site.play("deploy", "--limit", "deployment_cluster", expect=2)
    assert run.said("'machine1' is the machine of db1, web1 of deployment 'site', folded onto it")
    assert run.said("destroy that deployment first, or deploy both in one run")
    run = site.play("deploy", "--limit", "deployment_cluster,db1,db2,web1", expect=2)
    assert not run.said("'machine1' is the machine")
    assert run.said("'machine2' is the machine of web2 of deployment 'site', folded onto it")
    run = site.play("destroy", "--limit", "machine2", expect=2)
    assert run.said("'machine2' is the machine of db2, web2 of deployment 'site'")
    assert site.boots() == boots and site.cluster.boots() == machines


def test_machines_are_not_replaced_under_nodes_that_cannot_start_again(site: Folded) -> None:
    boots, machines = site.boots(), site.cluster.boots()
    site.write(platform={"name": "nspawn", "memory": 10_000_000})
    run = site.play("deploy", expect=2)
    assert run.said("deployment site, which would have to start again, is refused: plan: 2 problems")
    assert run.said("no room on machine 'machine1'")
    assert all(counts["failed"] for counts in run.recap.values()) and len(run.recap) == 6
    assert site.boots() == boots and site.cluster.boots() == machines
    assert site.cluster.release() == 1 and site.release() == 2
    site.write(platform="nspawn")


def test_machines_are_replaced_and_their_nodes_start_again(site: Folded) -> None:
    boots, machines, places = site.boots(), site.cluster.boots(), site.places()
    words = "plan: of deployment 'site' end with their machines, and start again: db1, db2, web1, web2"
    run = site.play("plan")
    assert run.said(words) and run.said("plan: replace db1: its machine machine1 is booted")
    run = site.play("deploy")
    assert run.said(words)
    assert changed(machines, site.cluster.boots()) == {"machine1", "machine2"}
    assert changed(boots, site.boots()) == set(places) and site.places() == places
    assert site.cluster.release() == 2
    assert site.play("deploy").changed == 0


def test_machines_that_go_back_have_their_nodes_again(site: Folded) -> None:
    images, places = site.cluster.images(), site.places()
    site.cluster.edit("    packages = [", f"    {BROKEN}\n    packages = [")
    run = site.play("deploy", expect=2)
    assert run.said("broken.service")
    assert site.cluster.images() == images and site.places() == places
    assert {name for name, counts in run.recap.items() if counts["failed"]} == set(images)
    site.cluster.edit(f"    {BROKEN}\n", "")
    assert site.play("deploy").changed == 0


def test_a_machine_that_has_ended_and_booted_gets_its_nodes_again(site: Folded) -> None:
    boots, machines = site.boots(), site.cluster.boots()
    site.end_machine2()
    # Nothing is lost: its nodes have ended with it.
    site.play("deploy", "--limit", "deployment_cluster")
    assert changed(machines, site.cluster.boots()) == {"machine2"}
    assert {name for name, boot in site.boots().items() if not boot} == {"db2", "web2"}
    assert site.play("verify", expect=2).recap["db2"]["failed"] == 1
    site.deploy()
    assert changed(boots, site.boots()) == {"db2", "web2"}


def test_a_machine_that_is_healed_loses_its_nodes_until_the_next_deploy(site: Folded) -> None:
    boots, machines = site.boots(), site.cluster.boots()
    site.cluster.ssh("machine1", "systemd-run --unit=ill.service false")
    run = site.play("deploy", expect=2)
    assert run.said("cluster: verify: booting again")
    assert {name for name, counts in run.recap.items() if counts["failed"]} == {"db1", "web1"}
    site.play("deploy")
    assert changed(machines, site.cluster.boots()) == {"machine1"}
    assert changed(boots, site.boots()) == {"db1", "web1"}


def test_a_machine_may_go_and_come_under_nodes(site: Folded) -> None:
    site.cluster.write(roles={"machine": 1}, nodes={"machine1": MACHINES["machine1"]})
    site.play("deploy")
    assert site.cluster.nodes() == ["machine1"] and site.places() == dict.fromkeys(NODES, "machine1")
    site.cluster.write(roles={"machine": 2}, nodes=MACHINES)
    site.write(fold={"onto": "cluster", "by": "rack"})
    site.play("deploy")
    assert sorted(site.places().values()) == ["machine1", "machine1", "machine2", "machine2"]
    site.write(fold={"onto": "cluster"})
    site.play("deploy")
    assert site.places() == {"db1": "machine1", "db2": "machine2", "web1": "machine1", "web2": "machine2"}


def test_a_node_goes_where_the_file_says(site: Folded) -> None:
    boots = site.boots()
    site.write(nodes={"web1": {"options": {"machine": "machine2"}}})
    assert "machine machine1 → machine2" in site.play("plan").output
    site.deploy()
    assert site.places() == {"db1": "machine1", "db2": "machine2", "web1": "machine2", "web2": "machine2"}
    assert changed(boots, site.boots()) == {"web1"}
    # Without a word, it stays there.
    site.write(nodes={})
    assert site.deploy().changed == 0


def test_an_experiment_has_other_counts_of_nodes(site: Folded) -> None:
    (site.directory / "measure.py").write_text(MEASURE)
    (site.directory / "try.experiment.yml").write_text(yaml.safe_dump(EXPERIMENT))
    machines = site.cluster.boots()
    site.play("experiment", "-e", "experiment_file=try.experiment.yml")
    results = site.directory / "results/try"
    measured = [("1", "nodes", "3.0"), ("3", "nodes", "5.0")]
    assert rows(results) == measured
    assert sorted(site.places()) == ["db1", "db2", "web1", "web2", "web3"]
    # The same again, from the copies: those of the machines are among them.
    inventory, site.inventory = site.inventory, results / "replay/inventory"
    try:
        site.play(results / "replay.yml")
    finally:
        site.inventory = inventory
    assert rows(results / "replay/results") == measured
    assert site.cluster.boots() == machines
    site.deploy()
    assert set(site.places()) == set(NODES)


def rows(results: Path) -> list[tuple[str, ...]]:
    """What an experiment has measured."""
    with open(results / "results.csv", newline="", encoding="utf-8") as stream:
        return sorted((row["clients"], row["name"], row["value"]) for row in csv.DictReader(stream))


def test_new_nodes_are_placed_by_what_machines_are_told_apart_by(site: Folded) -> None:
    site.write(roles={"db": 2, "web": 3}, fold={"onto": "cluster", "by": "rack"})
    site.deploy()
    places = site.places()
    assert (
        sorted(places.values()) == ["machine1"] * 3 + ["machine2"] * 2
        or sorted(places.values()) == ["machine1"] * 2 + ["machine2"] * 3
    )
    site.write(roles={"db": 2, "web": 2})
    site.deploy()
    assert set(site.places()) == {"db1", "db2", "web1", "web2"}


def test_nodes_are_packed(site: Folded) -> None:
    site.write(fold={"onto": "cluster", "by": "rack", "place": "pack"})
    site.deploy()
    assert set(site.places().values()) == {"machine1"}
    assert site.cluster.ssh("machine2", LEFT).stdout == ""


def test_what_a_machine_lacks_is_refused(site: Folded) -> None:
    boots = site.boots()
    nc = site.cluster.ssh("machine2", "readlink -f /usr/bin/nc").stdout.strip()
    site.cluster.ssh("machine2", f"mv {nc} /run/nc")
    site.write(fold={"onto": "cluster"})
    run = site.deploy(expect=2)
    assert run.said("its machine 'machine2' lacks 'nc' (Debian package 'netcat-openbsd')")
    site.cluster.ssh("machine2", f"mv /run/nc {nc}")
    assert site.boots() == boots
    site.write(fold={"onto": "cluster", "by": "rack", "place": "pack"})


def test_more_nodes_than_there_is_room_for_are_refused(site: Folded) -> None:
    boots = site.boots()
    site.write(platform={"name": "nspawn", "memory": 10_000_000}, roles={"db": 2, "web": 3})
    run = site.deploy(expect=2)
    assert run.said("no room on machine 'machine") and run.said("its nodes to start need 10000000")
    assert site.boots() == boots
    site.write(platform="nspawn", roles={"db": 2, "web": 2})


def test_destroy_leaves_nothing(site: Folded) -> None:
    site.play("destroy", "--limit", "deployment_site")
    for machine in ("machine1", "machine2"):
        assert site.cluster.ssh(machine, LEFT).stdout == ""
    assert site.nodes() == [] and not (site.cluster.state / "guests").exists()
    site.write(fold={"onto": "cluster"})
    site.deploy()
    site.end_machine2()
    run = site.play("destroy", expect=2)
    assert {name for name, counts in run.recap.items() if counts["failed"]} == {"db2", "web2"}
    assert run.said("its machine 'machine2' does not answer") and site.cluster.nodes() == []
    site.play("destroy")
    assert site.nodes() == []
