# SPDX-License-Identifier: GPL-3.0-or-later
"""Two deployments in one inventory: what happens to one never decides about the other."""

from __future__ import annotations

import json
import typing as t

import pytest
from tiny import Tiny

HEALTHY = {"app1", "app2"}


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, ["db"])
    lab.play("deploy")
    return lab


def release(lab: Tiny, deployment: str) -> dict[str, t.Any]:
    """The current release of a deployment."""
    directory = lab.state.parent / deployment / "releases"
    return dict(json.loads((directory / f"{(directory / 'current').read_text().strip()}.json").read_text()))


def test_each_release_has_its_own_checks(lab: Tiny) -> None:
    assert release(lab, "one")["checks"]["passed"] > release(lab, "two")["checks"]["passed"] > 0
    assert set(release(lab, "one")["nodes"]) == HEALTHY
    assert set(release(lab, "two")["nodes"]) == {"db"}


def test_a_failed_check_takes_back_its_own_deployment_only(lab: Tiny) -> None:
    lab.write(setup={"v": 2})
    lab.write_two(setup={"v": 2})
    other = lab.composition.with_name("other") / "composition.nix"
    good = other.read_text()
    other.write_text(good.replace("test -e /etc/greeting", "grep v1 /etc/greeting"))
    done = lab.play("deploy", expect=2)
    other.write_text(good)
    assert {host: counts["failed"] for host, counts in done.recap.items()} == {"app1": 0, "app2": 0, "db": 1}
    assert {lab.on(node, "cat /etc/greeting") for node in HEALTHY} == {"v2\n"}
    assert lab.on("db", "cat /etc/greeting") == "v1\n"
    assert done.said("db: back on") or "back on its last verified image" in done.output
    assert (lab.release(), release(lab, "two")["number"]) == (2, 1)
    lab.play("deploy")
    assert lab.on("db", "cat /etc/greeting") == "v2\n"


PLAYBOOKS = [
    *("plan", "deploy", "build", "verify", "rollback", "lock", "check_reproducible", "nxc_export", "audit"),
    *("drift", "config", "script", "report"),
]


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_playbook_works_for_one_when_two_is_refused(lab: Tiny, playbook: str) -> None:
    """The state directory of ``two`` is somebody else's."""
    state, away = lab.state.parent / "two", lab.directory / "away"
    state.rename(away)
    (state / "images").mkdir(parents=True)
    (state / "images" / "holiday.jpg").write_text("precious")
    advisories = lab.directory / "advisories.yml"
    advisories.write_text("- {id: CVE-1, package: no-such-package, versions: ['< 1']}\n")
    script = lab.directory / "look.py"
    script.write_text("app1.succeed('true')\n")
    try:
        done = lab.play(playbook, "-e", f"compose_advisories={advisories} compose_script={script}", expect=2)
    finally:
        assert (state / "images" / "holiday.jpg").read_text() == "precious"
        (state / "images" / "holiday.jpg").unlink()
        (state / "images").rmdir()
        state.rmdir()
        away.rename(state)
    assert {host: counts["failed"] for host, counts in done.recap.items() if host != "localhost"} == {
        "app1": 0,
        "app2": 0,
        "db": 1,
    }
    assert "exists, but is not that of a deployment" in done.output
    assert lab.running() == {*HEALTHY, "db"}


def test_destroy_works_for_one_when_two_is_refused(lab: Tiny) -> None:
    lab.write_two(state_dir=str(lab.directory / "elsewhere"))
    (lab.directory / "elsewhere" / "two").mkdir(parents=True)
    (lab.directory / "elsewhere" / "two" / "roots").write_text("precious")
    done = lab.play("destroy", expect=2)
    assert {host: counts["failed"] for host, counts in done.recap.items()} == {"app1": 0, "app2": 0, "db": 1}
    assert lab.running() == {"db"}
    lab.write_two(state_dir=str(lab.state.parent))
