"""Nodes on this host: replaced, reverted, removed, and after a kill at any moment."""

from __future__ import annotations

import json
import os
import signal
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Boot, Seen
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local import machine
from ansible_collections.immutable.compose.plugins.module_utils.platforms.local import platform as local
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse

from ..conftest import AsNobody
from ..model.samples import document
from .conftest import Lab, Scripts


def observed(platform: Scripts, name: str = "node1") -> Seen:
    return platform.observe(platform.deployment.nodes)[name]


def test_create_and_observe(lab: Lab) -> None:
    platform = lab.platform()
    outcomes = lab.switch(platform, "image-1")
    assert all(outcome.ok and outcome.changed for outcome in outcomes.values())
    assert sorted(lab.told) == ["node1", "node2"]
    assert lab.platform().observe(platform.deployment.nodes) == {
        name: Seen("running", "image-1", "d1") for name in ("node1", "node2")
    }
    assert platform.console(platform.deployment.nodes[0]) == "boots image-1"


def test_replace_stops_the_old_and_keeps_data_and_console(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    data = Path(platform.node_state("node1").volumes, "db")
    data.write_text("kept")
    first = platform.running(["node1"])["node1"]
    lab.switch(platform, "image-2", "d2")
    second = platform.running(["node1"])["node1"]
    assert first != second
    assert observed(platform) == Seen("running", "image-2", "d2")
    assert data.read_text() == "kept"
    assert Path(f"{platform.node_state('node1').console}.1").read_text() == "boots image-1\nstopped\n"
    assert json.loads(Path(platform.node_state("node1").document).read_text())["parameters"]["digest"] == "d2"


def test_a_file_that_cannot_be_written_holds_up_its_node_only(lab: Lab) -> None:
    platform = lab.platform()
    current = Path(platform.node_state("node1").directory, "current.json")
    current.mkdir(parents=True)
    outcomes = lab.switch(platform, "image-1")
    assert not outcomes["node1"].ok and str(current) in outcomes["node1"].message
    assert outcomes["node2"].ok and observed(platform, "node2") == Seen("running", "image-1", "d1")
    current.rmdir()
    assert lab.switch(platform, "image-1")["node1"].ok


def test_revert_returns_to_the_verified_image_and_document(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1", "d1")
    platform.commit(platform.deployment.nodes, 1)
    lab.switch(platform, "image-2", "d2")
    assert observed(platform) == Seen("running", "image-2", "d2", "image-1")
    outcome = platform.revert(platform.deployment.nodes, lab.tell)["node1"]
    assert outcome.ok
    assert outcome.changed
    assert observed(platform) == Seen("running", "image-1", "d1", "image-1")
    assert json.loads(Path(platform.node_state("node1").document).read_text())["parameters"]["digest"] == "d1"
    pid = platform.running(["node1"])
    assert not platform.revert(platform.deployment.nodes, lab.tell)["node1"].changed
    assert platform.running(["node1"]) == pid


def test_revert_without_a_verified_image_stops_the_node_and_keeps_its_console(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    outcome = platform.revert(platform.deployment.nodes, lab.tell)["node1"]
    assert outcome.ok
    assert outcome.changed
    assert observed(platform) == Seen("stopped", "image-1", "d1")
    assert platform.console(platform.deployment.nodes[0]) == "boots image-1\nstopped"


def test_start_that_fails_is_an_outcome_and_revert_repairs_it(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    platform.commit(platform.deployment.nodes, 1)
    outcome = lab.switch(platform, "broken")["node1"]
    assert not outcome.ok
    assert "switch, node1: command failed (exit code 7)" in outcome.message
    assert outcome.message.endswith("no root file system")
    assert observed(platform) == Seen("stopped", "broken", "d1", "image-1")
    assert platform.revert(platform.deployment.nodes, lab.tell)["node1"].ok
    assert observed(platform) == Seen("running", "image-1", "d1", "image-1")


def test_refresh_is_kept_for_the_next_boot_and_what_was_verified_stays(lab: Lab) -> None:
    platform = lab.platform("node1")
    (node,) = platform.deployment.nodes
    lab.switch(platform, "image-1", "d1")
    platform.commit([node], 1)
    pid = platform.running(["node1"])
    platform.refresh(node, document(node, parameters={"digest": "d2"}), "d2")
    assert platform.running(["node1"]) == pid
    assert observed(platform).document == "d2"
    assert json.loads(Path(platform.node_state("node1").document).read_text())["parameters"]["digest"] == "d2"
    assert platform.revert([node], lab.tell)["node1"].changed
    assert observed(platform) == Seen("running", "image-1", "d1", "image-1")


def test_the_verified_image_with_another_document_is_left_to_be_committed(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1", "d1")
    platform.commit(platform.deployment.nodes, 1)
    assert not observed(platform).leftovers
    lab.switch(platform, "image-1", "d2")
    assert observed(platform).leftovers
    platform.commit(platform.deployment.nodes, 1)
    assert not observed(platform).leftovers


def test_refresh_of_an_unverified_node_leaves_the_verified_one(lab: Lab) -> None:
    platform = lab.platform("node1")
    (node,) = platform.deployment.nodes
    lab.switch(platform, "image-1", "d1")
    platform.commit([node], 1)
    lab.switch(platform, "image-2", "d2")
    platform.refresh(node, document(node, parameters={"digest": "d3"}), "d3")
    platform.revert([node], lab.tell)
    assert observed(platform) == Seen("running", "image-1", "d1", "image-1")


def test_changed_option_is_told(lab: Lab) -> None:
    lab.switch(lab.platform("node1", memory=512), "image-1")
    assert observed(lab.platform("node1", memory=512)).differs == ()
    assert observed(lab.platform("node1", memory=1024)).differs == ("memory 512 → 1024",)


def test_node_that_left_the_deployment_is_seen_and_removed(lab: Lab) -> None:
    lab.switch(lab.platform(), "image-1")
    smaller = lab.platform("node1")
    assert observed(smaller, "node2") == Seen("running", "image-1", "d1")
    Path(smaller.node_state("node2").volumes, "db").write_text("kept")
    assert smaller.remove(["node2"], data=False, tell=lab.tell)["node2"].changed
    assert smaller.observe(smaller.deployment.nodes)["node2"] == Seen("absent")
    assert Path(smaller.node_state("node2").volumes, "db").exists()
    assert smaller.running(["node1", "node2"]).keys() == {"node1"}
    assert smaller.remove(["node2"], data=True, tell=lab.tell)["node2"].changed
    assert not Path(smaller.node_state("node2").volumes).exists()


def test_teardown_refuses_while_nodes_exist(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    with pytest.raises(ComposeError, match="nodes still exist .*: node1"):
        platform.teardown()
    platform.remove(["node1"], data=True, tell=lab.tell)
    platform.teardown()
    assert list(lab.state.iterdir()) == []


def test_state_is_private(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    for path in Path(platform.node_state("node1").directory).rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


class Killed(Scripts):
    """Its run is killed at a chosen moment."""

    moment = ""

    def command(self, name: str, record: Boot) -> list[str]:
        if self.moment == "before the start":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().command(name, record)

    def is_up(self, name: str, pid: int) -> bool:
        if self.moment == "after the start" and super().is_up(name, pid):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().is_up(name, pid)

    def after_stop(self, name: str) -> None:
        if self.moment == "after the stop":
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("moment", ["after the stop", "before the start", "after the start"])
def test_run_killed_in_a_switch_is_finished_by_the_next(lab: Lab, moment: str) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    platform.commit(platform.deployment.nodes, 1)
    run = os.fork()
    if run == 0:
        killed = Killed(platform.deployment, platform.progress)
        killed.moment = moment
        lab.switch(killed, "image-2")
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(run, 0)[1]) == signal.SIGKILL
    expected = {
        "after the stop": Seen("stopped", "image-1", "d1", "image-1"),
        "before the start": Seen("stopped", "image-2", "d1", "image-1"),
        "after the start": Seen("running", "image-2", "d1", "image-1"),
    }
    assert observed(platform) == expected[moment]
    orphan = platform.running(["node1"])
    assert lab.switch(platform, "image-2")["node1"].ok
    assert observed(platform) == Seen("running", "image-2", "d1", "image-1")
    # What runs what is meant is left alone; else there was nothing left to run beside it.
    assert (platform.running(["node1"]) == orphan) == (moment == "after the start")
    assert len(orphan) == (1 if moment == "after the start" else 0)


def test_machine_that_was_killed_is_stopped(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    pid = platform.running(["node1"])["node1"]
    with machine.handle(pid, platform.marker("node1"), platform.kind) as handle:
        assert handle is not None
        os.kill(pid, signal.SIGKILL)
        assert machine.wait(handle, 60)
    assert observed(platform) == Seen("stopped", "image-1", "d1")


def test_machine_that_does_not_stop_is_killed(lab: Lab) -> None:
    class Deaf(Scripts):
        def shut_down(self, name: str, handle: int, seconds: int) -> bool:
            return machine.wait(handle, 0)

    platform = Deaf(lab.deployment("node1"), lab.platform().progress)
    lab.switch(platform, "image-1")
    assert platform.remove(["node1"], data=False, tell=lab.tell)["node1"].ok
    assert platform.running(["node1"]) == {}
    assert "remove node1: does not stop, killing it" in (lab.state.parent / "progress").read_text()


def test_check_refuses_a_node_without_address(lab: Lab) -> None:
    platform = lab.platform()
    with pytest.raises(InputError, match=r"x: has no address on 10\.87\.0\.0/16"):
        refuse(platform.check([local.Node("x", "node")]))


def test_all_that_is_wrong_is_told_at_once(lab: Lab) -> None:
    """Each of these was the only one that was told."""
    platform = lab.platform("node1", "node2", "node3", "node4")
    lab.switch(platform, "image-1")
    platform.remove(["node4"], data=False, tell=lab.tell)
    first, second = (platform.node_state(name) for name in ("node1", "node2"))
    for path, old in ((first.directory + "/current.json", "machine/1"), (second.volumes + "/owner.json", "owner/1")):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        text = Path(path).read_text() if Path(path).exists() else '{"schema": "immutable.compose/owner/1"}'
        Path(path).write_text(text.replace(old, f"{old}9"))
    nodes = [replace(node, address=None) if node.name == "node4" else node for node in platform.deployment.nodes]
    with pytest.raises(InputError) as refused:
        refuse(platform.check(nodes))
    first, *lines = str(refused.value).splitlines()
    assert first == "3 problems. Nothing was touched"
    assert lines[0] == "- node4: has no address on 10.87.0.0/16"
    assert lines[1].startswith("- node1: ") and "current.json" in lines[1]
    assert lines[2].startswith("- node2: ") and "owner.json" in lines[2]
    Path(platform.node_state("node1").directory, "current.json").unlink()


def test_check_refuses_too_little_space(small_disk: Path) -> None:
    lab = Lab(small_disk / "state")
    with pytest.raises(ComposeError, match=f"{small_disk} has 8 MiB free, 64 MiB are needed"):
        refuse(lab.platform().check(lab.deployment().nodes))
    assert not lab.state.exists()


def test_check_refuses_the_state_of_another_platform(lab: Lab) -> None:
    class Other(Scripts):
        name = "other"

    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    with pytest.raises(ComposeError, match="holds nodes of platform 'scripts': destroy them first"):
        refuse(Other(platform.deployment, platform.progress).check(platform.deployment.nodes))


def test_record_of_another_version_is_refused(lab: Lab) -> None:
    platform = lab.platform("node1")
    lab.switch(platform, "image-1")
    path = Path(platform.node_state("node1").directory, "current.json")
    right = path.read_text()
    path.write_text(right.replace("machine/1", "machine/9"))
    newer = 'current.json: machine.schema is "immutable.compose/machine/9", expected .* a newer version'
    with pytest.raises(ComposeError, match=newer):
        refuse(platform.check(platform.deployment.nodes))
    with pytest.raises(ComposeError, match=newer):
        platform.observe(platform.deployment.nodes)
    assert not platform.remove(["node1"], data=False, tell=lab.tell)["node1"].ok
    path.write_text(right)
    assert platform.remove(["node1"], data=False, tell=lab.tell)["node1"].ok
    assert observed(platform) == Seen("absent")


@pytest.mark.parametrize("exists", [True, False])
def test_check_refuses_a_state_that_may_not_be_written(public: Path, as_nobody: AsNobody, exists: bool) -> None:
    lab = Lab(public / "state" / "lab")
    if exists:
        (lab.state / "nodes").mkdir(parents=True)
        lab.state.chmod(0o700)
    before = list(public.rglob("*"))
    with as_nobody(), pytest.raises(ComposeError) as refused:
        refuse(lab.platform().check(lab.deployment().nodes))
    there = lab.state if exists else public
    assert str(refused.value) == f"no permission to write to {there}, needed for the state {lab.state}"
    assert list(public.rglob("*")) == before
