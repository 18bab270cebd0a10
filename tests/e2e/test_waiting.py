# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that end, get stuck, or fail: known at once, told with their last words, and nobody else's failure."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from lab import NEW, Lab

BACKENDS = ("backend1", "backend2")
PORT = "ports = [ 8080 ];"
#: What a node does at boot is one of its parameters: one image for all trials.
TRIALS = f"""{PORT}
    # {NEW}
    mayFail = [ "nightly-*" ];
    units."early-trial.service".text = ''
      [Unit]
      DefaultDependencies=no
      After=compose-node.service
      Before=local-fs.target

      [Service]
      Type=oneshot
      ExecStart=/bin/sh -c 'case $(jq -r .parameters.trial /run/compose/node.json) in off) echo "lights out" >/dev/console; systemctl poweroff --force ;; emergency) exit 1 ;; esac'

      [Install]
      RequiredBy=local-fs.target
    '';
    units."late-trial.service".text = ''
      [Service]
      Type=oneshot
      ExecStart=/bin/sh -c 'if [ "$(jq -r .parameters.trial /run/compose/node.json)" = late ]; then echo "no disk is left"; exit 3; fi'

      [Install]
      WantedBy=multi-user.target
    '';
    units."nightly-backup.service".text = ''
      [Service]
      Type=oneshot
      ExecStart=/bin/false

      [Install]
      WantedBy=multi-user.target
    '';
"""  # noqa: E501 - lines of units


@pytest.fixture(scope="module")
def lab(lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of("waiting", "web", platform="nspawn", roles={"proxy": 0, "database": 0, "backend": 2}, boot_timeout=900)
    lab.drop_kernels()
    lab.drop_test_script()
    lab.edit(PORT, TRIALS)
    run = lab.play("deploy")
    assert run.said("verify backend1: ok; failed, which may_fail allows: nightly-backup.service (exit-code, status 1)")
    return lab


def trial(lab: Lab, what: str) -> t.Any:
    """Let the second node boot with that parameter; the first is left alone."""
    lab.write(nodes={"backend2": {"parameters": {"trial": what}}})
    run = lab.play("deploy", expect=2)
    assert run.recap["backend2"]["failed"] == 1
    return run


def test_a_node_that_ends_is_known_at_once(lab: Lab) -> None:
    run = trial(lab, "off")
    assert run.seconds < 90
    told = run.said("verify backend2: it does not run any more")
    assert told and "its console said last:" in told[0] and "lights out" in told[0]
    assert lab.nodes() == list(BACKENDS) and len(set(lab.images().values())) == 1, "it is back on what was verified"


def test_an_emergency_is_told_by_the_node_itself(lab: Lab) -> None:
    run = trial(lab, "emergency")
    assert run.seconds < 90
    told = run.said("verify backend2: ")
    assert "failed units: early-trial.service (exit-code, status 1)" in told[0], told


def test_a_failed_unit_is_explained_and_fails_alone(lab: Lab) -> None:
    run = trial(lab, "late")
    assert run.said("verify backend2: failed units: late-trial.service (exit-code, status 3: no disk is left)")
    assert run.said("verify backend1: ok; failed, which may_fail allows") and not run.said("backend1: failed units")


def test_more_nodes_than_this_host_can_run_are_refused_before_the_first_boot(lab: Lab) -> None:
    """However high the limit is: so many nodes need more."""
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    before = lab.boots()
    lab.write(roles={"proxy": 0, "database": 0, "backend": limit // 6 + 2}, nodes={})
    run = lab.play("deploy", "--check", expect=2)
    assert run.said(f"inotify instances, but fs.inotify.max_user_instances is {limit} and ")
    assert run.said("sysctl -w fs.inotify.max_user_instances=")
    run = lab.play("deploy", expect=2)
    assert not run.said("switch backend") and lab.boots() == before
