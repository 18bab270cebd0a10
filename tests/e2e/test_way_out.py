# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment whose composition is gone or broken can still be looked at, gone back with and taken down."""

from __future__ import annotations

import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml
from lab import NEW, Lab, Run, changed

CAUSE = "composition.nix"


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    """Two deployments in one inventory, and two releases of the one that loses its composition."""
    lab = lab_of("way-out", "web", platform="nspawn", roles={"proxy": ["front"], "database": 0, "backend": 2})
    lab.drop_kernels()
    lab.drop_test_script()
    shutil.copytree(lab.composition, lab.composition.parent / "other")
    other = {**lab.deployment, "composition": "../compositions/other", "name": f"{lab.name}-other"}
    other["roles"] = {"proxy": 0, "database": 0, "backend": ["neighbour"]}
    (lab.inventory / "other.compose.yml").write_text(yaml.safe_dump(other))
    lab.play("deploy")
    (lab.composition / "nginx.conf").write_text(f"# {NEW}\n" + (lab.composition / "nginx.conf").read_text())
    lab.play("deploy")
    assert lab.release() == 2
    return lab


@pytest.fixture
def without(lab: Lab) -> t.Iterator[Lab]:
    """The composition is not there for the length of a test."""
    file, away = lab.composition / "composition.nix", lab.directory / "away.nix"
    file.rename(away)
    yield lab
    away.rename(file)


def run(lab: Lab, playbook: str | Path, *args: str) -> Run:
    """A run that warns."""
    process = lab.start(playbook, *args)
    output, _errors = process.communicate(timeout=300)
    print(f"--- {playbook} {args}\n{output}")
    return Run(process.returncode, output, 0)


@pytest.mark.parametrize("playbook", ["plan", "deploy", "build", "lock"])
def test_what_needs_the_composition_is_refused_with_the_cause(without: Lab, playbook: str) -> None:
    boots = without.boots()
    done = run(without, playbook)
    assert done.returncode != 0
    assert "can only be verified, rolled back, audited and destroyed" in done.output
    assert CAUSE in done.output and "lab.compose.yml" in done.output
    assert changed(boots, without.boots()) == set()


def test_verify(without: Lab) -> None:
    done = run(without, "verify")
    assert done.returncode == 0
    assert set(done.recap) == {"front", "backend1", "backend2", "neighbour"}
    assert "[WARNING]" in done.output and "with the nodes of release 2" in done.output


def test_rollback(without: Lab) -> None:
    images, boots = without.images(), without.boots()
    done = run(without, "rollback", "--limit", f"deployment_{without.name.replace('-', '_')}")
    assert done.returncode == 0
    assert changed(images, without.images()) == {"front"}
    assert changed(boots, without.boots()) == {"front"}
    assert without.release() == 3
    nodes = {"front": "proxy", "backend1": "backend", "backend2": "backend"}
    assert without.read_release()["nodes"] == nodes
    assert without.read_release()["composition_name"] == "web"


def test_audit_says_that_the_composition_is_not_known(without: Lab) -> None:
    advisories = without.directory / "advisories.yml"
    advisories.write_text("- {id: TEST-1, package: no-such-package, versions: ['< 1']}\n")
    done = run(without, "audit", "-e", f"compose_advisories={advisories}")
    assert done.returncode == 0
    assert "not known: the composition as it is now" in done.output


def test_own_plays_reach_the_nodes(without: Lab) -> None:
    play = without.directory / "legacy.yml"
    task = {"ansible.builtin.raw": "cat /usr/lib/compose/identity"}
    play.write_text(yaml.safe_dump([{"hosts": "composition_web", "gather_facts": False, "tasks": [task]}]))
    done = run(without, play)
    assert done.returncode == 0
    assert set(done.recap) == {"front", "backend1", "backend2"}


def test_a_typo_in_the_test_script_stops_only_what_would_run_it(lab: Lab) -> None:
    file = lab.composition / "composition.nix"
    good = file.read_text()
    file.write_text(good.rstrip().removesuffix("}") + '  testScript = "start_all(";\n}\n')
    try:
        assert lab.play("verify").returncode == 0
        refused = lab.play("plan", expect=2)
        assert "testScript, line 1" in refused.output
    finally:
        file.write_text(good)


def test_destroy_takes_down_what_was_released_and_no_more(without: Lab) -> None:
    other = without.state.parent / f"{without.name}-other" / "nodes" / "neighbour"
    done = run(without, "destroy", "--limit", "!neighbour")
    assert done.returncode == 0
    assert without.nodes() == []
    assert other.exists()


def test_no_host_is_a_failure_that_names_the_source(lab: Lab, tmp_path: Path) -> None:
    """Whether Ansible itself minds the source or not."""
    (tmp_path / "broken.compose.yml").write_text("plugin: immutable.compose.composition\nroles: [\n")
    (tmp_path / "wrong.compose.yml").write_text(yaml.safe_dump({**lab.deployment, "platform": "nspwan"}))
    (tmp_path / "legacy.ini").write_text("[old]\nlegacy1\n")
    for playbook in ("destroy", "rollback", "deploy"):
        sources = ("-i", tmp_path, "-i", tmp_path / "no" / "such")
        done = subprocess.run(
            [lab.program("ansible-playbook"), *sources, f"immutable.compose.{playbook}"],
            env={**lab.environment(), "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "false"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
        assert "The inventory has no node of any deployment" in said
        for word in ("broken.compose.yml", "line 3", "platform is 'nspwan'", "no/such: no such file"):
            assert word in said
