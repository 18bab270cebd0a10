# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that somebody has changed are found, and boot anew if asked to; nobody else is."""

from __future__ import annotations

import json
import typing as t

import pytest
from tiny import Tiny

pytestmark = pytest.mark.story

#: What people do to a node that they should not.
BY_HAND = """
useradd --create-home mallory; rm /usr/bin/who; echo more >>/etc/greeting; mkdir -p /opt/a/b; touch /opt/a/b/c
touch -r /etc/adduser.conf /tmp/then; sed -i s/DSHELL/dshell/ /etc/adduser.conf; touch -r /tmp/then /etc/adduser.conf
systemctl mask --quiet cron.service
"""


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(2, ["other"])
    lab.play("deploy")
    return lab


def test_exactly_what_was_changed_is_told(lab: Tiny) -> None:
    report = lab.directory / "report.json"
    clean = lab.play("drift", "-e", f"compose_report={report}")
    assert [node["ok"] for node in json.loads(report.read_text()).values()] == [True] * 3
    assert not clean.said("drift app")
    lab.on("app1", BY_HAND)
    lab.on("other", "systemctl mask --quiet --runtime cron.service; systemd-run --quiet --unit=broken false")
    lab.on("app2", "echo hello >/opt/cache")
    ignore = json.dumps({"compose_drift_ignore": {"/opt/cache": "a cache"}, "compose_report": str(report)})
    run = lab.play("drift", "-e", ignore, expect=2)
    assert {host: counts["failed"] for host, counts in run.recap.items()} == {"app1": 1, "app2": 0, "other": 1}
    nodes = json.loads(report.read_text())
    assert nodes["app1"]["files"] == {
        "changed": ["/etc/adduser.conf", "/etc/greeting"],
        "added": ["/home/mallory", "/opt/a"],
        "deleted": ["/usr/bin/who"],
    }
    assert nodes["app1"]["users"] == {"added": ["mallory"]}
    assert nodes["app1"]["units"] == {"masked": ["cron.service"]}
    assert nodes["app2"]["ok"]
    assert nodes["other"]["units"] == {"masked": ["cron.service"], "failed": ["broken.service"]}
    assert nodes["other"]["files"] == {} and nodes["other"]["users"] == {}
    assert lab.play("verify", "--limit", "app1,app2").recap["app1"]["failed"] == 0
    checked = lab.play("verify", "-e", "verify_drift=true", "-e", ignore, "--limit", "app1,app2", expect=2)
    assert {host: counts["failed"] for host, counts in checked.recap.items()} == {"app1": 1, "app2": 0}
    assert checked.said("drift: files changed: /etc/adduser.conf, /etc/greeting; ")


def test_what_has_drifted_boots_anew(lab: Tiny) -> None:
    boots = {node: lab.boot_of(node) for node in ("app1", "app2", "other")}
    lab.script("an error")  # the release is what nodes boot, and not what its composition has become
    run = lab.play("drift", "-e", "compose_heal=true", "-e", '{"compose_drift_ignore": {"/opt/cache": "a cache"}}')
    assert {node for node, boot in boots.items() if lab.boot_of(node) != boot} == {"app1", "other"}
    assert run.recap["app1"]["failed"] == run.recap["other"]["failed"] == 0
    assert lab.on("app1", "cat /etc/greeting").count("more") == 0


def test_a_node_that_waits_for_its_turn_has_not_drifted(lab: Tiny) -> None:
    lab.script()
    lab.edit('"v$', '"w$')
    lab.play("deploy", "--limit", "app1")
    assert lab.on("app2", "cat /etc/greeting") == "v1\n"
    lab.on("app2", "rm /usr/bin/who")
    run = lab.play("drift", expect=2)
    assert {host: counts["failed"] for host, counts in run.recap.items()} == {"app1": 0, "app2": 1, "other": 0}
    (told,) = run.said("drift app2: ")
    assert "files deleted: /usr/bin/who" in told and "runs" not in told


def test_a_broken_seal_is_drift_and_in_the_release_until_the_node_boots_again(lab: Tiny) -> None:
    lab.play("deploy")
    lab.ansible("other", "raw", "touch /srv/helped", "-e", "immutable_unseal='disk full'")
    record = lab.state_of("other") / "releases" / "current"

    def unsealed() -> dict[str, list[str]]:
        release = json.loads(record.with_name(f"{record.read_text().strip()}.json").read_text())
        return {node: [why.partition(" by ")[0] for why in reasons] for node, reasons in release["unsealed"].items()}

    assert lab.play("drift", expect=2).said("files added: /srv/helped; unsealed: 'disk full' by ")
    assert unsealed() == {}
    done = lab.play("deploy")
    assert done.changed == 0 and done.said("unsealed:  other, until it boots again: 'disk full' by ")
    assert unsealed() == {"other": ["'disk full'"]}
    lab.play("drift", "-e", "compose_heal=true")
    assert unsealed() == {} and lab.play("drift").returncode == 0
