# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes to the host that builds, and what comes back."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from .conftest import Site

SECRET = "correct-horse-battery"


def size(events: list[tuple[str, dict[str, object]]]) -> int:
    return sum(len(json.dumps(result)) for _task, result in events)


def test_the_results_of_a_hundred_nodes_are_small(site: Site) -> None:
    site.elsewhere()
    site.write(roles={"app": 100, "postgres": 1})
    run = site.play("deploy", "-e", "compose_host=builder", ANSIBLE_INJECT_INVOCATION="true")
    assert len(run.result("Plan")["nodes"]) == 101
    fleet = [event for event in run.events if not event[0].endswith("Report")]
    print(f"results: {size(fleet)} bytes, with those of each host {size(run.events)}")
    assert size(fleet) < 50_000
    assert not [task for task, result in fleet if "invocation" in result or "diff" in result]
    (site.directory / "web/composition.nix").write_text("two")
    assert "diff" in site.play("plan").result("Plan")


def test_content_is_sent_once_and_again_when_it_has_changed(site: Site) -> None:
    site.elsewhere()
    big = site.directory / "web/big"
    big.write_bytes(os.urandom(3_000_000))
    site.write(roles={"app": 2, "postgres": 0})
    elsewhere = ("-e", "compose_host=builder")
    run = site.play("deploy", *elsewhere)
    assert run.said("compose | sending web (29") and len(run.said("compose | sending")) == 3
    assert site.transfers() == 4  # with the deployment itself
    assert site.play("deploy", *elsewhere).said("compose | sending") == []
    assert site.transfers() == 0
    (site.directory / "web/composition.nix").write_text("two")
    run = site.play("deploy", *elsewhere)
    assert len(run.said("compose | sending web")) == 1 and not run.said("sending nix")
    assert site.transfers() == 1
    assert "/shipped/" in run.said("compose | build from")[0]


def test_what_was_sent_and_is_not_used_any_more_is_removed(site: Site) -> None:
    site.elsewhere()
    site.write(roles={"app": 1, "postgres": 0})
    old = site.state / "shipped/0123456789abcdef"
    old.mkdir(parents=True)
    (old / "packed").touch()
    site._run(["touch", "-d", "9 days ago", str(old)])
    site.play("build", "-e", "compose_host=builder")
    assert not old.exists()
    assert len(list((site.state / "shipped").glob("*/packed"))) == 4


@pytest.mark.parametrize("host", ["localhost", "builder"])
def test_a_secret_is_seen_by_nobody(site: Site, host: str) -> None:
    site.elsewhere()
    site.write(roles={"app": {"count": 2, "secrets": {"a": SECRET}}, "postgres": 0})
    facts = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(site.directory / "facts")}
    arguments = ("-e", f"compose_host={host}", "-vvv", "--diff")
    good = site.play("deploy", *arguments, ANSIBLE_INJECT_INVOCATION="true", **facts)
    assert good.said("told app1: {'a': '********'}")
    (site.state / "ill").touch()
    (site.directory / "web/composition.nix").write_text("two")
    bad = site.play("deploy", *arguments, expect=2, ANSIBLE_INJECT_INVOCATION="true", **facts)
    assert bad.said("the password is ********")
    for run in (good, bad):
        assert SECRET not in run.output
        assert SECRET not in json.dumps(run.events)
    assert site.files_with(SECRET) == [] and site.left() == []


@pytest.mark.parametrize("host", ["localhost", "builder"])
def test_a_run_that_is_killed_leaves_no_secret(site: Site, host: str) -> None:
    site.elsewhere()
    site.write(roles={"app": {"count": 1, "secrets": {"a": SECRET}}, "postgres": 0})
    started = site.directory / "started"
    run = site.start("deploy", "-e", f"compose_host={host}", SLOW=str(started))
    while not started.exists():
        assert run.poll() is None, "it ended before the nodes were verified"
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert site.files_with(SECRET) == []
    assert [path for path in site.left() if "parcel" in path] == []


def test_secrets_that_are_common_words_spoil_nothing(site: Site) -> None:
    words = {word: word for word in ("postgres", "app", "one-app", "keep", "a", "1", "nodes", "sketched", "steps")}
    site.write(roles={"app": 1, "postgres": {"count": 1, "secrets": words}})
    run = site.play("deploy")
    assert set(run.result("Plan")["nodes"]) == {"app1", "postgres1"}
    assert run.said("told app1: {}")
    assert run.result("Settle")["deployments"]["site"]["release"] == 1
    assert site.play("deploy").result("Plan")["deployments"]["site"]["settled"]


def test_what_needs_no_secret_asks_for_no_password(site: Site) -> None:
    site.write(roles={"app": 2, "postgres": 1})
    variables = site.directory / "inventory/host_vars/app2.yml"
    variables.parent.mkdir()
    variables.write_text(f"compose_secrets:\n  plain: x\n  token: {site.encrypt(SECRET)}")
    site.play("deploy", vault=True)
    assert site.play("deploy", vault=True).result("Plan")["deployments"]["site"]["settled"]
    for playbook, options in (("lock", ["--check"]), ("build", []), ("verify", []), ("destroy", ["--check"])):
        site.play(playbook, *options)
    advisories = (
        '{"compose_advisories": [{"id": "X-1", "package": "x", "versions": ["< 2"]}], "compose_audit_fail": false}'
    )
    site.play("audit", "-e", advisories)
    plan = site.play("plan")
    where = "inventory/host_vars/app2.yml:3: compose_secrets.token of 'app2' cannot be read: "
    (told,) = plan.said("compose | plan app2: its document is not compared:")
    assert where in told and "no vault secrets found" in told
    refused = site.play("deploy", expect=2)
    assert refused.said(where)
    assert [task for task, _result in refused.events if task.endswith("Switch")] == []
    # The other nodes can do without.
    site.play("deploy", "--limit", "app1")
    site.play("destroy")


def test_credentials_are_read_by_those_that_log_in(site: Site) -> None:
    site.write(roles={"app": 1, "postgres": 0})
    variables = site.directory / "inventory/group_vars/all.yml"
    variables.parent.mkdir()
    variables.write_text(f"compose_credentials:\n  token: {site.encrypt(SECRET)}")
    site.play("lock", "--check")
    refused = site.play("plan", expect=2)
    assert refused.said("group_vars/all.yml:2: compose_credentials.token of 'app1' cannot be read: ")


def test_progress_arrives_as_it_was_said(site: Site) -> None:
    site.elsewhere()
    site.write(roles={"app": {"count": 1, "secrets": {"a": "ünï\u2028çode → ☃" * 40}}, "postgres": 0})
    lines = {}
    for host in ("localhost", "builder"):
        (site.directory / "web/composition.nix").write_text(host)
        run = site.play("deploy", "-e", f"compose_host={host}")
        own = ("build from", "sending", "plan: ")  # the second run finds the node of the first
        lines[host] = [line for line in run.said("compose |") if not any(word in line for word in own)]
    assert lines["localhost"] == lines["builder"]


def test_one_refusal_beside_many_hosts_ends_check_mode_badly(site: Site) -> None:
    site.write(roles={"app": 101, "postgres": 0})
    text = (site.directory / "inventory/site.compose.yml").read_text()
    (site.directory / "inventory/other.compose.yml").write_text(text.replace("name: site", "name: other"))
    foreign = site.directory / "state/other/images/mine"
    foreign.parent.mkdir(parents=True)
    foreign.touch()
    other = site.directory / "inventory/other.compose.yml"
    other.write_text(other.read_text().replace("app: 101", "app: {names: [stranger]}"))
    refused = site.play("deploy", "--check", expect=2)
    assert refused.said("state/other")
    assert foreign.exists()
