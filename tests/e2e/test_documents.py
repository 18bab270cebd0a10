# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a run leaves, and whatever a step returns, fits docs/schemas: of runs that end well, and that go back."""

from __future__ import annotations

import json
import shutil
import typing as t
from pathlib import Path

import pytest
import yaml
from schemas import SCHEMAS, check_results, check_state
from tiny import Tiny

#: Module → its arguments, as ``roles/deploy`` has them; each task waits for the one before.
PLANNED: dict[str, t.Any] = {"plan": "{{ deployment_plan }}"}
RUN: dict[str, dict[str, t.Any]] = {
    "deployment_plan": {"hold": True},
    "image_build": PLANNED,
    "image_stage": PLANNED,
    "deployment_switch": PLANNED,
    "deployment_verify": PLANNED,
    "deployment_settle": PLANNED,
}
AROUND: dict[str, dict[str, t.Any]] = {
    "composition_evaluate": {},
    "composition_info": {},
    "config_push": {},
    "keys_rotate": {},
    "nxc_export": {},
    "deployment_page": {},
    "audit_info": {"advisories": {"id": "CVE-1", "package": "libc6", "versions": ["> 0"]}},
    "drift_info": {"ignore": {"/opt/*": "a test"}},
}
#: These take long, and are asked of ``two`` only.
LONG: dict[str, dict[str, t.Any]] = {"image_reproduce": {}, "composition_lock": {}}
FILES = {"addresses", "current", "image", "machine", "node", "owner", "release", "report", "state"}


class Playbook:
    """Calls modules, and keeps what they return."""

    def __init__(self, lab: Tiny) -> None:
        self.lab = lab
        self.file = lab.directory / "steps.yml"

    def run(
        self, modules: t.Mapping[str, t.Any], hosts: str = "all:!localhost", *, during: str = ""
    ) -> dict[str, t.Any]:
        """Module → what its task returned.

        :param during: copy the state directories once this module has ended.
        """
        tasks: list[dict[str, t.Any]] = []
        for module, arguments in modules.items():
            tasks.append({f"immutable.compose.{module}": arguments, "register": module, "ignore_errors": True})
            if module == during:
                copy = ["cp", "-a", str(self.lab.state.parent), str(self.lab.directory / "during")]
                tasks.append({"ansible.builtin.command": {"argv": copy}})
        results = self.lab.directory / "results.json"
        words = ", ".join(f"'{module}': {module}" for module in modules)
        keep = {"dest": str(results), "content": f"{{{{ {{ {words} }} | to_json }}}}", "mode": "0600"}
        tasks.append({"ansible.builtin.copy": keep, "diff": False})
        for task in tasks:
            task.update(name="A step", run_once=True, delegate_to="localhost")
        play = {"name": "All steps", "hosts": hosts, "gather_facts": False, "tasks": tasks}
        self.file.write_text(yaml.safe_dump([play]))
        self.lab.play(self.file, "--diff")
        returned: dict[str, t.Any] = json.loads(results.read_text())
        for module, result in returned.items():
            check_results(module, result)
        return returned


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    return tiny_of(1, ["db"])


@pytest.fixture(scope="module")
def playbook(lab: Tiny) -> Playbook:
    return Playbook(lab)


@pytest.fixture(scope="module")
def first(playbook: Playbook) -> dict[str, t.Any]:
    """What the first run returns."""
    return playbook.run({**RUN, **AROUND}, during="deployment_verify")


def test_a_run_that_ends_well(lab: Tiny, first: dict[str, t.Any]) -> None:
    assert first["deployment_settle"]["deployments"]["one"]["release"] == 1
    assert first["audit_info"]["deployments"]["two"]["affected"]
    for name in ("one", "two"):
        assert check_state(lab.directory / "during" / name) >= {"journal", "lease", "report", "event"}
        assert check_state(lab.state.parent / name) >= {*FILES, "event", "findings"}


@pytest.mark.usefixtures("first")
def test_what_takes_long(playbook: Playbook) -> None:
    results = playbook.run(LONG, "db")
    assert results["composition_lock"]["diff"] and results["image_reproduce"]["deployments"]["two"]["images"]


@pytest.mark.usefixtures("first")
def test_a_run_that_goes_back(lab: Tiny, playbook: Playbook) -> None:
    """The test script of ``one`` fails at a node; ``two`` cannot be planned."""
    lab.script('with subtest("greeting"):\n      app1.succeed("grep v9 /etc/greeting")')
    lab.write(parameters={"replaced": True})  # another node document does it, and needs no other image
    other = lab.composition.with_name("other") / "composition.nix"
    good = other.read_text()
    other.write_text(good.replace("for machine in machines", "for machine in nodes"))
    results = playbook.run(RUN)
    other.write_text(good)
    settled = results["deployment_settle"]
    assert "greeting" in settled["deployments"]["one"]["veto"] and settled["nodes"]["app1"]["back_on"]
    assert settled["deployments"]["two"]["failed"]
    for name in ("one", "two"):
        assert check_state(lab.state.parent / name) >= FILES
    report = json.loads((lab.state / "results/verify/results.json").read_text())
    assert report["checks"][-1]["details"]["returncode"] == 1 and not report["script"]["ok"]


@pytest.mark.usefixtures("first")
def test_the_end(lab: Tiny, playbook: Playbook) -> None:
    results = playbook.run({"deployment_verify": {"release": "current"}, "deployment_destroy": {"data": True}})
    assert results["deployment_destroy"]["failed_nodes"] == []
    assert check_state(lab.state) >= {"release", "state"}


@pytest.mark.usefixtures("first")
def test_a_stranger_is_noticed(lab: Tiny, tmp_path: Path) -> None:
    shutil.copytree(lab.state, tmp_path / "one", symlinks=True)
    (tmp_path / "one" / "results" / "notes.txt").write_text("what is this?")
    with pytest.raises(AssertionError, match="notes.txt.*neither a known document"):
        check_state(tmp_path / "one")
    (tmp_path / "one" / "results" / "notes.txt").unlink()
    (tmp_path / "one" / "releases" / "current").write_text('"one"')
    with pytest.raises(AssertionError, match="is not of type 'integer'"):
        check_state(tmp_path / "one")


def test_every_step_was_tried() -> None:
    written_by_users = {"experiment_file"}
    modules = {path.stem for path in SCHEMAS.glob("*_*.json")} - written_by_users
    told = {"image_info", "oar_job", "oar_job_info"}  # in test_audit and test_reservations
    assert modules == {*RUN, *AROUND, *LONG, "deployment_destroy", *told}
