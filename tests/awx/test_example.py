# SPDX-License-Identifier: GPL-3.0-or-later
"""The example project: what makes its execution environment, and what is in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".cache" / "awx"
EXAMPLE = ROOT / "examples" / "controller"


def builder(*arguments: str | Path) -> str:
    command = [ENVIRONMENT / "bin" / "ansible-builder", *arguments]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lines(path: Path) -> set[str]:
    """What a list asks for, without its comments."""
    return {line.partition("#")[0].strip() for line in path.read_text().splitlines()} - {""}


def test_ansible_builder_takes_it(tmp_path: Path) -> None:
    builder("create", "--context", tmp_path)
    container = (tmp_path / "Containerfile").read_text()
    assert "registry.example.org/fedora" in container
    wanted = yaml.safe_load((tmp_path / "_build" / "requirements.yml").read_text())
    assert [each["name"] for each in wanted["collections"]] == ["https://git.example.org/immutable/compose.git"]


def test_the_collection_brings_its_lists_along() -> None:
    """Those that the root has in which the jobs of these tests run, too."""
    found = yaml.safe_load(builder("introspect", ROOT / ".cache" / "collections"))
    assert {line.partition("#")[0].strip() for line in found["python"]} == lines(ROOT / "requirements.txt")
    assert {line.partition("#")[0].strip() for line in found["system"]} == lines(ROOT / "bindep.txt")
    assert "-r requirements.txt" in lines(ROOT / "requirements-awx.txt")


def test_each_template_has_its_playbook() -> None:
    templates = yaml.safe_load((ROOT / "roles/awx/vars/main.yml").read_text())["awx_templates"]
    playbooks = {path.stem: yaml.safe_load(path.read_text()) for path in (EXAMPLE / "playbooks").glob("*.yml")}
    assert set(playbooks) == {template["name"] for template in templates}
    for name, (play,) in playbooks.items():
        assert play["ansible.builtin.import_playbook"] == f"immutable.compose.{name}"
        assert (ROOT / "playbooks" / f"{name}.yml").exists()
