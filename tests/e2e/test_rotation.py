# SPDX-License-Identifier: GPL-3.0-or-later
"""Login key and CA of real nodes are changed by a playbook: the old ones let nobody in, and nobody is locked out."""

from __future__ import annotations

import json
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from tiny import Tiny

FILES = ("ca", "id_ed25519")
NODES = ("app1", "app2", "other")


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, ["other"])
    lab.play("deploy")
    return lab


class Copy:
    """What somebody has copied of the keys of a deployment, to log in with."""

    def __init__(self, state: Path, directory: Path) -> None:
        directory.mkdir()
        for name in FILES:
            shutil.copy(state / name, directory)
        self.config = directory / "ssh_config"
        text = (state / "ssh_config").read_text()
        self.config.write_text(text.replace(str(state / "id_ed25519"), str(directory / "id_ed25519")))
        self.ca, self.guest = directory / "ca", directory / "guest"
        self.directory = directory

    def logs_in(self, node: str) -> bool:
        return self._ssh(node)

    def signs_in(self, node: str) -> bool:
        """With a key that the CA signs, as other controllers do."""
        for path in self.directory.glob("guest*"):
            path.unlink()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.guest], check=True)
        subprocess.run(["ssh-keygen", "-q", "-s", self.ca, "-I", "me", "-n", "root", f"{self.guest}.pub"], check=True)
        return self._ssh(node, "-o", f"IdentityFile={self.guest}")

    def _ssh(self, node: str, *options: str) -> bool:
        config = self.config
        if options:
            config = self.directory / "guest_config"
            lines = self.config.read_text().splitlines()
            config.write_text("\n".join(line for line in lines if "IdentityFile" not in line))
        command = ["ssh", "-F", config, "-o", "BatchMode=yes", *options, node, "true"]
        return subprocess.run(command, check=False, timeout=60).returncode == 0


def read(state: Path) -> dict[str, bytes]:
    return {name: (state / name).read_bytes() for name in FILES}


def authorized(lab: Tiny, node: str) -> list[str]:
    document = json.loads(lab.on(node, "cat /run/compose/node.json"))
    return t.cast("list[str]", document["ssh"]["authorized_keys"])


def proves_itself(lab: Tiny, node: str, directory: Path) -> bool:
    """To whoever knows nothing but the CA."""
    known_hosts = lab.state / "known_hosts"
    (directory / "known_hosts").write_text(known_hosts.read_text().splitlines()[0] + "\n")
    config = (lab.state / "ssh_config").read_text().replace(str(known_hosts), str(directory / "known_hosts"))
    (directory / "config").write_text(config)
    command = ["ssh", "-F", directory / "config", "-o", "BatchMode=yes", node, "true"]
    return subprocess.run(command, check=False, timeout=60).returncode == 0


def test_check_mode_says_what_would_be_and_makes_nothing(lab: Tiny) -> None:
    before = {node: lab.boot_of(node) for node in NODES}
    run = lab.play("rotate", "--check")
    assert run.said("plan: 2 replace") and run.said("plan: 1 replace") and run.changed >= 3
    assert not list(lab.state.parent.glob("*/new"))
    assert {node: lab.boot_of(node) for node in NODES} == before


def test_a_limit_that_leaves_nodes_out_is_refused_and_the_other_deployment_is_not(lab: Tiny, tmp_path: Path) -> None:
    two = lab.state_of("other")
    before, of_two = read(lab.state), Copy(two, tmp_path / "two")
    boots = {node: lab.boot_of(node) for node in NODES}
    run = lab.play("rotate", "--limit", "app1,other", expect=2)
    assert run.said("leaves out app2") and run.recap["app1"]["failed"] == 1 and run.recap["other"]["failed"] == 0
    assert read(lab.state) == before and not (lab.state / "new").exists()
    assert {node for node, boot in boots.items() if lab.boot_of(node) != boot} == {"other"}
    assert not of_two.logs_in("other") and not of_two.signs_in("other")


def test_old_keys_let_nobody_in_afterwards(lab: Tiny, tmp_path: Path) -> None:
    old = Copy(lab.state, tmp_path / "old")
    assert old.logs_in("app1") and old.signs_in("app1")
    lab.on("app1", "echo kept >/srv/data/marker")
    boots = {node: lab.boot_of(node) for node in ("app1", "app2")}
    lab.play("rotate", "--limit", "app1,app2")
    new = Copy(lab.state, tmp_path / "new")
    for node, boot in boots.items():
        assert lab.boot_of(node) != boot
        assert not old.logs_in(node) and not old.signs_in(node)
        assert new.logs_in(node) and new.signs_in(node)
        assert len(authorized(lab, node)) == 2
        assert proves_itself(lab, node, tmp_path)
    assert lab.on("app1", "cat /srv/data/marker") == "kept\n"
    assert lab.play("deploy").changed == 0
    # What a run that fails goes back to does not let them in either.
    lab.script('app1.fail("true")')
    lab.edit("setup.params.v or 1", "setup.params.v or 2")
    lab.play("deploy", expect=2)
    assert not old.logs_in("app1") and new.logs_in("app1")
    lab.edit("setup.params.v or 2", "setup.params.v or 1")
    lab.script()
    assert lab.play("deploy").changed == 0


def test_a_verification_that_fails_goes_back_to_the_old_keys(lab: Tiny, tmp_path: Path) -> None:
    lab.script('app1.fail("grep ill /srv/data/marker")')
    lab.play("deploy")
    lab.on("app1", "echo ill >/srv/data/marker")
    before, of_two = read(lab.state), read(lab.state_of("other"))
    run = lab.play("rotate", expect=2)
    assert run.said("the old login key and CA stay, and the new ones are dropped")
    assert read(lab.state) == before and read(lab.state_of("other")) != of_two
    assert {len(authorized(lab, node)) for node in NODES} == {2}
    assert run.recap["app1"]["failed"] == 1 and run.recap["other"]["failed"] == 0
    lab.on("app1", "echo kept >/srv/data/marker")
    lab.script()
    lab.play("deploy")
    assert lab.play("deploy").changed == 0


@pytest.mark.parametrize("says", ["switch app1: started", "verify", "keys: the new login key and CA have"])
def test_a_run_that_is_killed_is_ended_by_the_next(lab: Tiny, tmp_path: Path, says: str) -> None:
    old = Copy(lab.state, tmp_path / "old")
    lab.kill_when(says, "rotate", "--limit", "app1,app2")
    if says != "switch app1: started":  # then it boots
        assert lab.on("app1", "echo in") == lab.on("app2", "echo in") == "in\n"
    lab.play("rotate", "--limit", "app1,app2")
    new = Copy(lab.state, tmp_path / "new")
    for node in ("app1", "app2"):
        assert not old.logs_in(node) and not old.signs_in(node) and new.logs_in(node) and new.signs_in(node)
    assert not (lab.state / "new").exists() or not list((lab.state / "new").iterdir())
    assert lab.play("deploy").changed == 0


def test_a_deploy_ends_what_a_killed_run_has_begun_without_a_boot(lab: Tiny, tmp_path: Path) -> None:
    old = Copy(lab.state, tmp_path / "old")
    lab.kill_when("keys: there are a new login key", "rotate", "--limit", "app1,app2")
    boots = {node: lab.boot_of(node) for node in ("app1", "app2")}
    lab.play("deploy")
    assert {node: lab.boot_of(node) for node in boots} == boots
    assert not old.logs_in("app1") and not old.signs_in("app2")
    assert lab.play("deploy").changed == 0


@pytest.mark.parametrize("validity", ["+2d:+4000d", "20010101:20020101"])
def test_a_certificate_of_a_wrong_clock_is_renewed_without_a_boot(lab: Tiny, validity: str, tmp_path: Path) -> None:
    certificate = lab.state / "hostkeys/app1-cert.pub"
    sign = ["ssh-keygen", "-q", "-s", lab.state / "ca", "-h", "-I", "app1", "-n", "app1", "-V", validity]
    subprocess.run([*sign, lab.state / "hostkeys/app1.pub"], check=True)
    wrong, boot = certificate.read_text().strip(), lab.boot_of("app1")
    lab.play("deploy", "-e", "compose_replace=app2")  # no node is refreshed unless it has to be
    assert certificate.read_text().strip() != wrong
    assert proves_itself(lab, "app1", tmp_path) and lab.boot_of("app1") == boot
    assert lab.play("deploy").changed == 0
