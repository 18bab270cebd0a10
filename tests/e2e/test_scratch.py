# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that are not kept: room for what need not outlive a boot."""

from __future__ import annotations

import typing as t

import pytest
from lab import Lab

pytestmark = pytest.mark.story

COMPOSITION = """
{ ... }:
{
  roles.node = {
    files."/etc/version".text = "one";
    volumes.results = { mount = "/srv/results"; user = "games"; };
    volumes.scratch = { mount = "/srv/scratch"; user = "games"; keep = false; };
  };
}
"""


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("scratch", "web", platform="nspawn", roles={"node": 1})
    (lab.composition / "composition.nix").write_text(COMPOSITION)
    lab.play("lock")
    lab.play("deploy")
    return lab


def listed(lab: Lab) -> str:
    return lab.ssh("node1", "cd /srv; stat -c '%n %U' *; ls results scratch").stdout


def test_a_new_image_finds_them_empty(lab: Lab) -> None:
    assert lab.ssh("node1", "echo data | tee /srv/results/data > /srv/scratch/data").returncode == 0
    lab.play("verify")
    assert listed(lab) == "results games\nscratch games\nresults:\ndata\n\nscratch:\ndata\n"
    lab.edit('"one"', '"two"')
    lab.play("deploy")
    assert listed(lab) == "results games\nscratch games\nresults:\ndata\n\nscratch:\n"


def test_so_does_who_goes_back(lab: Lab) -> None:
    assert lab.ssh("node1", "echo data > /srv/scratch/data").returncode == 0
    lab.play("rollback")
    assert listed(lab) == "results games\nscratch games\nresults:\ndata\n\nscratch:\n"
