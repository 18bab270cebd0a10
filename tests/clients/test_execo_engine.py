"""An experiment written for execo, on machines that this collection deploys."""

from __future__ import annotations

import typing as t
from pathlib import Path

import execo
import pytest
from conftest import ANSIBLE


def test_what_ansible_says_is_passed_on(inventory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from immutable_compose.deployment import Deployment, DeploymentError, ssh_options

    with pytest.raises(DeploymentError, match="no deployment 'other' in .*: lab$"):
        Deployment(str(inventory), "other", str(ANSIBLE)).nodes()
    with pytest.raises(DeploymentError, match="ssh_config is not there: deploy on this host first"):
        ssh_options(Deployment(str(inventory), ansible=str(ANSIBLE)).nodes())
    with pytest.raises(DeploymentError, match="ansible-inventory is not in .*/nowhere"):
        Deployment(str(inventory), ansible=str(inventory.parent / "nowhere")).nodes()
    inventory.write_text(inventory.read_text().replace("nspawn", "nspwan"))
    with pytest.raises(DeploymentError, match=r"(?s)ansible-inventory .*: exit code 1\n.*nspwan"):
        Deployment(str(inventory), ansible=str(ANSIBLE)).nodes()
    inventory.write_text(inventory.read_text().replace("nspwan", "nspawn"))


def test_an_inventory_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from immutable_compose import deployment

    monkeypatch.setattr(deployment, "_READING", 0.2)
    slow = tmp_path / "ansible-inventory"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    with pytest.raises(deployment.DeploymentError, match=r"ansible-inventory -i x --list: no answer within"):
        deployment.Deployment("x", ansible=str(tmp_path)).nodes()


def test_an_engine_runs_on_what_is_deployed(inventory: Path) -> None:
    from immutable_compose.execo import ComposeEngine

    said: dict[str, t.Any] = {}

    class Experiment(ComposeEngine):
        """What somebody writes."""

        def run(self) -> None:
            hosts = self.hosts["worker"]
            put = execo.Put(hosts, [str(inventory)], "/run", connection_params=self.connection_params).run()
            remote = execo.Remote("hostname; ls /run/lab.compose.yml", hosts, self.connection_params).run()
            said["ok"] = put.ok and remote.ok
            said["output"] = {process.host.address: process.stdout.split() for process in remote.processes}
            said["head"] = execo.SshProcess("hostname", self.hosts["head"][0], self.connection_params).run().stdout

    options = ["-i", str(inventory), "--ansible", str(ANSIBLE), "-c", str(inventory.parent / "results")]
    Experiment().start(options)
    assert said["ok"]
    assert said["output"] == {name: [name, "/run/lab.compose.yml"] for name in ("worker1", "worker2")}
    assert said["head"].split() == ["head"]


def test_machines_are_destroyed_when_an_experiment_fails(inventory: Path) -> None:
    from immutable_compose.execo import ComposeEngine

    class Experiment(ComposeEngine):
        def run(self) -> None:
            raise ValueError("mine")

    options = ["-i", str(inventory), "--ansible", str(ANSIBLE), "-c", str(inventory.parent / "results")]
    with pytest.raises(ValueError, match="mine"):
        Experiment().start([*options, "--destroy"])
    assert not list(inventory.parent.glob("state/lab/nodes/*"))
