# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of users and groups: data stay with whom they belong to, whatever users and packages come and go."""

from __future__ import annotations

import json
import subprocess
import typing as t

import pytest
from lab import Lab

pytestmark = pytest.mark.story

COMPOSITION = """
{ ... }:
{
  roles.home = {
    packages = [ "redis-server" ];
    users.bob = { };
    users.carol = { };
    volumes.home = { mount = "/home"; };
    volumes.mail = { mount = "/srv/mail"; user = "carol"; mode = "0755"; };
    volumes.redis = { mount = "/var/lib/redis"; user = "redis"; group = "redis"; mode = "0750"; };
    units."redis-server.service" = { };
  };
  roles.desk = {
    packages = [ "munge" ];
    users.alice = { };
    users.bob = { };
  };
}
"""
#: What comes first in every order there is, and shifts all others.
NEWCOMERS = 'packages = [ "redis-server" "rpcbind" ]; users.alice = { };'
WRITE = """
set -e
install -d -o bob -g bob -m 0700 /home/bob
for name in bob carol; do
    echo $name > /home/$name.key; chown $name: /home/$name.key; chmod 0600 /home/$name.key
    echo $name > /srv/mail/$name; chown $name: /srv/mail/$name; chmod 0600 /srv/mail/$name
done
redis-cli set kept 7
redis-cli save
"""
LOOK = "cd /; stat -c '%n %U:%G' /home/bob /home/*.key /srv/mail /srv/mail/* /var/lib/redis /var/lib/redis/dump.rdb"
OWNERS = """\
/home/bob bob:bob
/home/bob.key bob:bob
/home/carol.key carol:carol
/srv/mail carol:root
/srv/mail/bob bob:bob
/srv/mail/carol carol:carol
/var/lib/redis redis:redis
/var/lib/redis/dump.rdb redis:redis
"""


def make(lab_of: t.Callable[..., Lab], name: str, **roles: int | None) -> Lab:
    lab = lab_of(name, "web", platform="nspawn", roles=roles, boot_timeout=300)
    (lab.composition / "composition.nix").write_text(COMPOSITION)
    lab.play("lock")
    return lab


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    """Numbers are kept in the lock."""
    return make(lab_of, "kept", home=None, desk=None)


@pytest.fixture(scope="module")
def old(lab_of: t.Callable[..., Lab]) -> Lab:
    """The lock is of former times: each image has the numbers that are free."""
    lab = make(lab_of, "free", home=None, desk=0)
    drop_numbers(lab)
    return lab


def drop_numbers(lab: Lab) -> None:
    path = lab.composition / "compose.lock.json"
    lock = json.loads(path.read_text())
    del lock["numbers"]
    path.write_text(json.dumps(lock))


def numbers(lab: Lab, node: str) -> dict[str, dict[str, int]]:
    """Of all users and groups of a node, as itself says."""
    found: dict[str, dict[str, int]] = {}
    for kind in ("passwd", "group"):
        lines = lab.ssh(node, f"getent {kind}").stdout.splitlines()
        assert lines
        found[kind] = {line.split(":")[0]: int(line.split(":")[2]) for line in lines}
    return found


def require_owners(lab: Lab) -> None:
    """Each has what was written as his, and nobody else can read it."""
    assert lab.ssh("home", LOOK).stdout == OWNERS
    assert lab.ssh("home", "runuser -u bob -- cat /home/bob.key /srv/mail/bob").stdout == "bob\nbob\n"
    assert lab.ssh("home", "redis-cli get kept").stdout == "7\n"
    if lab.ssh("home", "id alice").returncode == 0:
        assert lab.ssh("home", "runuser -u alice -- cat /home/bob.key /home/carol.key /srv/mail/carol").stdout == ""


def test_numbers_are_kept_and_the_same_in_all_roles(lab: Lab) -> None:
    lab.play("deploy")
    before = numbers(lab, "home")
    desk = numbers(lab, "desk")
    for kind, names in before.items():
        assert {name: desk[kind].get(name, number) for name, number in names.items()} == names
        both = {**names, **desk[kind]}
        assert len(set(both.values())) == len(both)
    wrote = lab.ssh("home", WRITE)
    assert wrote.returncode == 0, wrote.stderr
    require_owners(lab)

    lab.edit('packages = [ "redis-server" ];', NEWCOMERS)
    refused = lab.play("deploy", expect=2)
    assert refused.said("roles.home.packages: 'rpcbind' is not locked")
    lab.play("lock")
    lab.play("deploy")
    after = numbers(lab, "home")
    assert {kind: {name: after[kind][name] for name in names} for kind, names in before.items()} == before
    assert {"alice", "_rpc"} <= after["passwd"].keys()
    assert after["passwd"]["alice"] == desk["passwd"]["alice"]
    require_owners(lab)


def test_a_number_that_is_asked_for_moves_the_data(lab: Lab) -> None:
    lab.edit("users.carol = { };", "users.carol = { uid = 2345; };")
    refused = lab.play("plan", expect=2)
    assert refused.said("roles.home.users.carol.uid is 2345, the lock keeps ")
    lab.play("lock")
    key = lab.state / "volumes/home/home/carol.key"
    subprocess.run(["chattr", "+i", key], check=True)
    try:
        failed = lab.play("deploy", expect=2)
    finally:
        subprocess.run(["chattr", "-i", key], check=True)
    assert failed.said(
        "/home/carol.key cannot be given its owner's new number: run chattr -ia on it in the image before"
    )
    require_owners(lab)
    lab.play("deploy")
    assert lab.ssh("home", "id -u carol").stdout == "2345\n"
    require_owners(lab)


def test_a_number_of_somebody_else_is_refused(lab: Lab) -> None:
    lab.edit("users.bob = { };\n    users.carol", "users.bob = { uid = 2345; };\n    users.carol")
    refused = lab.play("lock", expect=2)
    assert refused.said("roles.home.users.bob.uid: 2345 is the number of 'carol'")
    lab.edit("users.bob = { uid = 2345; };", "users.bob = { };")


def test_data_of_nobody_keep_a_node_from_booting(lab: Lab) -> None:
    assert lab.ssh("home", "touch /home/of-a-client && chown 2346 /home/of-a-client").returncode == 0
    lab.edit("users.carol", "users.dave = { uid = 2346; };\n    users.carol")
    lab.play("lock")
    failed = lab.play("deploy", expect=2)
    words = "belongs to the user 2346, whose name nobody has kept; in this image that is dave, who is not given it"
    assert failed.said(f"/home/of-a-client {words}")
    assert lab.ssh("home", "stat -c %u /home/of-a-client").stdout == "2346\n"
    require_owners(lab)


def test_without_kept_numbers_data_follow_their_owners(old: Lab) -> None:
    old.play("deploy")
    before = numbers(old, "home")
    wrote = old.ssh("home", WRITE)
    assert wrote.returncode == 0, wrote.stderr
    old.edit('packages = [ "redis-server" ];', NEWCOMERS)
    old.play("lock")
    drop_numbers(old)
    run = old.play("deploy")
    after = numbers(old, "home")
    assert after["passwd"]["alice"] == before["passwd"]["bob"]  # else this test shows nothing
    assert after["passwd"]["bob"] == before["passwd"]["carol"]
    assert run.said(f"the user 'bob' is {before['passwd']['bob']}, and {after['passwd']['bob']} in the new image")
    require_owners(old)

    old.play("rollback")
    assert numbers(old, "home") == before
    require_owners(old)


def test_a_deployment_that_fails_gives_data_back(old: Lab) -> None:
    old.edit("volumes.home", 'units."broken.service".text = "[Service]\\nExecStart=/bin/false\\n"; volumes.home')
    path = old.composition / "composition.nix"
    text = path.read_text().replace('/bin/false\\n"', '/bin/false\\n[Install]\\nWantedBy=multi-user.target\\n"')
    path.write_text(text)
    old.play("deploy", expect=2)
    require_owners(old)
    assert old.ssh("home", "id alice").returncode != 0
