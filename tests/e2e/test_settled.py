# SPDX-License-Identifier: GPL-3.0-or-later
"""What was verified works: services that end again, ports that nobody else reaches. On real nodes."""

from __future__ import annotations

import json
import typing as t

import pytest
from tiny import Tiny

pytestmark = pytest.mark.story

#: What it does is a parameter of the node: one image for all trials.
UNIT = """
    ports = [ 7000 ];
    units."trial.service".text = ''
      [Service]
      Restart=always
      RestartSec=3
      ExecStart=/bin/bash -c 'case $(jq -r .parameters.trial /run/compose/node.json) in loops) exit 1 ;; dies) sleep 8; exit 4 ;; local) at=127.0.0.1: ;; esac; exec systemd-socket-activate --accept --listen=$${at}7000 /bin/cat'

      [Install]
      WantedBy=multi-user.target
    '';
"""  # noqa: E501 - lines of units


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    lab = tiny_of(["app1", "app2"], ["other1"])
    (lab.inventory / "two.compose.yml").unlink()
    lab.edit('    files."/etc/greeting"', f'{UNIT}    files."/etc/greeting"')
    del lab.deployment["stable_for"]
    lab.write()
    return lab


def trial(lab: Tiny, what: str) -> str:
    """What is said of the second node, when it boots with that parameter."""
    lab.write(nodes={"app2": {"parameters": {"trial": what}}})
    run = lab.play("deploy", expect=2)
    assert run.recap["app2"]["failed"] == 1
    return next(line for line in run.said("verify app2: ") if ": ok" not in line)


def test_nodes_that_work_are_settled_once(lab: Tiny) -> None:
    """With the default of ``stable_for``."""
    run = lab.play("deploy")
    assert len(run.said("looking again in")) == 1
    written = json.loads((lab.state / "results" / "verify" / "results.json").read_text())
    assert all(check["seen"] for check in written["checks"])
    assert {check["seen"] for check in written["checks"] if check["name"] == "port 7000"} == {
        "10.87.0.1:7000, asked by app2",
        "10.87.0.2:7000, asked by app1",
    }
    assert not lab.play("verify").said("looking again in"), "they are up for longer than that"


def test_a_service_that_crashes_again_and_again(lab: Tiny) -> None:
    told = trial(lab, "loops")
    assert "units that end and are started again: trial.service (restarted " in told and "exit-code, status 1" in told


def test_a_service_that_dies_after_a_while(lab: Tiny) -> None:
    told = trial(lab, "dies")
    assert "trial.service (restarted " in told or "failed units: trial.service" in told


def test_a_port_of_the_loopback_interface(lab: Tiny) -> None:
    told = trial(lab, "local")
    assert ":7000 accepts no connection: only systemd-socket- at 127.0.0.1 listens" in told
