"""Data of others are refused before anything is touched, and nodes that run from elsewhere are found."""

from __future__ import annotations

import os
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe.ownership import DataVolume, Owner
from ansible_collections.immutable.compose.plugins.module_utils.describe.state import StateDirectory
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot, Seen, Target
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.document import Peer
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local import limits
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.platform import LocalPlatform
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.records import NodeState
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.platforms.registry import PLATFORMS
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..model.samples import document
from .conftest import Lab, Scripts

LOCAL = {name: platform for name, platform in PLATFORMS.items() if issubclass(platform, LocalPlatform)}
every_local_platform = pytest.mark.parametrize("platform", LOCAL.values(), ids=LOCAL)

APP = Owner("lab", "web", "app", "x")


@pytest.fixture(autouse=True)
def _a_host_with_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs here: this is about whose data are in the way."""
    monkeypatch.setattr(limits, "lacking", lambda needs, beside: [])


def platform_of(kind: type[LocalPlatform], state: Path, role: str, **changes: t.Any) -> LocalPlatform:
    """A deployment with the node ``x``, on a platform of this host."""
    options = {"ssh_port_base": 27300} if "ssh_port_base" in kind.options else {}
    nodes = (Node("x", role, 1, "10.87.0.1", options=options),)
    wanted = Deployment("lab", "/src/web", "debian", kind.name, nodes, state=str(state), composition_name="web")
    return kind(replace(wanted, **changes), Progress())


def data_of(state: Path, owner: Owner | None, *volumes: str) -> None:
    """What a node has left."""
    node = NodeState(str(state), "x")
    for volume in volumes:
        os.makedirs(os.path.join(node.volumes, volume))
    if owner is not None:
        node.own(owner, volumes)


@every_local_platform
@pytest.mark.parametrize(
    ("role", "changes", "whose"),
    [
        ("aux", {}, "role 'app' of composition 'web' (node 'x' of deployment 'lab')"),
        ("app", {"composition_name": "other"}, "of composition 'web'"),
        ("app", {"name": "shop"}, "of deployment 'lab'"),
    ],
)
def test_data_of_another_is_refused_and_handed_over_by_a_word(
    platform: type[LocalPlatform], tmp_path: Path, role: str, changes: dict[str, str], whose: str
) -> None:
    data_of(tmp_path, APP, "db", "log.raw")
    before = sorted(tmp_path.rglob("*"))
    instance = platform_of(platform, tmp_path, role, **changes)
    with pytest.raises(InputError) as refused:
        refuse(instance.check(instance.deployment.nodes))
    places = f"'db' ({tmp_path}/volumes/x/db), 'log' ({tmp_path}/volumes/x/log.raw)"
    assert f"node 'x' would get the data volume {places} of" in str(refused.value)
    assert whose in str(refused.value)
    assert str(refused.value).endswith("adopt_data: [x] in the deployment file")
    assert sorted(tmp_path.rglob("*")) == before
    willing = platform_of(platform, tmp_path, role, **changes, adopt_data=("x",))
    refuse(willing.check(willing.deployment.nodes))


@every_local_platform
def test_own_data_and_what_is_empty_are_welcome(platform: type[LocalPlatform], tmp_path: Path) -> None:
    instance = platform_of(platform, tmp_path, "app")
    data_of(tmp_path, None, "db")  # an earlier version has not written down whose it is
    refuse(instance.check(instance.deployment.nodes))
    NodeState(str(tmp_path), "x").own(APP, ["db"])
    refuse(instance.check(instance.deployment.nodes))
    assert instance.volumes(["x", "gone"]) == {"x": [DataVolume("db", f"{tmp_path}/volumes/x/db", APP)], "gone": []}
    os.rmdir(tmp_path / "volumes/x/db")
    other = platform_of(platform, tmp_path, "aux")
    refuse(other.check(other.deployment.nodes))


@every_local_platform
def test_what_an_earlier_version_left_belongs_to_the_role_that_ran(
    platform: type[LocalPlatform], tmp_path: Path
) -> None:
    data_of(tmp_path, None, "db")
    image = Image("app", "debian", "an-image", "amd64", {})
    NodeState(str(tmp_path), "x").told(Boot(platform.name, image, document(Node("x", "app")), "d", {}))
    instance = platform_of(platform, tmp_path, "aux")
    with pytest.raises(InputError, match=r"of role 'app' of composition 'web' \(node 'x' of deployment 'lab'\)"):
        refuse(instance.check(instance.deployment.nodes))


@every_local_platform
def test_a_damaged_word_about_data_is_named(platform: type[LocalPlatform], tmp_path: Path) -> None:
    data_of(tmp_path, APP, "db")
    (tmp_path / "volumes/x/owner.json").write_text("")
    instance = platform_of(platform, tmp_path, "app")
    with pytest.raises(InputError, match=r"volumes/x/owner\.json.* remove the file"):
        refuse(instance.check(instance.deployment.nodes))
    assert instance.remove(["x"], data=True, tell=lambda name, outcome: None)["x"].changed


@every_local_platform
@pytest.mark.parametrize("file", ["in/", "current.json", "verified.json"])
def test_half_made_nodes_are_seen_and_removed(platform: type[LocalPlatform], tmp_path: Path, file: str) -> None:
    path = tmp_path / "nodes/x" / file
    path.parent.mkdir(parents=True)
    path.mkdir() if file == "in/" else path.write_text('{"schema":' if file == "verified.json" else "")
    instance = platform_of(platform, tmp_path, "app")
    assert instance.observe(instance.deployment.nodes)["x"] == Seen("stopped", leftovers=True)
    refuse(instance.check(instance.deployment.nodes))
    instance.prune(set())
    assert instance.remove(["x"], data=False, tell=lambda name, outcome: None)["x"].changed
    instance.teardown()


@every_local_platform
def test_a_file_among_the_nodes_is_no_node_and_stays(platform: type[LocalPlatform], tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes/list").write_text("precious")
    instance = platform_of(platform, tmp_path, "app")
    refuse(instance.check(instance.deployment.nodes))
    assert instance.observe(instance.deployment.nodes) == {"x": Seen("absent")}
    instance.teardown()
    assert (tmp_path / "nodes/list").read_text() == "precious"


class Owned(Scripts):
    """Writes down whose the data are that a node is started with."""

    seen: t.ClassVar[list[str]] = []

    def command(self, name: str, record: Boot) -> list[str]:
        (volume,) = self.volumes([name])[name] or [None]
        self.seen.append(f"{record.image.identity}: {volume and volume.owner and volume.owner.role}")
        return super().command(name, record)


def test_it_is_written_down_before_the_first_use_and_again_when_going_back(lab: Lab) -> None:
    def target(platform: Scripts, role: str) -> Target:
        (node,) = platform.deployment.nodes
        image = replace(lab.image(f"image-{role}", db=Volume("/srv/db")), role=role)
        return Target(node, image, document(node), role)

    platform = Owned(lab.deployment("node1"), lab.platform().progress)
    os.makedirs(lab.state / "volumes/node1/db")
    platform.switch([target(platform, "app")], lab.tell)
    platform.commit(platform.deployment.nodes, 1)
    platform.switch([target(platform, "aux")], lab.tell)
    platform.revert(platform.deployment.nodes, lab.tell)
    assert Owned.seen == ["image-app: app", "image-aux: aux", "image-app: app"]


def claimed(platform: Scripts) -> Scripts:
    """As a step of the deployment does it first."""
    StateDirectory(platform.deployment).claim()
    return platform


def test_nodes_that_run_from_where_the_directory_was_are_found(lab: Lab, tmp_path: Path) -> None:
    platform = claimed(lab.platform("node1"))
    lab.switch(platform, "image-1")
    pid = platform.running(["node1"])["node1"]
    moved = tmp_path / "moved"
    lab.state.rename(moved)
    there = Scripts(replace(platform.deployment, state=str(moved)), platform.progress)
    claimed(there)  # by the step that is refused
    words = rf"node1 \(process {pid}\) of this deployment run from the state directory {lab.state}, not from {moved}"
    with pytest.raises(ComposeError, match=words):
        refuse(there.check(there.deployment.nodes))
    with pytest.raises(ComposeError, match=words):
        there.remove(["node1"], data=True, tell=lab.tell)
    assert platform.running(["node1"]) == {"node1": pid}
    # The former place is empty now, and is not deployed to a second time.
    with pytest.raises(ComposeError, match=rf"node1 \(process {pid}\) .* runs, but {lab.state} knows nothing of it"):
        refuse(platform.check(platform.deployment.nodes))
    moved.rename(lab.state)
    refuse(platform.check(platform.deployment.nodes))


def test_nodes_that_run_from_where_state_dir_led_before_are_found(lab: Lab, tmp_path: Path) -> None:
    platform = claimed(lab.platform("node1"))
    lab.switch(platform, "image-1")
    elsewhere = Scripts(replace(platform.deployment, state=str(tmp_path / "elsewhere")), platform.progress)
    with pytest.raises(ComposeError, match=f"run from the state directory {lab.state}, not from {tmp_path}/elsewhere"):
        refuse(elsewhere.check(elsewhere.deployment.nodes))
    with pytest.raises(ComposeError, match=f"run from the state directory {lab.state}"):
        elsewhere.remove([], data=False, tell=lab.tell)
    # Another checkout with a deployment of that name is another deployment.
    others = replace(elsewhere.deployment, composition="/home/somebody/composition")
    refuse(Scripts(others, platform.progress).check(others.nodes))


def test_the_place_is_read_off_the_command_line(lab: Lab, tmp_path: Path) -> None:
    """Also where the path looks like that of a node itself."""
    lab.state = tmp_path / "srv" / "nodes" / "images" / "state"
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    try:
        assert str(lab.state) in platform.places()
    finally:
        platform.remove(["node1"], data=True, tell=lab.tell)


def test_a_node_whose_records_are_lost_is_stopped(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    platform.node_state("node1").remove(data=True)
    assert platform.observe(platform.deployment.nodes)["node1"] == Seen("running", leftovers=True)
    assert platform.remove(["node1"], data=False, tell=lab.tell)["node1"].changed
    assert platform.running(["node1"]) == {}


class Exclusive(Scripts):
    """Fails a node that is started while another has its address."""

    holds: t.ClassVar[dict[str, str]] = {}

    def command(self, name: str, record: Boot) -> list[str]:
        address = str(record.document.address)
        taken = [other for other in self.running(self.holds) if other != name and self.holds[other] == address]
        if taken:
            raise ComposeError(f"{address} is that of {taken[0]}")
        self.holds[name] = address
        return super().command(name, record)


def test_no_two_nodes_have_one_address_while_they_swap_and_go_back(lab: Lab) -> None:
    def targets(platform: Scripts, *last: int) -> list[Target]:
        return [
            replace(
                lab.target(node, "image-1", f"d{number}"),
                document=document(node, peers=(Peer(node.name, node.role, f"10.87.0.{number}"),)),
            )
            for node, number in zip(platform.deployment.nodes, last, strict=True)
        ]

    platform = Exclusive(lab.deployment("node1", "node2"), lab.platform().progress)
    platform.switch(targets(platform, 1, 2), lab.tell)
    platform.commit(platform.deployment.nodes, 1)
    outcomes = platform.switch(targets(platform, 2, 1), lab.tell)
    assert [outcome.message for outcome in outcomes.values() if not outcome.ok] == []
    outcomes = platform.revert(platform.deployment.nodes, lab.tell)
    assert [outcome.message for outcome in outcomes.values() if not outcome.ok] == []
    assert Exclusive.holds == {"node1": "10.87.0.1", "node2": "10.87.0.2"}
