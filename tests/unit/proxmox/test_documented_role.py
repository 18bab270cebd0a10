"""The commands of docs/platforms/proxmox.md make a role and a token that are enough."""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.platforms.proxmox.platform import Proxmox
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from .conftest import World

PAGE = Path(__file__).resolve().parents[3] / "docs" / "platforms" / "proxmox.md"


def documented(*, pool: bool) -> list[list[str]]:
    """The commands, for VMs in a pool or for all of them."""
    (block,) = re.findall(r"```sh\n(pveum .*?)```", PAGE.read_text(), re.DOTALL)
    lines = block.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    if pool:
        return commands
    assert any("or Compose, for all VMs" in line for line in lines)
    plain = [command for command in commands if "/pool/web" not in command and command[1] != "pool"]
    return [
        ["Compose" if word == "ComposeTags" and "/vms" in command else word for word in command] for command in plain
    ]


def pveum(world: World, command: list[str]) -> str:
    """What ``pveum`` does with these arguments, by the API; the secret of a token that it makes."""
    _pveum, *words = command
    options = {key.removeprefix("--"): value for key, value in itertools.pairwise(words) if key.startswith("--")}
    match words:
        case ["role", "add", name, *_]:
            world.call("POST", "/access/roles", roleid=name, **options)
        case ["pool", "add", name, *_]:
            world.call("POST", "/pools", poolid=name, **options)
        case ["user", "add", name, *_]:
            world.call("POST", "/access/users", userid=name, **options)
        case ["user", "token", "add", user, name, *_]:
            return str(world.call("POST", f"/access/users/{user}/token/{name}", **options)["value"])
        case ["acl", "modify", path, *_]:
            world.call("PUT", "/access/acl", path=path, **options)
        case _:
            raise AssertionError(command)
    return ""


@pytest.mark.parametrize("pool", [True, False], ids=["pool", "all VMs"])
@pytest.mark.parametrize("staging", ["clone", "import"])
def test_the_documented_role_is_enough(world: World, pool: bool, staging: str) -> None:
    secret = "".join(pveum(world, command) for command in documented(pool=pool))
    options = {"storage": "ceph", "staging": staging, "snapshot": "vm", **({"pool": "web"} if pool else {})}
    deployment = world.deployment(**options)
    credentials = {**deployment.credentials, "token_id": "deploy@pve!compose", "token_secret": secret}
    deployment = replace(deployment, credentials=credentials)

    def platform() -> Proxmox:
        return Proxmox(deployment, Progress(str(world.directory / "progress")))

    for release, identity in enumerate(("one", "two", "three"), 1):
        world.deploy(platform(), identity, data=Volume("/data", 16))
        if identity == "two":
            back = platform().revert(deployment.nodes, world.tell)
            assert all(outcome.ok and outcome.changed for outcome in back.values()), back
        else:
            world.finish(platform(), identity, release=release)
    outcomes = platform().remove(["web1", "web2"], data=True, tell=world.tell)
    assert all(outcome.ok for outcome in outcomes.values()), outcomes
    platform().teardown()
    assert (world.vmids(), world.volumes(), world.uploads()) == ([], set(), set())
