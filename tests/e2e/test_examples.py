# SPDX-License-Identifier: GPL-3.0-or-later
"""What `ansible-doc` shows as examples runs, word for word: of every module and plug-in."""

from __future__ import annotations

import ast
import itertools
import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from lab import PATIENCE, ROOT, Lab
from metal import served
from tiny import Tiny

#: Modules in an order in which their examples can run, with the hosts of their play. One is there twice: what it has
#: two examples for comes before the first release and after it. That none is missing, tests/unit/test_docs.py finds.
LIFE = [
    ("immutable", "composition_evaluate"),
    ("immutable", "composition_info"),
    ("immutable", "deployment_plan"),
    ("immutable", "image_build"),
    ("immutable", "image_stage"),
    ("immutable", "deployment_switch"),
    ("immutable", "deployment_verify"),
    ("immutable", "deployment_settle"),
    ("immutable", "deployment_report"),
    ("immutable", "deployment_verify"),
    ("immutable", "deployment_page"),
    ("immutable", "experiment_record"),
    ("localhost", "experiment_run"),
    ("localhost", "image_info"),
    ("localhost", "image_sbom"),
    ("localhost", "play_info"),
    ("immutable", "image_reproduce"),
    ("immutable", "audit_info"),
    ("immutable", "drift_info"),
    ("immutable", "config_push"),
    ("immutable", "nxc_export"),
    ("immutable", "keys_rotate"),
    ("immutable", "deployment_destroy"),
    ("immutable", "composition_lock"),
]
RESERVING = ["oar_job", "oar_job_info"]
PLUGINS = {"composition": "inventory", "nodes": "lookup", "sealed_ssh": "connection"}

#: OAR's commands, as far as the examples go: they know one job.
OAR = r"""
import json, os, sys
path, name, args = os.path.join(os.path.dirname(__file__), "job"), os.path.basename(sys.argv[0]), sys.argv[1:]
job = json.load(open(path)) if os.path.exists(path) else None
if name == "oarsub":
    wanted = args[args.index("-l") + 1]
    hours, minutes, seconds = map(int, wanted.split("walltime=")[1].split(":"))
    job = {"Job_Id": 7, "name": "web", "owner": "root", "state": "Running", "startTime": 1800000000, "events": []}
    job.update(walltime=3600 * hours + 60 * minutes + seconds, types=["deploy"], queue="default", message="")
    job.update(wanted_resources="-l " + wanted, initial_request="oarsub " + " ".join(args))
    job.update(properties="cluster='dahu'", assigned_network_address=["dahu-%d" % n for n in range(1, 43)])
    print("OAR_JOB_ID=7")
elif name == "oarwalltime":
    hours, minutes, seconds = map(int, args[1].lstrip("+").split(":"))
    job["walltime"] += 3600 * hours + 60 * minutes + seconds
elif name == "oardel":
    job["state"] = "Error"
    print("Deleting the job = 7 ...REGISTERED.")
elif job and (job["state"] != "Error" or "-j" in args):
    print(json.dumps({"7": job}))
if job:
    json.dump(job, open(path, "w"))
"""


def example(kind: str, name: str) -> str:
    """The examples of a plug-in, as they are written."""
    tree = ast.parse((ROOT / f"plugins/{kind}/{name}.py").read_text())
    return next(
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "EXAMPLES"
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def indented(*texts: str) -> str:
    return "\n".join(f"    {line}" if line else "" for text in texts for line in text.strip("\n").splitlines())


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    return tiny_of(1, 0)


def test_those_of_a_deployment_in_the_order_of_its_life(lab: Tiny) -> None:
    """With what they leave to who reads them: an image, an experiment, and where things are written."""
    verifying = iter(example("modules", "deployment_verify").split("\n\n"))
    text = ""
    for hosts, names in itertools.groupby(LIFE, lambda entry: entry[0]):
        tasks = [next(verifying) if name == "deployment_verify" else example("modules", name) for _hosts, name in names]
        text += f"- hosts: {hosts}\n  gather_facts: false\n  vars: *given\n  tasks:\n{indented(*tasks)}\n\n"
    for there, here in (
        ("/var/lib/immutable-compose/web", str(lab.state)),
        ("/srv/experiment", str(lab.directory / "nxc")),
    ):
        assert there in text
        text = text.replace(there, here)
    given = {
        "identity": "{{ hostvars.app1.evaluated.deployments.one.composition.roles.app.identity }}",
        "bundle": f"{lab.state}/roots/{{{{ identity }}}}",
        "older_bundle": "{{ bundle }}",
    }
    play = lab.directory / "play.yml"
    play.write_text(text.replace("*given", json.dumps(given)))
    (lab.directory / "advisories.json").write_text("[]")
    experiment = {"deployment": "one", "script": "fs.py", "sweep": {"block": ["4k", "1M"]}}
    (lab.directory / "fs.experiment.yml").write_text(yaml.safe_dump(experiment))
    (lab.directory / "fs.py").write_text('record("block", block)\n')
    lab.play(play)
    assert json.loads((lab.directory / "measured.json").read_text())["records"][0]["value"] == 1
    assert (lab.directory / "results/fs/results.csv").read_text().count("\n") == 3
    assert not (lab.state / "nodes/app1").exists()


def test_that_of_the_lookup(lab: Tiny) -> None:
    play = lab.directory / "lookup.yml"
    play.write_text(example("lookup", "nodes"))
    lab.play(play)


def test_that_of_the_connection(lab: Tiny) -> None:
    lab.play("deploy")
    play = lab.directory / "connection.yml"
    play.write_text(example("connection", "sealed_ssh"))
    process = lab.start(play)
    said, _errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert said.count("[WARNING]") == 1 and "is unsealed (the maintenance of Sunday)" in said


def test_those_of_the_inventory(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("examples", "nfs", platform="qemu")
    (lab.composition.parent / "cluster").symlink_to(lab.composition)
    first, second = example("inventory", "composition").split("\n---\n")
    for name, text in (("demo", first), ("production", second)):
        inventory = lab.directory / name / "inventory"
        inventory.mkdir(parents=True)
        (lab.directory / name / "compositions").symlink_to(lab.composition.parent)
        (inventory / "20.compose.yml").write_text(text.replace("../../compositions", "../compositions"))
        (inventory / "10-hosts.ini").write_text("[compute_rack1]\nr1\n" if name == "production" else "")
        listed = subprocess.run(
            [lab.program("ansible-inventory"), "-i", str(inventory), "--graph"],
            env=lab.environment(), cwd=lab.directory, capture_output=True, text=True, check=True,
        )  # fmt: skip
        nodes = ["server", "node1", "node2"] if name == "demo" else ["nfs", "r1"]
        assert all(f"--{node}\n" in listed.stdout for node in nodes), listed.stdout + listed.stderr


def test_those_of_reservations(lab: Tiny, tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("oarsub", "oarstat", "oardel", "oarwalltime"):
        (commands / name).write_text(f"#!{sys.executable}{OAR}")
    (commands / "ssh").write_text(
        '#!/bin/sh\n[ "$1" != -G ] || { echo "hostname $2"; exit; }\n'
        'while [ "$1" != sh ]; do shift; done\nexec sh -c "$*"\n'
    )
    for path in commands.iterdir():
        path.chmod(0o755)
    machines, site = tmp_path / "kadeploy", tmp_path / "api"
    for directory in (machines, site):
        directory.mkdir()
    with served("kadeploy", machines) as kadeploy, served("g5k_api", site, "--kadeploy", kadeploy) as api:
        own, given = (yaml.safe_load(example("modules", name)) for name in RESERVING)
        by_api = [task for task in own if "grid5000" in str(task)]
        at_end = own[-1:]
        first = [task for task in own if task not in by_api + at_end]
        play = lab.directory / "reserve.yml"
        environment = {"PATH": f"{commands}:/usr/bin:/bin"}
        common = {"hosts": "localhost", "connection": "local", "gather_facts": False}
        play.write_text(json.dumps([
            {**common, "environment": environment, "tasks": [*first, *given, *at_end]},
            {
                **common,
                "vars": {"g5k_user": "alice", "g5k_password": "alice"},
                "module_defaults": {"immutable.compose.oar_job": {"url": f"{api}/stable"}},
                "tasks": by_api,
            },
        ]))  # fmt: skip
        lab.play(play)
