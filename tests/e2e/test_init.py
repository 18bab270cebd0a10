# SPDX-License-Identifier: GPL-3.0-or-later
"""A project of one's own, from a template of the installed collection, in an empty directory."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from installed import Installed, install
from lab import ROOT

CHOSEN = yaml.safe_load((ROOT / "roles/init/vars/main.yml").read_text())["init_templates"]
TEMPLATES = sorted(CHOSEN)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def lab(installed: Installed, tmp_path: Path) -> t.Iterator[Path]:
    """Directory of a project that is not there yet; what it deploys goes with it."""
    directory = tmp_path / f"lab-{secrets.token_hex(4)}"
    yield directory
    installed.play("immutable.compose.destroy", "-e", '{"compose_data": true}', cwd=directory)
    shutil.rmtree(Path("/var/lib/immutable-compose") / directory.name)


def test_a_template_deploys_at_once(installed: Installed, lab: Path) -> None:
    said = installed.play("immutable.compose.init", "-e", "template=web", "-e", f"directory={lab.name}", cwd=lab.parent)
    assert f"cd {lab.name}" in said and "ansible-playbook immutable.compose.deploy" in said
    assert "release 1" in installed.play("immutable.compose.deploy", cwd=lab)
    assert "changed=0" in installed.play("immutable.compose.deploy", cwd=lab)


def init(installed: Installed, where: Path, *arguments: str, expect: int = 0, **variables: str) -> str:
    return installed.play("immutable.compose.init", "-e", json.dumps(variables), *arguments, cwd=where, expect=expect)


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_composition_is_a_template(installed: Installed, tmp_path: Path, template: str) -> None:
    init(installed, tmp_path, template=template, directory="My Lab_2")
    listed = json.loads(installed.run("ansible-inventory", "--list", cwd=tmp_path / "My Lab_2"))
    assert listed["deployment_my_lab_2"]["children"]
    (file,) = (tmp_path / "My Lab_2/inventory").iterdir()
    assert file.name == "my-lab-2.compose.yml"
    assert yaml.safe_load(file.read_text())["composition"] == f"../compositions/{template}"
    theirs = {path.name: path.stat().st_mode for path in (ROOT / "compositions" / template).iterdir()}
    copied = tmp_path / "My Lab_2" / "compositions" / template
    assert {path.name: path.stat().st_mode for path in copied.iterdir()} == theirs


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_can_be_deployed_where_it_says(installed: Installed, tmp_path: Path, template: str) -> None:
    """Its platform boots what its builder makes; what has to be pinned first is said, and how."""
    init(installed, tmp_path, template=template, directory="lab")
    pinned = "first" not in CHOSEN[template]
    planned = installed.play("immutable.compose.plan", cwd=tmp_path / "lab", expect=0 if pinned else 2)
    assert ("compose | plan: " if pinned else "error: no Nixpkgs is pinned: ") in planned


def test_what_is_said_to_come_next_can_be_pasted(installed: Installed, tmp_path: Path) -> None:
    """With a Nix that nobody has configured, and whatever the directory is called."""
    said = init(installed, tmp_path, template="nfs-nixos", directory="my lab")
    _title, enter, install, pin, _deploy = next(
        lines for lines in re.findall(r'"msg": (\[.*?\n    \])', said, re.DOTALL) for lines in [json.loads(lines)]
    )
    assert shlex.split(install)[1:4] == ["-m", "pip", "install"]
    source = tmp_path / "source"
    source.mkdir()
    flake = f'{{ inputs.nixpkgs = {{ url = "path:{source}"; flake = false; }}; outputs = _: {{ }}; }}'
    (tmp_path / "my lab/compositions/nfs-nixos/flake.nix").write_text(flake)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(["bash", "-euc", f"{enter}; {pin}"], cwd=tmp_path, env=environment, check=True, timeout=120)
    assert "nixpkgs" in (tmp_path / "my lab/compositions/nfs-nixos/flake.lock").read_text()


def test_check_mode_writes_nothing_and_shows_what_it_would(installed: Installed, tmp_path: Path) -> None:
    said = init(installed, tmp_path, "--check", "--diff", template="nfs", directory="lab")
    assert "+composition: ../compositions/nfs" in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays_as_it_is(installed: Installed, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / ".hidden").write_text("mine")
    refused = init(installed, tmp_path, template="nfs", directory="taken", expect=2)
    assert f"directory {taken} has .hidden, expected a new or an empty one. Nothing was written" in refused
    refused = init(installed, tmp_path, template="nfs", directory="taken/.hidden", expect=2)
    assert f"directory {taken}/.hidden is a file, expected a new or an empty one" in refused
    assert [path.read_text() for path in taken.iterdir()] == ["mine"]


def test_a_template_that_is_none_is_refused_with_those_there_are(installed: Installed, tmp_path: Path) -> None:
    names = ", ".join(TEMPLATES)
    for template in ("moon", ""):
        refused = init(installed, tmp_path, template=template, directory="lab", expect=2)
        assert f"template is '{template}', expected one of {names}" in refused
    assert "directory is missing, expected a new or an empty one" in init(installed, tmp_path, template="nfs", expect=2)
    assert list(tmp_path.iterdir()) == []
