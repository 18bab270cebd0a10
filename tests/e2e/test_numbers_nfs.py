# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of users on virtual machines that share a directory over NFS, which knows owners by number only."""

from __future__ import annotations

import typing as t

import pytest
from lab import Lab

pytestmark = pytest.mark.guests


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    """Each role has a user of its own, who would be the first of both."""
    platform = {"name": "qemu", "memory": 512, "ssh_port_base": 23300}
    lab = lab_of("numbers-nfs", "nfs", platform=platform, roles={"node": ["node1"]})
    lab.drop_test_script()
    lab.edit("shared = {", 'mine = { mount = "/srv/mine"; user = "carol"; };\n      volumes.shared = {')
    lab.edit('units."nfs-server.service" = { };', 'users.carol = { };\n      units."nfs-server.service" = { };')
    lab.edit('units."data.automount"', 'users.bob = { };\n      units."data.automount"')
    lab.play("lock")
    lab.play("deploy")
    return lab


def run(lab: Lab, node: str, command: str) -> str:
    done = lab.ssh(node, command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_one_role_writes_is_nobody_elses_in_another(lab: Lab) -> None:
    run(lab, "node1", "runuser -u bob -- sh -c 'umask 077; echo secret > /data/of-bob'")
    bob = run(lab, "node1", "id -u bob")
    assert run(lab, "server", "stat -c %u /srv/shared/of-bob") == bob
    assert run(lab, "server", "id -u carol") != bob
    assert lab.ssh("server", "runuser -u carol -- cat /srv/shared/of-bob").returncode != 0


def test_users_who_come_later_are_the_same_in_both(lab: Lab) -> None:
    run(lab, "server", "runuser -u carol -- touch /srv/mine/of-carol")
    bob, carol = run(lab, "node1", "id -u bob"), run(lab, "server", "id -u carol")
    for name in ("carol", "bob"):
        lab.edit(f"users.{name} = {{ }};", f"users.{name} = {{ }};\n      users.alice = {{ }};")
    lab.play("lock")
    lab.play("deploy")
    assert run(lab, "node1", "id -u bob") == bob
    assert run(lab, "server", "id -u carol") == carol
    alice = run(lab, "node1", "id -u alice")
    assert run(lab, "server", "id -u alice") == alice
    assert alice not in (bob, carol)
    run(lab, "node1", "runuser -u alice -- sh -c 'umask 077; echo mine > /data/of-alice'")
    assert run(lab, "server", "runuser -u alice -- cat /srv/shared/of-alice") == "mine"
    assert lab.ssh("server", "runuser -u alice -- cat /srv/shared/of-bob").returncode != 0
    assert run(lab, "node1", "runuser -u bob -- cat /data/of-bob") == "secret"
    assert run(lab, "server", "stat -c %U /srv/mine/of-carol /srv/mine") == "carol\ncarol"
    assert "user carol" in run(lab, "server", "cat /srv/mine/.compose-numbers")
