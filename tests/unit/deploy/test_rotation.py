# SPDX-License-Identifier: GPL-3.0-or-later
"""Login key and CA are changed by a run like any other; whatever happens to it, some key logs in to each node."""

from __future__ import annotations

import shutil
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish
from ansible_collections.immutable.compose.plugins.module_utils.deploy.removal import destroy
from ansible_collections.immutable.compose.plugins.module_utils.deploy.rotation import rotate
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.model.step import NodePlan
from ansible_collections.immutable.compose.plugins.module_utils.nodes import connection
from ansible_collections.immutable.compose.plugins.module_utils.nodes.connection import SSHError
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys

from .conftest import Site

WEB = ["web1", "web2", "web3"]


@pytest.fixture
def lab(rack: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Deployed; a node lets in whoever its document names."""

    class Login:
        def __init__(self, node: str, endpoint: object, host_key: str, identity_file: str) -> None:
            self.node, self.key = node, Path(f"{identity_file}.pub").read_text().strip()

        def open(self, timeout: float) -> None:
            if self.key not in lets_in(rack, self.node):
                raise SSHError("Authentication failed.", node=self.node)

        def close(self) -> None:
            pass

    monkeypatch.setattr(connection, "Connection", Login)
    rack.deploy()
    return rack


def lets_in(rack: Site, node: str) -> tuple[str, ...]:
    return rack.machines[node].target.document.ssh.authorized_keys


def keys(rack: Site) -> Keys:
    return Keys(rack.deployment.state)


def change(rack: Site, *batch: str, **wish: t.Any) -> dict[str, t.Any]:
    """What the playbook does."""
    rotate(rack.engine(*batch), pretend=False)
    return rack.deploy(*batch, release="current", replace=WEB, **wish)


def lines(rack: Site) -> tuple[str, ...]:
    return tuple(keys(rack).authorized())


def test_all_nodes_take_the_new_keys_and_let_the_old_ones_in_no_more(lab: Site) -> None:
    old = lines(lab)
    change(lab)
    new = lines(lab)
    assert len(new) == 2 and not set(old) & set(new)
    assert {lets_in(lab, node) for node in WEB} == {new}
    # Also of what a run that fails goes back to.
    assert all(machine.verified == machine.target for machine in lab.machines.values())
    assert not Path(lab.deployment.state, "new").exists()
    assert lab.deploy()["plan"]["pending"] is False


def test_nodes_let_both_in_until_all_are_verified(lab: Site) -> None:
    old = lines(lab)
    rotate(lab.engine(), pretend=False)
    assert lab.deploy("web1")["settle"]["failed_nodes"] == []
    assert lets_in(lab, "web1")[:2] == lets_in(lab, "web2") == old and len(lets_in(lab, "web1")) == 4
    assert "stay until these take the new ones: web2, web3" in lab.said()
    assert lab.deploy()["plan"]["nodes"]["web1"]["action"] == "keep"
    assert {lets_in(lab, node) for node in WEB} == {lines(lab)} and not set(old) & set(lines(lab))


def test_a_run_that_fails_goes_back_to_the_old_keys(lab: Site) -> None:
    old = lines(lab)
    lab.incurable, lab.sick = {"web2"}, set()
    lab.infected = {"web2": "web2"}
    done = change(lab)
    assert done["settle"]["failed_nodes"] == WEB
    lab.infected = {}
    assert lines(lab) == old
    assert {node: lets_in(lab, node) for node in WEB} == dict.fromkeys(WEB, old)


def test_a_node_that_does_not_let_the_new_key_in_takes_the_run_back(lab: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, timeout: float) -> t.NoReturn:
        raise SSHError("Authentication failed.")

    old = lines(lab)
    monkeypatch.setattr(connection.Connection, "open", refuse)
    done = change(lab)
    assert "the new login key does not log in" in done["settle"]["nodes"]["web1"]["message"]
    assert lines(lab) == old and not Path(lab.deployment.state, "new").exists()
    assert lab.deploy()["settle"]["failed_nodes"] == []
    assert {lets_in(lab, node) for node in WEB} == {old}


@pytest.mark.parametrize("step", ["stage", "switch", "verify", "settle"])
def test_what_a_killed_run_has_begun_the_next_one_ends(lab: Site, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = lines(lab)
    with monkeypatch.context() as patch:

        def killed(*args: object, **words: object) -> t.NoReturn:
            raise KeyboardInterrupt

        patch.setattr(f"{type(lab.transaction()).__module__}.Transaction.{step}", killed)
        with pytest.raises(KeyboardInterrupt):
            change(lab)
    made = keys(lab).new
    assert made is not None
    new = (made.login_public_key(), made.run_authority())
    change(lab)
    assert lines(lab) == new and {lets_in(lab, node) for node in WEB} == {new} and not set(old) & set(new)


@pytest.mark.parametrize("moved", [["ca"], ["ca", "id_ed25519"]])
def test_a_run_killed_while_new_keys_take_the_place_of_the_old_is_ended_by_a_deploy(
    lab: Site, moved: list[str]
) -> None:
    rotate(lab.engine(), pretend=False)
    state = Path(lab.deployment.state)
    saved = shutil.copytree(state / "new", state.parent / "new")
    old = lines(lab)
    lab.deploy("web1"), lab.deploy("web2", "web3")  # verified, and told of both
    for name in moved:
        (state / "new" / name).replace(state / name)
    for _turn in range(2):
        assert lab.deploy()["settle"]["failed_nodes"] == []
    assert {(state / name).read_bytes() == (saved / name).read_bytes() for name in ("ca", "id_ed25519")} == {True}
    assert {lets_in(lab, node) for node in WEB} == {lines(lab)} and not set(old[:2]) & set(lines(lab))


def test_a_node_that_cannot_be_told_is_told_by_the_next_run(lab: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rotate(lab.engine(), pretend=False)
    lab.deploy("web1"), lab.deploy("web2", "web3")
    platform = type(lab.engine().platform)
    refresh = platform.refresh

    def deaf(self: t.Any, node: t.Any, *args: t.Any) -> None:
        if node.name == "web2":
            raise SSHError("no answer", node=node.name)
        refresh(self, node, *args)

    with monkeypatch.context() as patch:
        patch.setattr(platform, "refresh", deaf)
        done = lab.deploy()
    assert done["settle"]["failed_nodes"] == ["web2"]
    assert "it lets the old login key in until the next run" in done["settle"]["nodes"]["web2"]["message"]
    assert lab.deploy()["plan"]["nodes"]["web2"]["action"] == "refresh"
    assert {lets_in(lab, node) for node in WEB} == {lines(lab)}


def test_a_part_of_the_nodes_is_refused(lab: Site) -> None:
    with pytest.raises(ComposeError, match=r"leaves out web2, web3.*without --limit"):
        rotate(lab.engine("web1"), pretend=False)
    assert keys(lab).new is None


@pytest.mark.parametrize("harm", ["stopped", "gone", "unverified"])
def test_nodes_that_are_not_well_are_refused(lab: Site, harm: str) -> None:
    machine = lab.machines["web2"]
    if harm == "stopped":
        machine.running = False
    elif harm == "gone":
        del lab.machines["web2"]
    else:
        machine.verified = None
    said = {"stopped": "is stopped", "gone": "does not exist", "unverified": "never verified"}[harm]
    with pytest.raises(ComposeError, match=rf"web2: the node .*{said}.*; deploy first"):
        rotate(lab.engine(), pretend=False)
    assert keys(lab).new is None


def test_check_mode_makes_nothing(lab: Site) -> None:
    assert rotate(lab.engine(), pretend=True).changed
    assert keys(lab).new is None
    rotate(lab.engine(), pretend=False)
    assert not rotate(lab.engine(), pretend=True).changed


def test_a_certificate_of_a_wrong_clock_is_told_by_the_next_deploy(lab: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(lab.deployment.state, "hostkeys/web2-cert.pub")
    with monkeypatch.context() as patch:
        later = time.time() + 400 * 24 * 3600
        patch.setattr("time.time", lambda: later)
        path.unlink()
        keys(lab).host_key("web2")
    wrong = path.read_text()
    for failing in (True, False):  # it is not forgotten because the node could not be told
        plan = lab.transaction().plan(Wish(), hold=False)
        assert [name for name, step in plan.nodes.items() if step.action != "keep"] == ["web2"]
        assert plan.nodes["web2"] == NodePlan("refresh", "web", "v1", "v1", ["its host certificate is not valid now"])
        if failing:
            lab.silent = {"web2"}
            assert not lab.engine().documents.refresh([lab.deployment.node("web2")])["web2"].ok
            lab.silent = set()
    lab.deploy()
    assert path.read_text() != wrong
    assert lab.machines["web2"].target.document.ssh.host_certificate == path.read_text().strip()
    assert lab.deploy()["plan"]["pending"] is False


def test_nodes_that_are_destroyed_leave_nothing_to_wait_for(lab: Site) -> None:
    rotate(lab.engine(), pretend=False)
    destroy(lab.engine(), data=False)
    lab.deploy()
    assert keys(lab).new is None and {lets_in(lab, node) for node in WEB} == {lines(lab)}
