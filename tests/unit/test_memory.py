# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run knows of a deployment from its plan to its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible import constants

from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.plugin_utils.memory import Known, Memory


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return tmp_path


def deployment(name: str) -> Deployment:
    nodes = (Node("web1", "web", 1, "10.87.0.1", secrets={"token": "correct-horse"}), Node("web2", "web", 2, None))
    return Deployment(name, "/srv/web", "debian", "qemu", nodes, credentials={"password": "battery-staple"})


def test_a_deployment_is_kept_without_its_secrets(directory: Path) -> None:
    Memory("one").keep(Known(deployment("one"), ("web1", "web2"), ("web1",)))
    known = Memory("one").recall()
    assert known is not None
    assert (known.hosts, known.secretive) == (("web1", "web2"), ("web1",))
    assert [(node.name, node.address, node.secrets) for node in known.deployment.nodes] == [
        ("web1", "10.87.0.1", {}),
        ("web2", None, {}),
    ]
    assert known.deployment.credentials == {}
    for path in directory.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
        assert "correct-horse" not in path.read_text() and "battery-staple" not in path.read_text()


def test_the_first_reason_stays_and_a_new_plan_forgets_it() -> None:
    assert Memory("one").given_up == ""
    Memory("one").give_up("switch: killed\nby the kernel")
    Memory("one").give_up("settle: nothing was switched")
    assert Memory("one").given_up == "switch: killed\nby the kernel"
    assert (Memory("two").given_up, Memory("two").recall()) == ("", None)
    Memory("one").begin()
    assert (Memory("one").given_up, Memory("one").recall()) == ("", None)
