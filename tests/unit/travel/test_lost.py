# SPDX-License-Identifier: GPL-3.0-or-later
"""What is lost on the way is no success: steps that are killed, hosts that do not answer any more."""

from __future__ import annotations

import pytest

from .conftest import Site


def test_a_module_that_crashes_is_a_failure_with_its_reason(site: Site) -> None:
    builder = (
        site.directory / "collections/ansible_collections/immutable/compose/plugins/module_utils/builders/sketch.py"
    )
    builder.write_text(
        builder.read_text().replace("def build(", "def build(self, *what):\n        return 1 / 0\n\n    def built(")
    )
    site.write(roles={"app": 1, "postgres": 0})
    run = site.play("build", expect=2)
    assert run.result("Build")["msg"] == "image_build: the module has crashed: division by zero"
    assert run.said("Module failed: division by zero")


@pytest.mark.parametrize(
    ("module", "host"),
    [
        ("image_build", "localhost"),
        ("image_stage", "localhost"),
        ("deployment_switch", "localhost"),
        ("deployment_verify", "localhost"),
        ("deployment_verify", "builder"),
    ],
)
def test_a_step_that_is_killed_is_no_success(site: Site, module: str, host: str) -> None:
    site.elsewhere()
    site.write(roles={"app": 2, "postgres": 0})
    run = site.play("deploy", "-e", f"compose_host={host}", DIES=module, expect=2)
    settled = run.result("Settle")
    assert settled["failed_nodes"] == ["app1", "app2"] and not settled["deployments"]["site"].get("release")
    code = " (exit code 137)" if host == "localhost" else ""  # what stands in for ssh hides it
    assert run.said(f"{module}: the module has crashed{code}: ")
    assert site.releases() == []
    # What one run has given up is nothing to the next.
    assert site.play("deploy", "-e", f"compose_host={host}").result("Settle")["deployments"]["site"]["release"] == 1


@pytest.mark.parametrize("module", ["deployment_plan", "deployment_settle"])
def test_a_run_whose_first_or_last_step_is_killed_has_failed(site: Site, module: str) -> None:
    site.write(roles={"app": 2, "postgres": 0})
    run = site.play("deploy", DIES=module, expect=2)
    assert run.said(f"{module}: the module has crashed (exit code 137)")
    assert site.play("deploy").result("Settle")["deployments"]["site"]["release"] == 1
    assert site.play("deploy").result("Plan")["deployments"]["site"]["settled"]


@pytest.mark.parametrize(
    ("what", "passed"),
    [("AnsiballZ_deployment_verify", 0), ("cat >$p/compose-parcel-", 5)],
    ids=["module", "parcel"],
)
def test_a_host_that_cannot_be_reached_for_a_step_is_no_success(site: Site, what: str, passed: int) -> None:
    site.elsewhere()
    site.write(roles={"app": 2, "postgres": 0})
    arguments = ("-e", "compose_host=builder")
    run = site.play("deploy", *arguments, AWAY=what, AWAY_AFTER=str(passed), expect=2)
    assert run.result("Settle")["failed_nodes"] == ["app1", "app2"]
    assert run.said("no route to host") and site.releases() == []
    assert site.play("deploy", *arguments).result("Settle")["deployments"]["site"]["release"] == 1


def test_progress_that_cannot_be_read_is_no_failure(site: Site) -> None:
    site.elsewhere()
    site.write(roles={"app": 2, "postgres": 0})
    run = site.play("deploy", "-e", "compose_host=builder", AWAY="/tmp/compose-progress-", AWAY_AFTER="3")
    assert run.result("Settle")["deployments"]["site"]["release"] == 1
