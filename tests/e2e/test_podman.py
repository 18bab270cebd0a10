# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a deployment on podman."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t

import pytest
from lab import NEW, PATIENCE, Lab, changed

pytestmark = pytest.mark.story

NODES = {"backend", "database", "proxy"}


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    return lab_of("pods", "web", platform={"name": "podman", "runtime": "runc"}, roles={"backend": ["backend"]})


def podman(*command: str) -> str:
    return subprocess.run(["podman", *command], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


def containers(lab: Lab) -> dict[str, dict[str, t.Any]]:
    """Node → its container, of whatever state."""
    listed = json.loads(podman("ps", "--all", "--format=json"))
    ours = f"compose-{lab.name}-"
    return {c["Labels"]["immutable.compose.node"]: c for c in listed if c["Names"][0].startswith(ours)}


def staged(lab: Lab) -> set[str]:
    """Identities of the images that Podman holds for the deployment."""
    names = podman("images", "--format={{.Repository}}:{{.Tag}}").split()
    return {name.rpartition(":")[2] for name in names if name.startswith(f"localhost/compose-{lab.name}-")}


def visits(lab: Lab) -> int:
    return int(lab.ssh("database", "redis-cli --raw get visits").stdout or 0)


def test_the_first_deploy_ends_with_verified_nodes(lab: Lab) -> None:
    run = lab.play("deploy")
    assert set(run.recap) == NODES
    assert containers(lab).keys() == NODES
    labels = {name: container["Labels"] for name, container in containers(lab).items()}
    assert {name: of["immutable.compose.identity"] for name, of in labels.items()} == lab.images()
    assert staged(lab) == set(lab.images().values())
    assert "Welcome to" in (lab.state / "nodes/proxy/console.log").read_text()
    assert visits(lab) > 0


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    boots = lab.boots()
    assert lab.play("deploy").changed == 0
    assert lab.boots() == boots


def test_a_run_killed_in_a_replacement_is_finished_by_the_next_and_data_survive(lab: Lab) -> None:
    boots, before, images = lab.boots(), visits(lab), lab.images()
    # What runs is asked of Podman: a container that was removed by hand is missed.
    podman("rm", "--force", containers(lab)["backend"]["Id"])
    lab.edit("appendonly yes", f"appendonly yes\n# {NEW}", "redis.conf")
    lab.kill_when("compose | switch database: starting")
    lab.play("deploy")
    assert changed(boots, lab.boots()) == {"backend", "database"}
    assert changed(images, lab.images()) == {"database"}
    assert visits(lab) > before > 0
    # What the release before needs is kept.
    assert staged(lab) == {*images.values(), *lab.images().values()}


def test_a_broken_image_is_rolled_back(lab: Lab) -> None:
    boots, images = lab.boots(), lab.images()
    lab.edit("server {", "no_such_directive on;\nserver {", "nginx.conf")
    run = lab.play("deploy", expect=2)
    assert run.recap["proxy"]["failed"] == 1
    assert run.said("nginx.service") and run.said("back on its last verified image")
    assert lab.images() == images
    assert changed(boots, lab.boots()) == {"proxy"}
    lab.edit("no_such_directive on;\nserver {", "server {", "nginx.conf")


def test_destroy_leaves_nothing(lab: Lab) -> None:
    lab.play("destroy")
    assert containers(lab) == {}
    assert staged(lab) == set()
    assert not [name for name in os.listdir("/run/netns") if name.startswith(f"compose-{lab.name}-")]
    assert (lab.state / "volumes/database").exists()
