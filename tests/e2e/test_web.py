# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a deployment on nspawn: deploy, change, break, scale, go back."""

from __future__ import annotations

import json
import shutil
import subprocess
import typing as t
import xml.etree.ElementTree as ET

import pytest
import yaml
from lab import NEW, PATIENCE, Lab, Run, changed

NODES = {"backend1", "backend2", "database", "proxy"}
#: What the proxy has, a change of it that works, another, and one that breaks it.
PROXY = "location / {"
HEADER = f"{PROXY}\n        add_header X-Version 2-{NEW} always;"
ANOTHER = f"{PROXY}\n        add_header X-Other 3-{NEW} always;"
BROKEN = f"{PROXY}\n        no_such_directive on;"


@pytest.fixture(scope="module")
def fresh(lab_of: t.Callable[..., Lab]) -> Lab:
    """Not deployed yet."""
    lab = lab_of("web", "web", platform="nspawn")
    lab.drop_kernels()
    return lab


@pytest.fixture(scope="module")
def first(fresh: Lab) -> Run:
    """The first deploy."""
    return fresh.play("deploy")


@pytest.fixture(scope="module")
def lab(fresh: Lab, first: Run) -> Lab:
    assert first.returncode == 0
    return fresh


class Change(t.NamedTuple):
    """A deploy of something else, which nodes booted, and how many visits the database had counted before."""

    run: Run
    booted: set[str]
    visits: int


@pytest.fixture(scope="module")
def another_database(lab: Lab) -> Change:
    lab.edit("appendonly yes", f"appendonly yes\n# {NEW}", "redis.conf")
    return deploy(lab)


@pytest.fixture(scope="module")
def third_backend(lab: Lab) -> Change:
    lab.write(roles={"backend": 3})
    return deploy(lab)


def deploy(lab: Lab) -> Change:
    boots, before = lab.boots(), visits(lab)
    run = lab.play("deploy")
    return Change(run, changed(boots, lab.boots()), before)


def visits(lab: Lab) -> int:
    return int(lab.ssh("database", "redis-cli --raw get visits").stdout or 0)


@pytest.mark.smoke
def test_check_mode_shows_the_plan_and_touches_nothing(fresh: Lab) -> None:
    run = fresh.play("deploy", "--check", "--diff")
    for node in NODES:
        assert run.said(f"+{node}: ") and "create" in run.said(f"+{node}: ")[0]
    assert not (fresh.state / "nodes").exists()


@pytest.mark.smoke
def test_the_first_deploy_ends_with_verified_nodes(lab: Lab, first: Run) -> None:
    assert set(first.recap) == NODES
    assert all(counts["failed"] == 0 for counts in first.recap.values())
    assert first.said("log in:") and first.said("release 1")
    assert lab.ssh("proxy", "hostname").stdout.strip() == "proxy"
    refused = lab.ansible("proxy", "raw", "hostname other")
    assert refused.returncode == 2
    assert "proxy is sealed: ansible.builtin.raw may change it" in " ".join((refused.stdout + refused.stderr).split())
    assert lab.ansible("proxy", "raw", "hostname").stdout.splitlines()[1].strip() == "proxy"
    assert visits(lab) > 0


@pytest.mark.smoke
def test_a_second_run_changes_nothing(lab: Lab) -> None:
    boots = lab.boots()
    run = lab.play("deploy")
    assert run.changed == 0
    assert lab.boots() == boots
    assert not run.said("compose | build") and not run.said("compose | switch")


@pytest.mark.smoke
def test_nodes_are_reached_with_strict_host_keys_only(lab: Lab) -> None:
    known = lab.state / "known_hosts"
    right = known.read_text()
    assert "@cert-authority" in right
    try:
        known.write_text("")
        refused = lab.ssh("proxy", "true")
        assert refused.returncode == 255 and "Host key verification failed" in refused.stderr
        only_ca = "\n".join(line for line in right.splitlines() if line.startswith("@cert-authority"))
        known.write_text(only_ca + "\n")
        assert lab.ssh("proxy", "true").returncode == 0
    finally:
        known.write_text(right)


def test_group_vars_for_other_machines_do_no_harm(lab: Lab) -> None:
    others = {
        "ansible_user": "deploy",
        "ansible_ssh_common_args": "-J bastion",
        "ansible_connection": "ssh",
        "ansible_port": 2222,
        "ansible_become": True,
        "ansible_ssh_private_key_file": "x",
    }
    (lab.inventory / "group_vars").mkdir()
    (lab.inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(others))
    command = ["ansible", "-i", str(lab.inventory), "immutable", "-m", "raw", "-a", "true"]
    reached = subprocess.run(
        command, cwd=lab.directory, env=lab.environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    shutil.rmtree(lab.inventory / "group_vars")
    assert reached.returncode == 0, reached.stdout + reached.stderr
    assert reached.stdout.count("rc=0") == len(NODES)


def test_results_are_written_as_json_and_junit(lab: Lab) -> None:
    results = json.loads((lab.state / "results/verify/results.json").read_text())
    assert results["ok"] and {check["node"] for check in results["checks"]} >= NODES
    cases = ET.parse(lab.state / "results/verify/junit.xml").getroot().iter("testcase")
    assert any("the proxy reaches every backend" in (case.get("name") or "") for case in cases)


@pytest.mark.smoke
def test_one_changed_role_is_built_and_replaced_and_data_survive(lab: Lab) -> None:
    """Ansible itself reaches the nodes before, and the new one right after."""
    boots, before = lab.boots(), visits(lab)
    lab.edit(PROXY, HEADER, "nginx.conf")
    task = {"ansible.builtin.raw": 'test "$(cat /etc/hostname)" = {{ inventory_hostname }}', "changed_when": False}
    reach = {"hosts": "immutable", "gather_facts": False, "tasks": [task]}
    around = lab.directory / "around.yml"
    around.write_text(yaml.safe_dump([reach, {"ansible.builtin.import_playbook": "immutable.compose.deploy"}, reach]))
    run = lab.play(around, "--diff")
    assert built(run) == {"proxy"}
    assert changed(boots, lab.boots()) == {"proxy"}
    assert visits(lab) > before
    program = "import urllib.request as u; print(u.urlopen('http://proxy/').headers['X-Version'])"
    assert lab.ssh("backend1", f'python3 -c "{program}"').stdout.strip() == f"2-{NEW}"


def test_replacing_the_database_keeps_its_data(lab: Lab, another_database: Change) -> None:
    assert another_database.booted == {"database"}
    assert visits(lab) > another_database.visits > 0


def test_a_changed_package_is_shown_with_its_version(lab: Lab) -> None:
    lock = (lab.composition / "compose.lock.json").read_bytes()
    lab.edit('packages = [ "nginx-light" ];', 'packages = [ "nginx-light" "tree" ];')
    stale = lab.play("deploy", "--check", expect=None)
    assert stale.returncode != 0 and stale.said("tree") and stale.said("lock")
    lab.play("lock")
    run = lab.play("deploy", "--check", "--diff")
    assert any(line.startswith("+tree ") for line in run.output.splitlines())
    lab.edit('packages = [ "nginx-light" "tree" ];', 'packages = [ "nginx-light" ];')
    (lab.composition / "compose.lock.json").write_bytes(lock)


@pytest.mark.smoke
def test_a_broken_image_is_rolled_back(lab: Lab) -> None:
    boots, images = lab.boots(), lab.images()
    lab.edit(PROXY, BROKEN, "nginx.conf")
    run = lab.play("deploy", expect=2)
    assert run.recap["proxy"]["failed"] == 1
    assert run.said("nginx.service") and run.said("back on its last verified image")
    assert lab.images() == images
    assert changed(boots, lab.boots()) == {"proxy"}
    unsealed = lab.ansible("database", "raw", "touch /srv/helped", "-e", "immutable_unseal='disk full'")
    assert unsealed.returncode == 0 and "database is unsealed (disk full)" in unsealed.stderr
    verified = lab.play("verify")
    assert verified.changed == 0
    assert verified.said("verify database: ok; changed by hand until it boots again: 'disk full' by ")
    lab.edit(BROKEN, PROXY, "nginx.conf")


def test_a_failing_test_script_rolls_back_and_names_line_and_command(lab: Lab) -> None:
    images = lab.images()
    lab.edit("start_all()\n", 'start_all()\n    proxy.succeed("false | true")\n')
    lab.edit(PROXY, ANOTHER, "nginx.conf")
    run = lab.play("deploy", expect=2)
    assert run.said("false | true") and run.said("line 4")
    assert lab.images() == images
    lab.edit('    proxy.succeed("false | true")\n', "")
    lab.edit(ANOTHER, PROXY, "nginx.conf")


def test_a_verification_that_cannot_be_done_rolls_back(lab: Lab) -> None:
    """The image is that of the test before, which saves a build."""
    images = lab.images()
    lab.edit(PROXY, ANOTHER, "nginx.conf")
    results = lab.state / "results/verify/results.json"
    results.unlink()
    (results / "in the way").mkdir(parents=True)
    run = lab.play("deploy", expect=2)
    assert run.said("results.json") and run.said("back on its last verified image")
    assert lab.images() == images
    shutil.rmtree(results)
    lab.edit(ANOTHER, PROXY, "nginx.conf")
    assert lab.play("deploy").changed == 0


@pytest.mark.usefixtures("another_database")
def test_rollback_goes_to_a_kept_release_by_number_and_back(lab: Lab) -> None:
    images, newest = lab.images(), lab.release()
    wanted = json.loads((lab.state / f"releases/{newest - 1}.json").read_text())["images"]
    lab.play("rollback", "-e", f"compose_release={newest - 1}")
    assert lab.images()["database"] == wanted["database"] != images["database"]
    lab.play("deploy")
    assert lab.images() == images
    assert lab.release() > newest


def test_another_count_builds_nothing_and_boots_one(lab: Lab, third_backend: Change) -> None:
    assert built(third_backend.run) == set()
    assert third_backend.booted == {"backend3"}
    assert "backend3" in lab.ssh("proxy", "cat /etc/hosts").stdout
    # Who follows the document, as the proxy does, finds all applied that it says.
    applied, told = lab.ssh("proxy", "stat -c %.9Z /etc/hosts /run/compose/node.json").stdout.split()
    assert float(applied) <= float(told)


@pytest.mark.usefixtures("third_backend")
def test_a_node_that_is_gone_from_the_deployment_is_retired(lab: Lab) -> None:
    lab.write(roles={"backend": 2})
    lab.play("deploy", "--limit", "proxy")
    assert "backend3" in lab.nodes()
    assert lab.play("deploy").said("retire backend3")
    assert "backend3" not in lab.nodes()


def test_limit_serial_and_tags(lab: Lab) -> None:
    lab.edit("class Handler", f"# {NEW}\nclass Handler", "visits.py")
    boots = lab.boots()
    assert built(lab.play("deploy", "--tags", "build")) == {"backend"}
    assert lab.boots() == boots
    lab.play("deploy", "--limit", "backend2")
    assert changed(boots, lab.boots()) == {"backend2"}
    run = lab.play("deploy", "-e", "compose_serial=1")
    assert set(run.recap) == NODES
    assert changed(boots, lab.boots()) == {"backend1", "backend2"}


def built(run: Run) -> set[str]:
    """Roles that a run built."""
    return {line.split("build ")[1].split(":")[0].removesuffix("-image") for line in run.said("compose | build ")}
