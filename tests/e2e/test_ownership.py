# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose are data, state and addresses: what belongs to others is refused by the plan, and stays as it is."""

from __future__ import annotations

import json
import typing as t

import pytest
from lab import Lab

from ansible_collections.immutable.compose.plugins.module_utils.builders.lock import KERNEL_SUPPORT

#: Two roles of the same packages, each with a volume of the same name.
COMPOSITION = """
{ ... }:
let
  role = user: {
    packages = [ "python3" ];
    volumes.data = { mount = "/srv/data"; mode = "0750"; };
  };
in
{
  roles = { app = role "app"; aux = role "aux"; };
  rolesDistribution = { app = 0; aux = 0; };
}
"""


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    return tiny(lab_of, "owned", app=["x"], aux=["y"])


def tiny(lab_of: t.Callable[..., Lab], name: str, **roles: t.Any) -> Lab:
    """A deployment of containers without a kernel, on nspawn."""
    lab = lab_of(name, "web", platform="nspawn", roles=roles)
    (lab.composition / "composition.nix").write_text(COMPOSITION)
    path = lab.composition / "compose.lock.json"
    lock = json.loads(path.read_text())
    role = lock["roles"]["backend"]
    del role["kernel"], role["requested_kernel"]
    role["requested"] = [name for name in role["requested"] if name not in KERNEL_SUPPORT]
    lock["roles"] = {"app": role, "aux": role}
    path.write_text(json.dumps(lock))
    return lab


def test_try(lab: Lab) -> None:
    lab.play("deploy")
    for node in ("x", "y"):
        assert lab.ssh(node, f"echo {node} >/srv/data/marker").returncode == 0
