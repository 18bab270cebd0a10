# SPDX-License-Identifier: GPL-3.0-or-later
"""The real ``nxc`` of NixOS Compose: builds through the collection, and works on nodes that the collection deployed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from lab import COLLECTIONS, NEW, PATIENCE, ROOT, Lab
from nxc import NXC, run_nxc

DATABASE = "database.wait_for_unit('redis-server'); database.succeed('redis-cli ping')"


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    """One container of the example, whose image other tests have built, too."""
    lab = lab_of("nxc", "web", platform="nspawn", roles={"proxy": 0, "backend": 0})
    lab.drop_kernels()
    lab.drop_test_script()
    path = lab.composition / "composition.nix"
    path.write_text(path.read_text().rstrip().removesuffix("}") + f"  testScript = ''\n    {DATABASE}\n  '';\n}}\n")
    lab.play("deploy")
    return lab


@pytest.fixture(scope="module")
def exported(lab: Lab) -> Path:
    """An export for the flavours that NXC reaches by address."""
    directory = lab.directory / "experiment"
    run = lab.play("nxc_export", "-e", f"compose_directory={directory}", "-e", "compose_flavour=g5k-ramdisk")
    assert run.changed == 1
    return directory


def nxc(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``nxc`` in the network of the nodes."""
    proxy = (lab.state / "ssh_config").read_text().split("ProxyCommand ")[1].split()
    return run_nxc(lab, lab.directory / "experiment", *arguments, prefix=proxy[:2])


def test_nxc_reads_what_is_exported(lab: Lab, exported: Path) -> None:
    address = json.loads(subprocess.run(
        [lab.program("ansible-inventory"), "-i", str(lab.inventory), "--host", "database"],
        env=lab.environment(), check=True, capture_output=True, text=True,
    ).stdout)["compose_address"]  # fmt: skip
    assert nxc(lab, "helper", "ip", "database").stdout.split() == [address]
    assert nxc(lab, "helper", "ip_ssh_port", "database").stdout.split() == [f"{address}:22"]
    assert nxc(lab, "helper", "fqdn", "database").stdout.strip() != ""
    assert json.loads((exported / "nodes.json").read_text()) == {}
    assert (
        lab.play("nxc_export", "-e", f"compose_directory={exported}", "-e", "compose_flavour=g5k-ramdisk").changed == 0
    )


def test_the_driver_of_nxc_runs_the_test_script_on_the_nodes(lab: Lab, exported: Path) -> None:
    done = nxc(lab, "driver", "-t")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "redis-cli ping" in done.stdout + done.stderr
    script = exported / "fails.py"
    script.write_text("database.succeed('hostname; false')")
    done = nxc(lab, "driver", str(script))
    assert done.returncode == 1 and "database" in done.stdout + done.stderr


def test_an_export_that_nxc_could_not_use_is_refused(lab: Lab) -> None:
    run = lab.play("nxc_export", "-e", "compose_flavour=vm", expect=2)
    assert run.said("node 'database' has its SSH server at")


def play(tmp_path: Path, playbook: str, deployment: dict[str, t.Any], *arguments: str) -> Path:
    """Run a playbook on the stub project; returns the state directory."""
    inventory = tmp_path / "project.compose.yml"
    written = {
        "plugin": "immutable.compose.composition",
        "composition": str(tmp_path / "project"),
        "state_dir": str(tmp_path / "state"),
        **deployment,
    }
    inventory.write_text(json.dumps(written))
    program = str(Path(sys.executable).parent / "ansible-playbook")
    done = subprocess.run(
        [program, "-i", str(inventory), f"immutable.compose.{playbook}", *arguments],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
            "NIX_CONFIG": "sandbox = false\nsubstituters =",
            "PATH": f"{NXC}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path / "state/project"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The flake of a project, with stub outputs."""
    return Path(shutil.copytree(ROOT / "tests/unit/builders/nxc_project", tmp_path / "project"))


def test_the_real_nxc_builds_stub_outputs_through_the_playbook(tmp_path: Path, project: Path) -> None:
    before = {path: path.read_bytes() for path in project.iterdir()}
    builder = {"name": "nxc", "tool": "nxc", "variant": "dev"}
    state = play(tmp_path, "build", {"platform": "qemu", "builder": builder, "setup": {"greeting": NEW}})
    roots = list((state / "roots").iterdir())
    assert sorted(root.name[33:] for root in roots) == ["nixos-system-node-25.05", "nixos-system-server-25.05"]
    images = {json.loads((root / "image.json").read_text())["role"]: root for root in roots}
    system = json.loads((images["server"] / "image.json").read_text())["handover"]["system"]
    assert Path(system, "greeting").read_text().strip() == NEW
    assert {path: path.read_bytes() for path in project.iterdir()} == before


@pytest.mark.usefixtures("project")
def test_stub_outputs_for_docker_become_a_compose_file_that_is_valid(tmp_path: Path) -> None:
    deployment = {"platform": "podman", "builder": "nxc", "roles": {"node": 2}}
    state = play(tmp_path, "build", deployment)
    play(tmp_path, "nxc_export", deployment)
    file = state / "nxc/artifact/composition/docker/docker-compose.json"
    command = ["docker-compose", "--file", str(file), "config"]
    checked = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
    services = yaml.safe_load(checked)["services"]
    assert sorted(services) == ["node1", "node2", "server"]
    assert services["node2"]["hostname"] == "node2" and services["node2"]["command"][0].endswith("/init")
    mounted = services["server"]["volumes"][-1]
    assert mounted["target"] == "/etc/nxc/deployment.json"
    deployed = json.loads(Path(mounted["source"]).read_text())
    assert deployed["deployment"]["server"] == {"role": "server"}
    assert deployed["docker-compose-file"] == str(file)
    assert Path(json.loads(file.read_text())["x-nxc"]["image"]).read_text() == "oci\n"
