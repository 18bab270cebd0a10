# SPDX-License-Identifier: GPL-3.0-or-later
"""Test scripts that switch machines off and unplug them: all of it is undone, however the script ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from lab import Lab, command_of, descendants
from tiny import Tiny

CALM = "for m in machines: m.succeed('true')"


@pytest.fixture(scope="module")
def site(tiny_of: t.Callable[..., Tiny]) -> Tiny:
    site = tiny_of(2, 0)
    (site.inventory / "two.compose.yml").unlink()
    site.play("deploy")
    return site


def run(site: Lab, script: str, *args: str, expect: int = 0) -> str:
    """Run a script by the playbook for that, on what runs."""
    path = site.directory / "a_script.py"
    path.write_text(script)
    return site.play("script", "-e", f"compose_script={path}", *args, expect=expect).output


def script(off: str = "", on: str = "") -> str:
    """The script, with what a console is waited for."""
    wait = {"OFF": off, "ON": on}
    lines = [f"one.wait_for_console_text({wait[line]!r})" if wait.get(line) else line for line in SCRIPT.splitlines()]
    return "\n".join(line for line in lines if line not in wait) + "\n"


def assert_whole(site: Tiny, before: dict[str, str]) -> None:
    """Both nodes run what they ran, and reach each other."""
    assert site.images() == before
    for node, other in (("app1", "app2"), ("app2", "app1")):
        site.on(node, f"exec 3<>/dev/tcp/{other}/22")


#: For two nodes, whatever they are called. OFF and ON: what has to be on the console then, where something is.
SCRIPT = """
one, two = machines[0], machines[1]

def boot(m):
    return m.succeed("cat /proc/sys/kernel/random/boot_id; cut -d ' ' -f 22 /proc/1/stat")

def reaches(m, other):
    return f"timeout 5 bash -c 'exec 3<>/dev/tcp/{other.name}/22'"

def again(m, first):
    now = boot(m)
    assert now != first, "it did not boot again"
    return now

last = boot(one)
one.succeed("touch /tmp/gone", "systemd-cat echo words of a program")
one.wait_for_console_text("words of a program")
one.shutdown()
assert not one.is_up()
two.fail(reaches(two, one))
OFF
one.start(allow_reboot=True)
ON
one.wait_for_unit("multi-user.target")
last = again(one, last)
one.succeed("test ! -e /tmp/gone")
one.crash()
one.crash()
one.start()
last = again(one, last)

with two.nested("cable"):
    two.wait_until_succeeds(reaches(two, one))
    two.block()
    two.succeed("echo nodes that are unplugged answer")
    one.fail(reaches(one, two))
    two.fail(reaches(two, one))
    two.unblock()
    one.wait_until_succeeds(reaches(one, two))
"""
#: What is quick on containers only.
MORE = """
one.reboot()
last = again(one, last)
one.execute("reboot", check_return=False)
one.wait_for_shutdown()
last = again(one, last)
one.execute("poweroff", check_return=False)
one.wait_for_shutdown()
two.block()
"""


def test_machines_are_switched_unplugged_and_put_back(site: Tiny) -> None:
    before, boots = site.images(), site.boots()
    keep = 'app1.succeed("touch /srv/data/kept")\n'
    kept = 'app1.succeed("test -e /srv/data/kept")\n'
    said = run(site, keep + script(on="Welcome|Reached target") + kept + MORE)
    assert "putting back and looking again at app1, app2" in said
    assert_whole(site, before)
    assert site.boots()["app1"] != boots["app1"] and site.boots()["app2"] == boots["app2"]


def test_on_podman(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of(
        "hands-podman", "web", platform={"name": "podman", "runtime": "runc"}, roles={"proxy": 0, "backend": 2}
    )
    lab.drop_kernels()
    lab.drop_test_script()
    lab.play("deploy")
    before = lab.images()
    run(lab, script(on="Welcome|Reached target") + MORE)
    assert lab.images() == before
    lab.play("verify")


def test_on_qemu(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of(
        "hands-qemu",
        "web",
        platform={"name": "qemu", "memory": 512, "ssh_port_base": 23700},
        roles={"proxy": 0, "backend": 2},
    )
    lab.drop_test_script()
    lab.play("deploy")
    before = lab.images()
    typed = """
one.succeed("(read line </dev/ttyS0; echo got $line >/tmp/typed) >/dev/null 2>&1 & sleep 1")
one.send_console("hello\\n")
one.wait_until_succeeds("grep 'got hello' /tmp/typed")
one.succeed("echo the end is new >/dev/ttyS0")
one.wait_for_console_text("the end is new")
assert "the end is new" in one.get_console_log()
two.crash()
one.block()
"""
    run(lab, script(off="reboot: Power down") + typed)
    assert lab.images() == before
    lab.play("verify")


def test_on_a_platform_that_cannot_it_is_refused(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("hands-none", "web", platform={"name": "nspawn"}, roles={"proxy": 0, "backend": 1})
    lab.drop_kernels()
    lab.drop_test_script()
    path = lab.composition / "composition.nix"
    text = path.read_text().rstrip().removesuffix("}")
    path.write_text(text + "testScript = ''for m in machines: m.send_console('x')'';\n}\n")
    refused = lab.play("plan", expect=2).output
    assert "machines have no 'send_console' on platform 'nspawn', which cannot type on consoles" in refused
    assert lab.nodes() == []


@pytest.mark.parametrize(
    ("end", "told"), [("assert False, 'on purpose'", "on purpose"), ("os.kill(os.getpid(), 9)", "signal 9")]
)
def test_a_script_that_fails_leaves_nothing_undone(site: Tiny, end: str, told: str) -> None:
    before = site.images()
    said = run(site, f"app1.crash()\napp2.block()\n{end}", expect=2)
    assert told in said
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
    process = started(site, "app1.crash()\napp2.block()\nprint('now')\nimport time\ntime.sleep(600)")
    keepers = {pid for pid in descendants(process.pid) if "checks.keeper" in command_of(pid)}
    assert len(keepers) == 1
    for pid in [process.pid, *descendants(process.pid)]:
        if pid not in keepers:
            os.kill(pid, signal.SIGKILL)
    process.wait()
    words_of(process).close()
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
    process = started(site, "app2.block()\nprint('now')\napp1.succeed('sleep 20')")
    assert "another run is at work on this deployment" in run(site, "app1.crash()", expect=2)
    run(site, CALM)
    words_of(process).read()
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


def started(site: Tiny, script: str) -> subprocess.Popen[str]:
    """A run of a script, which has said ``now``."""
    path = site.directory / "beside.py"
    path.write_text(script)
    process = site.start("script", "-e", f"compose_script={path}")
    for line in words_of(process):
        if "compose | now" in line:
            break
    return process


def words_of(process: subprocess.Popen[str]) -> t.IO[str]:
    return t.cast("t.IO[str]", process.stdout)


def wait_for(site: Tiny, node: str) -> None:
    """Wait until a node answers."""
    for _second in range(120):
        if site.ssh(node, "true").returncode == 0:
            return
        time.sleep(1)
    raise AssertionError(f"{node} does not answer")
