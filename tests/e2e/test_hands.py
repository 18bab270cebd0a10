# SPDX-License-Identifier: GPL-3.0-or-later
"""Test scripts that switch machines off and unplug them: all of it is undone, however the script ends."""

from __future__ import annotations

import os
import signal
import time
import typing as t
from pathlib import Path

import pytest
from lab import command_of, descendants
from tiny import Tiny

CALM = "for m in machines: m.succeed('true')"


@pytest.fixture(scope="module")
def site(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    site = tiny_of(2, 0)
    (site.inventory / "two.compose.yml").unlink()
    site.play("deploy")
    return site


def run(site: Tiny, script: str, *args: str, expect: int = 0) -> str:
    """Run a script by the playbook for that, on what runs."""
    path = site.directory / "a_script.py"
    path.write_text(script)
    return site.play("script", "-e", f"compose_script={path}", *args, expect=expect).output


def assert_whole(site: Tiny, before: dict[str, str]) -> None:
    """Both nodes run what they ran, and reach each other."""
    assert site.images() == before
    for node, other in (("app1", "app2"), ("app2", "app1")):
        site.on(node, f"exec 3<>/dev/tcp/{other}/22")


def test_machines_are_switched_unplugged_and_put_back(site: Tiny) -> None:
    before, boots = site.images(), site.boots()
    said = run(
        site,
        """
        def boot(m):
            return m.succeed("cat /proc/sys/kernel/random/boot_id")

        first = boot(app1)
        app1.succeed("touch /tmp/gone /srv/data/kept")
        app1.shutdown()
        assert not app1.is_up()
        app2.fail("timeout 3 bash -c 'exec 3<>/dev/tcp/app1/22'")
        app1.start(allow_reboot=True)
        app1.wait_for_console_text("Startup finished|Reached target|Welcome")
        app1.wait_for_unit("multi-user.target")
        assert boot(app1) != first
        app1.succeed("test -e /srv/data/kept", "test ! -e /tmp/gone")

        first = boot(app1)
        app1.crash()
        app1.crash()
        app1.start()
        assert boot(app1) != first

        first = boot(app1)
        app1.reboot()
        assert boot(app1) != first

        first = boot(app1)
        app1.execute("reboot", check_return=False)
        app1.wait_for_shutdown()
        assert boot(app1) != first

        with app2.nested("cable"):
            app2.block()
            app2.succeed("echo unplugged nodes still answer")
            app1.fail("timeout 3 bash -c 'exec 3<>/dev/tcp/app2/22'")
            app2.fail("timeout 3 bash -c 'exec 3<>/dev/tcp/app1/22'")
            app2.unblock()
            app1.wait_until_succeeds("timeout 3 bash -c 'exec 3<>/dev/tcp/app2/22'", timeout=60)
        app1.execute("poweroff", check_return=False)
        app1.wait_for_shutdown()
        app2.block()
        """,
    )
    assert "putting back and looking again at app1, app2" in said
    assert_whole(site, before)
    assert site.boots()["app1"] != boots["app1"] and site.boots()["app2"] == boots["app2"]


def test_a_script_that_fails_leaves_nothing_undone(site: Tiny) -> None:
    before = site.images()
    said = run(site, "app1.crash()\napp2.block()\nassert False, 'on purpose'", expect=2)
    assert "on purpose" in said
    assert_whole(site, before)


def test_a_script_whose_time_is_over_leaves_nothing_undone(site: Tiny) -> None:
    before = site.images()
    site.write(verify_timeout=8)
    try:
        said = run(site, "app1.crash()\napp2.block()\nimport time\ntime.sleep(600)", expect=2)
    finally:
        site.write(verify_timeout=900)
    assert "the verification took longer than 8 s" in said
    assert_whole(site, before)


def test_a_run_that_is_killed_leaves_nothing_undone(site: Tiny) -> None:
    """Killed at once, all of it: nobody is left to put anything back but who was told before."""
    before = site.images()
    path = site.directory / "a_script.py"
    path.write_text("app1.crash()\napp2.block()\nprint('now')\nimport time\ntime.sleep(600)")
    process = site.start("script", "-e", f"compose_script={path}")
    assert process.stdout is not None
    for line in process.stdout:
        if "compose | now" in line:
            break
    keepers = {pid for pid in descendants(process.pid) if "checks.keeper" in command_of(pid)}
    assert len(keepers) == 1
    for pid in [process.pid, *descendants(process.pid)]:
        if pid not in keepers:
            os.kill(pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for _second in range(120):
        if not any(Path(f"/proc/{pid}").exists() for pid in keepers):
            break
        time.sleep(1)
    assert site.running() == {"app1", "app2"}
    for node in ("app1", "app2"):
        wait_for(site, node)
    assert_whole(site, before)


def test_in_check_mode_machines_are_left_alone(site: Tiny) -> None:
    boots = site.boots()
    assert "in check mode the test script is not run" in run(site, "app1.crash()", "--check")
    assert site.boots() == boots


def test_it_is_refused_while_another_run_is_at_work(site: Tiny) -> None:
    boots = site.boots()
    path = site.directory / "slow.py"
    path.write_text("app2.block()\nprint('now')\napp1.succeed('sleep 20')")
    process = site.start("script", "-e", f"compose_script={path}")
    assert process.stdout is not None
    for line in process.stdout:
        if "compose | now" in line:
            break
    assert "another run is at work on this deployment" in run(site, "app1.crash()", expect=2)
    run(site, CALM)
    process.stdout.read()
    assert process.wait() == 0
    assert site.boots() == boots


def test_a_deploy_whose_test_crashes_nodes_is_verified(site: Tiny) -> None:
    site.script("app1.crash()\napp1.start()\napp1.wait_for_unit('ssh.service')\napp2.crash()")
    release = site.release()
    site.play("deploy")
    assert site.running() == {"app1", "app2"}
    assert site.play("deploy").changed == 0
    assert site.release() >= release
    site.script("app1.crash()\napp1.switch_root()")
    refused = site.play("deploy", expect=2).output
    assert "testScript, line 2: machines have no 'switch_root' here: nodes have left their initrd" in refused
    assert site.running() == {"app1", "app2"}


def wait_for(site: Tiny, node: str) -> None:
    """Wait until a node answers."""
    for _second in range(120):
        if site.ssh(node, "true").returncode == 0:
            return
        time.sleep(1)
    raise AssertionError(f"{node} does not answer")
