# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose are data, state and addresses: what belongs to others is refused by the plan, and stays as it is."""

from __future__ import annotations

import json
import shutil
import typing as t

import pytest
from lab import Lab, Run, changed

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.lock import KERNEL_SUPPORT

pytestmark = pytest.mark.story

#: Two roles of the same packages, each with a volume of the same name.
COMPOSITION = """
{ ... }:
let
  role = {
    packages = [ "python3" ];
    volumes.data = { mount = "/srv/data"; mode = "0750"; };
  };
in
{
  roles = { app = role; aux = role; };
  rolesDistribution = { app = 0; aux = 0; };
}
"""
#: One more role, before the others in alphabetical order.
MORE = COMPOSITION.replace("roles = { app", "roles = { aaa = role; app").replace("{ app = 0", "{ aaa = 0; app = 0")


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("owned", "web", platform="nspawn", roles={"app": ["x"], "aux": ["y"]})
    (lab.composition / "composition.nix").write_text(COMPOSITION)
    path = lab.composition / "compose.lock.json"
    lock = json.loads(path.read_text())
    role = lock["roles"]["backend"]
    del role["kernel"], role["requested_kernel"]
    role["requested"] = [name for name in role["requested"] if name not in KERNEL_SUPPORT]
    lock["roles"] = dict.fromkeys(("aaa", "app", "aux"), role)
    path.write_text(json.dumps({**lock, "roles": {name: lock["roles"][name] for name in ("app", "aux")}}))
    (lab.directory / "more.lock.json").write_text(json.dumps(lock))
    lab.play("deploy")
    for node in ("x", "y"):
        assert lab.ssh(node, f"echo {node} >/srv/data/marker && chown 1234 /srv/data/marker").returncode == 0
    return lab


def markers(lab: Lab, *nodes: str) -> dict[str, str]:
    """Node → its data, and their owner, as the host has them."""
    found = {}
    for node in nodes:
        path = lab.state / "volumes" / node / "data" / "marker"
        found[node] = f"{path.read_text().strip()} {path.stat().st_uid}"
    return found


MARKERS = {"x": "x 1234", "y": "y 1234"}


def refused(lab: Lab, *words: str, playbook: str = "deploy", args: t.Sequence[str] = ()) -> Run:
    """A run that says all the words, and touches nothing: no node, no data, no file of the state."""
    boots, kept = lab.boots(), markers(lab, "x", "y")
    run = lab.play(playbook, *args, expect=2)
    for word in words:
        assert run.said(word), f"{word!r} was never said"
    assert not run.said("switch ")
    assert lab.boots() == boots
    assert markers(lab, "x", "y") == kept == MARKERS
    return run


def addresses(lab: Lab) -> dict[str, str]:
    """Node → address that it has, as each node says itself."""
    return {
        node: lab.ssh(node, "ip -4 -o addr show host0 | awk '{print $4}'").stdout.split("/")[0] for node in lab.nodes()
    }


def test_the_document_cannot_be_written_to_from_inside(lab: Lab) -> None:
    done = lab.ssh("x", "touch /run/compose/in/program")
    assert done.returncode != 0 and "Read-only file system" in done.stderr
    assert not (lab.state / "nodes/x/in/program").exists()


def test_swapped_roles_are_refused_and_handed_over_by_a_word(lab: Lab) -> None:
    lab.write(roles={"app": ["y"], "aux": ["x"]})
    volume = lab.state / "volumes/x/data"
    words = (
        f"node 'x' would get the data volume 'data' ({volume}) of role 'app' of composition 'web'",
        "node 'y' would",
    )
    refused(lab, *words, "adopt_data: [x, y]")
    refused(lab, *words, args=["--check"])
    lab.write(adopt_data=["x", "y"])
    lab.play("deploy")
    assert lab.ssh("x", "jq -r .role /run/compose/node.json; cat /srv/data/marker").stdout.split()[-1] == "x"
    del lab.deployment["adopt_data"]


def test_a_retired_name_is_not_for_another_role(lab: Lab) -> None:
    lab.write(roles={"app": ["y"], "aux": 0})
    lab.play("deploy")
    assert lab.nodes() == ["y"]
    lab.write(roles={"app": ["y", "x"], "aux": 0})
    refused(lab, "node 'x' would get the data volume 'data'", "of role 'aux'")
    lab.write(roles={"app": ["y"], "aux": ["x"]})
    lab.play("deploy")
    assert lab.ssh("x", "cat /srv/data/marker").stdout == "x\n"


def test_another_composition_of_the_same_deployment_name_is_refused(lab: Lab) -> None:
    shutil.copytree(lab.composition, lab.directory / "compositions/theirs")
    lab.write(composition="../compositions/theirs")
    words = ("is the state directory of composition 'web'", "which has nodes x, y and data of x, y, not of composition")
    refused(lab, *words, "adopt_data: [x, y]")
    refused(lab, *words, playbook="destroy", args=["-e", '{"compose_data": true}'])
    lab.write(composition="../compositions/web")


def test_a_state_directory_that_was_moved_under_running_nodes_is_refused(lab: Lab) -> None:
    boots = lab.boots()
    moved = lab.directory / "moved" / lab.name
    moved.parent.mkdir()
    lab.write(state_dir=str(moved.parent))
    here = f"run from the state directory {lab.state}, not from {moved}"
    assert lab.play("destroy", expect=2).said(here)
    assert not (moved / "nodes").exists()
    shutil.rmtree(moved, ignore_errors=True)
    lab.state.rename(moved)
    for playbook in ("deploy", "destroy"):
        assert lab.play(playbook, expect=2).said(here)
    lab.write(state_dir=str(lab.state.parent))
    assert lab.play("deploy", expect=2).said(f"runs, but {lab.state} knows nothing of it")
    shutil.rmtree(lab.state, ignore_errors=True)
    moved.rename(lab.state)
    assert lab.play("deploy").changed == 0
    assert lab.boots() == boots
    assert markers(lab, "x", "y") == MARKERS


def test_a_directory_that_holds_something_else_is_left_alone(lab: Lab) -> None:
    others = {"images": "holiday.jpg", "roots": "oak.txt", "nodes": "list"}
    theirs = lab.directory / "theirs" / lab.name
    for folder, file in others.items():
        (theirs / folder).mkdir(parents=True)
        (theirs / folder / file).write_text("precious")
    before = sorted(theirs.rglob("*"))
    lab.write(state_dir=str(theirs.parent))
    run = lab.play("deploy", expect=2)
    assert run.said(f"{theirs} exists, but is not that of a deployment: it holds images, nodes, roots")
    assert sorted(theirs.rglob("*")) == before
    lab.write(state_dir=str(lab.state.parent))


def test_nodes_that_exist_keep_their_addresses(lab: Lab) -> None:
    before = addresses(lab)
    lab.write(roles={"app": ["y", "z"], "aux": ["x"]})
    lab.play("deploy")
    three = addresses(lab)
    assert changed(before, three) == {"z"}
    # Names in another order, one fewer, and another role: the one that is left boots with its own address.
    (lab.composition / "composition.nix").write_text(MORE)
    shutil.copy(lab.directory / "more.lock.json", lab.composition / "compose.lock.json")
    lab.write(roles={"app": ["z"], "aux": ["x"], "aaa": 0})
    lab.play("deploy")
    assert addresses(lab) == {"x": three["x"], "z": three["z"]}
    assert lab.ssh("x", "getent hosts z").stdout.split()[0] == three["z"]
    # An address that somebody has is refused; that of a node which is retired meanwhile is free once that is down.
    lab.write(roles={"app": ["z", "new"], "aux": ["x"], "aaa": 0}, nodes={"new": {"address": three["z"]}})
    run = lab.play("deploy", expect=2)
    assert run.said(f"node 'new' is to have the address {three['z']} of node 'z', but 'z' keeps it")
    lab.write(roles={"app": ["new"], "aux": ["x"], "aaa": 0})
    run = lab.play("deploy")
    told = [line.split("compose | ")[-1] for line in run.output.splitlines()]
    assert told.index("retire z: done (1 of 1)") < told.index("switch new: started (1 of 1)")
    assert addresses(lab) == {"x": three["x"], "new": three["z"]}


def test_two_nodes_swap_addresses_and_are_never_up_with_the_same(lab: Lab) -> None:
    before = addresses(lab)
    lab.write(nodes={"x": {"address": before["new"]}, "new": {"address": before["x"]}})
    lab.play("deploy")
    assert addresses(lab) == {"x": before["new"], "new": before["x"]}
    assert lab.ssh("x", "getent hosts new").stdout.split()[0] == before["x"]


def test_destroy_ends_whatever_is_left(lab: Lab) -> None:
    (lab.state / "nodes/half/in").mkdir(parents=True)
    (lab.state / "nodes/x/current.json").write_text("")
    (lab.state / "nodes/new/verified.json").write_text('{"schema":')
    (lab.state / "releases/current").write_text("")
    lab.play("destroy", "-e", '{"compose_data": true}')
    assert lab.nodes() == []
    lab.play("deploy")
    assert sorted(lab.nodes()) == ["new", "x"]
