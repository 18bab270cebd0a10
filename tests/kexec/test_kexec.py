# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian that knows nothing of this starts a node, and comes back when it should. Emulated: minutes."""

from __future__ import annotations

import yaml
from lab import Lab

from .stock import Stock

#: A unit that fails: its node comes up, and is not well.
ILL = """units."ill.service".text = ''
      [Service]
      Type=oneshot
      ExecStart=/bin/false
      [Install]
      WantedBy=multi-user.target
    '';
    files."/etc/greeting"."""


def say(lab: Lab, command: str) -> str:
    """Output of a command on the node."""
    done = lab.ssh("app1", command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_node_is_started_kept_replaced_and_goes_back(lab: Lab, stock: Stock) -> None:
    run = lab.play("deploy")
    assert run.recap["app1"]["failed"] == 0
    assert say(lab, "findmnt --noheadings --output FSTYPE /") == "overlay"
    assert "/dev/vd" not in say(lab, "cat /proc/mounts")
    assert say(lab, "cat /etc/resolv.conf") == "nameserver 10.0.2.3"
    assert say(lab, "ls /run/compose/confirmed")
    assert "KEY" not in say(lab, "cat /proc/cmdline")
    boots = lab.boots()

    assert lab.play("deploy").changed == 0
    # A second deployment in the inventory, which means the same machine, has nothing of it.
    other = lab.inventory / "other.compose.yml"
    other.write_text(yaml.safe_dump({**lab.deployment, "name": "other", "roles": {"app": ["app2"]}, "nodes": {}}))
    run = lab.play("deploy", expect=2)
    assert (run.recap["app1"]["failed"], run.recap["app2"]["failed"]) == (0, 1)
    other.unlink()
    assert lab.boots() == boots

    # A failed check takes the node back to the image before.
    lab.edit('files."/etc/greeting".', ILL)
    run = lab.play("deploy", expect=2)
    assert run.said("ill.service") and run.said("back on")
    assert say(lab, "cat /etc/greeting; ls /run/compose/confirmed").startswith("one")

    lab.edit(ILL, 'files."/etc/greeting".')
    lab.edit("one", "two")
    lab.play("deploy")
    assert say(lab, "cat /etc/greeting") == "two"

    stock.cut()
    assert lab.play("plan").said("app1: gone; its machine has booted its own Linux")
    lab.play("destroy")


def test_an_image_that_does_not_come_up_goes_back_by_itself(lab: Lab, stock: Stock) -> None:
    # sshd never runs: nobody can tell the node anything.
    lab.edit('files."/etc/greeting"', 'units."ssh.service".mask = true;\n    files."/etc/greeting"')
    lab.write(platform={"name": "kexec", **stock.options(confirm_within=60)})
    run = lab.play("deploy", expect=2)
    assert run.recap["app1"]["failed"] == 1
    assert run.said("app1: gone; its machine has booted its own Linux")
    assert "nobody confirmed this system in time" in stock.console
    assert stock.on_disk("hostname") == "stock"


def test_a_controller_that_is_killed_does_not_keep_the_node(lab: Lab, stock: Stock) -> None:
    lab.write(platform={"name": "kexec", **stock.options(confirm_within=60)})
    lab.kill_when("TASK [immutable.compose.deploy : Verify")
    stock.wait_for_disk()
    assert "nobody confirmed this system in time" in stock.console
    # The next run begins anew; what is ended then is its node.
    lab.write(platform={"name": "kexec", **stock.options()})
    lab.play("deploy")
    assert say(lab, "cat /etc/greeting") == "one"
    lab.play("destroy")
    assert stock.on_disk("hostname") == "stock"
