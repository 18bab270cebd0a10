# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller like AWX keeps of a run: artifacts for the next job of a workflow, and each host's own result."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.plugin_utils.artifacts import artifacts, has_last_word

from .conftest import Site

LISTS = ("replaced", "kept", "failed", "drifted")
HOSTS = ["app1", "app2", "app3"]


def told(release: t.Any, **lists: list[str]) -> dict[str, t.Any]:
    said = {**{name: lists.get(name, []) for name in LISTS}, "release": {"site": release}}
    return {f"immutable_{name}": value for name, value in said.items()}


def result(nodes: dict[str, t.Any], failed: t.Sequence[str] = (), **site: t.Any) -> dict[str, t.Any]:
    return {"nodes": nodes, "failed_nodes": failed, "deployments": {"site": site}}


BOOTED, KEPT, BAD = ({"ok": ok, "changed": changed} for ok, changed in ((True, True), (True, False), (False, True)))


@pytest.mark.parametrize(
    ("module", "said", "expected"),
    [
        (
            "deployment_plan",
            result({"app1": {"action": "create"}, "app2": {"action": "keep"}, "app3": {"action": "refresh"}}),
            told(None, replaced=["app1"], kept=["app2", "app3"]),
        ),
        (
            "deployment_settle",  # app3 was told its peers
            result({"app1": BOOTED, "app2": KEPT, "app3": BOOTED, "old1": BOOTED}, release=3),
            told(3, replaced=["app1"], kept=["app2", "app3"]),
        ),
        (
            "deployment_settle",
            result({"app1": BAD, "app2": KEPT, "app3": KEPT}, ["app1"], release=None),
            told(None, failed=["app1"], kept=["app2", "app3"]),
        ),
        (
            "deployment_verify",
            result({"app1": KEPT, "app2": BAD, "app3": KEPT}, ["app2"], release=2),
            told(2, failed=["app2"], kept=["app1", "app3"]),
        ),
        (
            "drift_info",
            result({}, ["app1", "app2"], release=2, drifted=["app1"]),
            told(2, drifted=["app1"], failed=["app2"]),
        ),
    ],
)
def test_what_became_of_each_node(module: str, said: dict[str, t.Any], expected: dict[str, t.Any]) -> None:
    planned = {"app3": {"action": "refresh"}} if module == "deployment_settle" else {}
    stats = artifacts(module, said, planned, HOSTS)["ansible_stats"]
    assert stats == {"data": expected, "per_host": False, "aggregate": True}


@pytest.mark.parametrize(
    ("module", "args", "check_mode", "expected"),
    [
        ("deployment_plan", {}, False, True),
        ("deployment_plan", {"hold": True}, False, False),
        ("deployment_plan", {"hold": "yes"}, False, False),
        ("deployment_plan", {"hold": True}, True, True),
        ("deployment_verify", {}, False, True),
        ("deployment_verify", {"plan": {}}, False, False),
        ("deployment_switch", {"plan": {}}, False, False),
        ("deployment_settle", {"plan": {}}, False, True),
    ],
)
def test_one_step_of_a_run_says_it(module: str, args: dict[str, t.Any], check_mode: bool, expected: bool) -> None:
    assert has_last_word(module, args, check_mode=check_mode) is expected


def test_a_run_says_it_and_each_host_has_its_evidence(site: Site) -> None:
    site.write(roles={"app": {"count": 2, "secrets": {"a": "correct-horse-battery"}}, "postgres": 0})
    first = site.play("deploy", "-e", "compose_serial=1")
    assert first.result("artifacts") == told(1, replaced=["app1", "app2"])
    (site.state / "ill").touch()
    seen = site.play("verify", expect=2)
    (site.directory / "web/composition.nix").write_text("two")
    failed = site.play("deploy", expect=2)
    for run, release in ((seen, 1), (failed, 1)):
        assert run.result("artifacts") == told(release, failed=["app1", "app2"])
        reports = [result for task, result in run.events if task.endswith("Report")]
        assert len(reports) == 2
        for report in reports:
            assert report["evidence"]["checks"] == ["units"]
            assert "the password is ********" in report["evidence"]["journal"]
            assert "results.json" not in report["msg"]
    assert failed.said("more of journals and consoles is in ")
    # Controllers keep the results of all tasks.
    tasks = [task for task, result in failed.events if "journal" in str(result.get("nodes"))]
    assert [task.rpartition(" ")[2] for task in tasks] == ["Settle"]
