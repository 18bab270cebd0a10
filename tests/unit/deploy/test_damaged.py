# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the state directory that a power cut, a full disk or somebody has damaged: named, with a way on."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.deploy.planning import Wish
from ansible_collections.immutable.compose.plugins.module_utils.deploy.removal import destroy
from ansible_collections.immutable.compose.plugins.module_utils.describe.held import HeldAddresses
from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys

from .conftest import Site


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, t.Callable[[Path], t.Any]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "no-text": lambda path: path.write_bytes(b"\xff\xfe\x80" * 9),
    "list": lambda path: path.write_text("[]"),
    "object": lambda path: path.write_text("{}"),
    "number": lambda path: path.write_text("1e999"),
    "deep": lambda path: path.write_text("[" * 100_000),
    "directory": directory,
}
every_damage = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


@pytest.fixture
def state(rack: Site) -> Path:
    """Of a deployment with two releases."""
    rack.deploy()
    rack.means["web"] = "v2"
    rack.deploy()
    return Path(rack.deployment.state)


@every_damage
@pytest.mark.parametrize("file", ["ca", "id_ed25519", "addresses.json", "releases/2.json"])
def test_what_cannot_be_done_without_is_named_and_removing_it_is_a_way_on(
    rack: Site, state: Path, file: str, damage: t.Callable[[Path], t.Any]
) -> None:
    damage(state / file)
    rack.means["web"] = "v3"
    with pytest.raises(ComposeError) as refused:
        rack.deploy()
    assert str(state / file) in str(refused.value) and "emove it" in str(refused.value)
    assert rack.called("switch", "remove") == []
    (state / file).rmdir() if (state / file).is_dir() else (state / file).unlink()
    rack.deploy()
    assert set(rack.runs().values()) == {"v3"}


@every_damage
@pytest.mark.parametrize(
    "file", ["ca.pub", "known_hosts", "ssh_config", "hostkeys/web1", "hostkeys/web1-cert.pub", "releases/current"]
)
def test_what_can_be_made_again_is(rack: Site, state: Path, file: str, damage: t.Callable[[Path], t.Any]) -> None:
    damage(state / file)
    rack.means["web"] = "v3"
    if damage is directory:
        with pytest.raises((ComposeError, OSError), match=file):
            rack.deploy()
        (state / file).rmdir()
    rack.deploy()
    assert set(rack.runs().values()) == {"v3"}


@every_damage
def test_an_old_release_holds_up_nobody_but_who_goes_back_to_it(
    rack: Site, state: Path, damage: t.Callable[[Path], t.Any]
) -> None:
    rack.set(keep=9)
    damage(state / "releases/1.json")
    if damage in (DAMAGES["list"], DAMAGES["object"], DAMAGES["number"]):  # another version may know what it means
        with pytest.raises(ComposeError, match=r"1\.json.*emove it"):
            rack.deploy()
        return
    rack.means["web"] = "v3"
    rack.deploy()
    with pytest.raises(ComposeError, match=r"1\.json.*emove it"):
        rack.deploy(release="1")


@pytest.mark.parametrize("lost", ["deleted", "cut"])
def test_a_node_whose_host_key_is_lost_is_replaced(rack: Site, state: Path, lost: str) -> None:
    key = state / "hostkeys/web2"
    key.unlink() if lost == "deleted" else DAMAGES["cut"](key)
    plan = rack.transaction().plan(Wish(), hold=False)
    assert not key.exists() or lost == "cut"  # a plan makes none
    assert {name: step.action for name, step in plan.nodes.items()} == {
        "web1": "keep",
        "web2": "replace",
        "web3": "keep",
    }
    assert plan.nodes["web2"].why[0] == f"its host key {key} is lost or damaged"
    rack.deploy()
    assert [call for call in rack.called("switch") if len(call) > 1] == [("switch", "web2")]
    assert Keys(str(state)).lost(["web1", "web2", "web3"]) == {}
    rack.deploy()
    assert rack.called("switch") == []


def test_without_the_key_that_logs_in_all_are_replaced(rack: Site, state: Path) -> None:
    (state / "id_ed25519").unlink()
    plan = rack.transaction().plan(Wish(), hold=False)
    assert {step.action for step in plan.nodes.values()} == {"replace"} and not (state / "id_ed25519").exists()
    rack.deploy()
    rack.deploy()
    assert rack.called("switch") == []


@every_damage
def test_destroy_comes_to_its_end(rack: Site, state: Path, damage: t.Callable[[Path], t.Any]) -> None:
    for file in ("ca", "ca.pub", "id_ed25519", "known_hosts", "ssh_config", "hostkeys/web1", "releases/2.json"):
        damage(state / file)
    if damage is not directory:
        damage(state / "addresses.json")
    engine = rack.engine("web1", addresses=HeldAddresses.read(str(state), damaged=True))
    destroy(engine, data=False)
    assert set(rack.machines) == {"web2", "web3"}
    if damage is not directory:  # the others' addresses are not thrown away
        with pytest.raises(ComposeError, match=r"addresses\.json.*remove it"):
            HeldAddresses.read(str(state))
    destroy(rack.engine(addresses=HeldAddresses.read(str(state), damaged=True)), data=False)
    assert rack.machines == {} and HeldAddresses.read(str(state)).names() == []


@pytest.mark.parametrize("file", ["addresses.json", "releases/2.json"])
def test_what_a_newer_version_has_deployed_is_not_destroyed(rack: Site, state: Path, file: str) -> None:
    path = state / file
    path.write_text(path.read_text().replace("{", '{"later": 1, ', 1))
    with pytest.raises(ComposeError, match=f"{path}: .* install that version here$"):
        destroy(rack.engine(addresses=HeldAddresses.read(str(state), damaged=True)), data=False)
    assert set(rack.machines) == {"web1", "web2", "web3"}


def test_a_key_that_others_may_read_is_closed(rack: Site, state: Path) -> None:
    for name in ("ca", "id_ed25519", "hostkeys/web1"):
        (state / name).chmod(0o644)
    rack.means["web"] = "v3"
    rack.deploy()
    assert {(state / name).stat().st_mode & 0o777 for name in ("ca", "id_ed25519", "hostkeys/web1")} == {0o600}
