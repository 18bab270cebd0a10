# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: an NFS server and its clients as virtual machines, first deployed through ansible-runner."""

from __future__ import annotations

import json
import typing as t

import ansible_runner
import pytest
from lab import PATIENCE, Lab, changed
from nxc import run_nxc

NODES = {"server", "node1", "node2"}


@pytest.fixture(scope="module")
def fresh(lab_of: t.Callable[..., Lab]) -> Lab:
    """Not deployed yet."""
    return lab_of("demo", "nfs", platform={"name": "qemu", "memory": 512, "ssh_port_base": 23100}, roles={"node": 2})


@pytest.fixture(scope="module")
def first(fresh: Lab, tmp_path_factory: pytest.TempPathFactory) -> ansible_runner.Runner:
    """The first deploy, by ansible-runner."""
    private = tmp_path_factory.mktemp("private")
    (private / "project").mkdir(parents=True)
    (private / "project" / "deploy.yml").write_text("- import_playbook: immutable.compose.deploy\n")
    (private / "env").mkdir()
    (private / "env" / "envvars").write_text(json.dumps(fresh.environment()))
    run = ansible_runner.run(
        private_data_dir=str(private),
        playbook="deploy.yml",
        inventory=str(fresh.inventory),
        quiet=True,
        timeout=2 * PATIENCE,
    )
    assert (run.status, run.rc) == ("successful", 0), run.stdout.read()
    return run


@pytest.fixture(scope="module")
def lab(fresh: Lab, first: ansible_runner.Runner) -> Lab:
    assert first.rc == 0
    return fresh


def test_the_demo_passes_through_ansible_runner(first: ansible_runner.Runner) -> None:
    reports = {
        event["event_data"]["host"]: event["event_data"]["res"]
        for event in first.events
        if event["event"] == "runner_on_ok"
        and event["event_data"]["resolved_action"] == "immutable.compose.deployment_report"
    }
    assert reports.keys() == NODES
    assert {report["action"] for report in reports.values()} == {"create"}


def test_the_nodes_are_real_machines_with_names_and_a_shared_directory(lab: Lab) -> None:
    for node in NODES:
        done = lab.ssh(node, "hostname; uname -r; systemd-detect-virt")
        name, kernel, virt = done.stdout.split()
        assert name == node and "cloud" in kernel and virt in ("qemu", "kvm")
    assert (
        lab.ssh("node1", "date > /data/now && cat /data/now").stdout == lab.ssh("node2", "cat /data/now").stdout != ""
    )


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    boots = lab.boots()
    run = lab.play("deploy")
    assert run.changed == 0
    assert lab.boots() == boots


def test_nxc_itself_connects_to_the_machines_and_drives_them(lab: Lab) -> None:
    directory = lab.directory / "experiment"
    assert lab.play("nxc_export", "-e", f"compose_directory={directory}").changed == 1
    assert json.loads((directory / "nodes.json").read_text()) == {"node": 2}
    assert run_nxc(lab, directory, "helper", "ip_ssh_port", "node2").stdout.split() == ["127.0.0.1:23102"]
    assert run_nxc(lab, directory, "connect", "node2", typed="hostname\n").stdout.split()[-1] == "node2"
    script = directory / "script.py"
    script.write_text("assert 'server' in server.succeed('hostname')\nnode1.succeed('test -d /data')\n")
    done = run_nxc(lab, directory, "driver", str(script))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.guests
def test_a_third_node_builds_nothing_and_boots_one_machine(lab: Lab) -> None:
    boots = lab.boots()
    lab.write(roles={"node": 3})
    run = lab.play("deploy")
    assert not run.said("compose | build")
    assert changed(boots, lab.boots()) == {"node3"}
    assert "node3" in lab.ssh("server", "cat /etc/hosts").stdout


def test_a_port_that_is_taken_is_refused_before_anything_is_touched(lab: Lab, lab_of: t.Callable[..., Lab]) -> None:
    second = lab_of("second", "nfs", platform={"name": "qemu", "memory": 512, "ssh_port_base": 23100})
    run = second.play("deploy", expect=2)
    assert run.said("23101") or run.said("23201")
    assert second.nodes() == []


@pytest.mark.guests
def test_a_changed_server_leaves_the_nodes_alone_and_keeps_the_shared_files(lab: Lab) -> None:
    boots = lab.boots()
    assert lab.ssh("node1", "date > /data/before").returncode == 0
    lab.edit('packages = [ "nfs-kernel-server" ];', 'packages = [ "nfs-kernel-server" "tree" ];')
    lab.edit("size = 512;", "size = 1024;")
    lab.play("lock")
    lab.play("deploy")
    assert changed(boots, lab.boots()) == {"server"}
    assert lab.ssh("server", "tree --version; test -s /srv/shared/before").returncode == 0
    assert int(lab.ssh("server", "df --output=size --block-size=1M /srv/shared | tail -n 1").stdout) > 900
