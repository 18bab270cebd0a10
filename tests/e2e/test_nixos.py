# SPDX-License-Identifier: GPL-3.0-or-later
"""The builder nixos: the inventory without Nixpkgs; a build, with a stub in the place of Nixpkgs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from lab import NEW, ROOT, Lab

STUB = str(ROOT / "tests/unit/builders/stub_nixpkgs")


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    return lab_of("nixos", "nfs-nixos", platform="qemu", builder="nixos")


def test_inventory_needs_no_nixpkgs(lab: Lab) -> None:
    listed = subprocess.run(
        [lab.program("ansible-inventory"), "-i", str(lab.inventory), "--list"],
        env=lab.environment(), check=True, capture_output=True, text=True,
    )  # fmt: skip
    inventory = json.loads(listed.stdout)
    assert sorted(inventory["_meta"]["hostvars"]) == ["node1", "node2", "server"]
    assert inventory["role_node"]["hosts"] == ["node1", "node2"]


def test_without_a_pin_the_build_is_refused_in_plain_words(lab: Lab) -> None:
    run = lab.play("build", "-e", '{"compose_formats": ["tar"]}', expect=2)
    assert run.said("no Nixpkgs is pinned") and run.said("flake lock")
    assert not (lab.state / "nodes").exists()


def test_stub_nixpkgs_is_built_with_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIX_CONFIG", "sandbox = false\nsubstituters =")
    lab.write(builder={"name": "nixos", "nixpkgs": STUB})
    lab.play("build", "-e", '{"compose_formats": ["tar"]}')
    assert len(list((lab.state / "roots").iterdir())) == 2
    assert lab.play("build", "-e", '{"compose_formats": ["tar"]}').changed == 0


def test_stub_nixpkgs_what_depends_on_processors_is_not_reproducible(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = tmp_path / "nixpkgs"
    shutil.copytree(STUB, stub)
    monkeypatch.setenv("NIX_CONFIG", "sandbox = false\nsubstituters =\ncores = 3")
    lab.write(builder={"name": "nixos", "nixpkgs": str(stub)})
    assert lab.play("check_reproducible").said("2 images, 2 reproducible")
    path = stub / "nixos/lib/eval-config.nix"
    path.write_text(path.read_text().replace('"$text\\" > $out/file', '"$text$NIX_BUILD_CORES\\" > $out/file'))
    run = lab.play("check_reproducible", expect=2)
    assert run.said("2 images, 0 reproducible") and run.said(": /file")


def test_stub_nixpkgs_a_deploy_evaluates_once(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan hands on what it has evaluated; names and tags alone are read when the inventory is, and in the plan."""
    calls, shim = tmp_path / "calls", tmp_path / "nix-instantiate"
    real = shutil.which("nix-instantiate")
    shim.write_text(f'#!/bin/sh\necho "$@" >>{calls}\nexec {real} "$@"\n')
    shim.chmod(0o755)
    environment = {**lab.environment(), "NIX_CONFIG": "sandbox = false\nsubstituters ="}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    monkeypatch.setattr(lab, "environment", lambda: environment)
    (lab.composition / "hive.nix").write_text(
        f'{{ meta.nixpkgs = {STUB}; defaults.stubText = "{NEW}"; web.deployment.tags = [ "www" ]; db = {{ }}; }}'
    )
    lab.write(builder={"name": "nixos", "source": "hive.nix"})
    assert lab.play("deploy", "--tags", "build").changed
    asked = [re.findall(r"-A (\S+)", line) for line in calls.read_text().splitlines()]
    assert asked == [["described"], ["described"], ["images"]]
