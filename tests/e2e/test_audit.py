# SPDX-License-Identifier: GPL-3.0-or-later
"""What is inside: package changes between two builds, SBOM, and audits before and after a rebuild."""

from __future__ import annotations

import json
import shutil
import subprocess
import typing as t

import pytest
import yaml
from lab import PATIENCE, Lab, Run
from schemas import check_told

pytestmark = pytest.mark.story

#: Not in the composition's lock at first; affected from then on until it is taken out again.
TREE = {"id": "TEST-1", "package": "tree", "versions": "< 9999"}


FORMATS = ("cyclonedx", "spdx")


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    """One node: the database of ``web``."""
    lab = lab_of("audit", "web", platform="nspawn", network="10.93.0.0/16", roles={"backend": 0, "proxy": 0})
    lab.drop_kernels()
    lab.drop_test_script()
    return lab


def audit(lab: Lab, *advisories: t.Any, expect: int = 0, **variables: t.Any) -> Run:
    file = lab.directory / "advisories.yml"
    file.write_text(yaml.safe_dump(list(advisories)))
    return lab.play("audit", "-e", json.dumps({"compose_advisories": str(file), **variables}), expect=expect)


def rows(run: Run, advisory: str) -> list[list[str]]:
    """Cells of the table's rows that are about an advisory."""
    lines = [line.strip().rstrip(",").strip('"') for line in run.output.splitlines() if line.startswith("        ")]
    return [line.split()[1:] for line in lines if line.startswith(f"{advisory} ")]


def installed(lab: Lab, node: str) -> dict[str, str]:
    """What dpkg knows in a node: package → version."""
    listed = lab.ssh(node, "dpkg-query --show --showformat '${Package}\\t${Version}\\n'").stdout
    return dict(line.split("\t") for line in listed.splitlines())


def bundle(lab: Lab, node: str) -> str:
    return str((lab.state / "roots" / lab.images()[node]).resolve())


def run_tasks(lab: Lab, *tasks: dict[str, t.Any]) -> tuple[list[dict[str, t.Any]], str]:
    """Run tasks on the controller; the result of each, and the output of the play."""
    playbook, results = lab.directory / "tasks.yml", lab.directory / "results.json"
    registered = [{**task, "register": f"result{number}"} for number, task in enumerate(tasks)]
    content = "{{ [" + ", ".join(task["register"] for task in registered) + "] | to_json }}"
    keep = {"ansible.builtin.copy": {"content": content, "dest": str(results), "mode": "0600"}, "diff": False}
    playbook.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": [*registered, keep]}]))
    done = subprocess.run(
        [lab.program("ansible-playbook"), playbook],
        env=lab.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return json.loads(results.read_text()), done.stdout


def test_the_table_of_changed_packages_is_what_dpkg_says(lab: Lab) -> None:
    lab.play("deploy")
    before, old = installed(lab, "database"), bundle(lab, "database")
    shutil.copy(lab.composition / "compose.lock.json", lab.directory)
    lab.edit('packages = [ "redis-server" ];', 'packages = [ "redis-server" "tree" ];')
    lab.play("lock")
    lab.play("deploy")
    after, new = installed(lab, "database"), bundle(lab, "database")
    differ = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    (result,), output = run_tasks(lab, {"immutable.compose.image_info": {"path": new, "compare_to": old}, "diff": True})
    check_told("image_info", result)
    assert result["changes"] == {name: [before.get(name), after.get(name)] for name in differ}
    assert "tree" in differ and f"+tree {after['tree']}" in output
    image = result["image"]
    assert {package["name"]: package["version"] for package in image["packages"]} == after
    assert (image["role"], image["builder"], image["bundle"]) == ("database", "debian", new)


def test_an_sbom_lists_what_dpkg_says(lab: Lab) -> None:
    image, expected = bundle(lab, "database"), installed(lab, "database")
    cyclonedx, spdx = ({"path": image, "dest": str(lab.directory / name), "format": name} for name in FORMATS)
    results, _output = run_tasks(
        lab,
        {"immutable.compose.image_sbom": cyclonedx, "check_mode": True},
        {"ansible.builtin.stat": {"path": cyclonedx["dest"]}},
        *({"immutable.compose.image_sbom": each} for each in (cyclonedx, cyclonedx, spdx, spdx)),
    )
    assert [result["changed"] for result in results] == [True, False, True, False, True, False]
    assert not results[1]["stat"]["exists"]
    components = json.loads((lab.directory / "cyclonedx").read_text())["components"]
    assert {each["name"]: each["version"] for each in components} == expected
    packages = json.loads((lab.directory / "spdx").read_text())["packages"][1:]
    assert {each["name"]: each["versionInfo"] for each in packages} == expected


def test_an_audit_finds_composition_image_release_and_node(lab: Lab) -> None:
    """An OSV record finds packages by their source."""
    versions = installed(lab, "database")
    events = [{"introduced": "0"}, {"last_affected": versions["redis-server"]}]
    package = {"ecosystem": "Debian:12", "name": "redis"}
    osv = {"id": "OSV-1", "affected": [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]}
    run = audit(lab, TREE, osv, expect=2)
    assert rows(run, "TEST-1") == [["tree", versions["tree"], "1", "database", "2", "database"]]
    assert {cells[0] for cells in rows(run, "OSV-1")} == {"redis-server", "redis-tools"}
    assert run.recap["database"]["failed"] == 1 and run.said("TEST-1 (tree ")


def test_after_a_rebuild_the_node_is_clear_and_the_kept_release_is_not(lab: Lab) -> None:
    lab.edit('packages = [ "redis-server" "tree" ];', 'packages = [ "redis-server" ];')
    shutil.copy(lab.directory / "compose.lock.json", lab.composition)
    version = installed(lab, "database")["tree"]
    run = audit(lab, TREE, compose_audit_fail=False)
    assert rows(run, "TEST-1") == [["tree", version, "1", "-", "2", "database"]]
    lab.play("deploy")
    assert rows(audit(lab, TREE), "TEST-1") == [["tree", version, "1", "-", "2", "-"]]
