# SPDX-License-Identifier: GPL-3.0-or-later
"""What the platform refuses, and what it says of nodes that went another way than they should."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.bundle import write_bundle
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Target
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Volume
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image
from ansible_collections.immutable.compose.plugins.module_utils.platforms.base import Neighbour
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec import machine, platform, scripts
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec.platform import Kexec
from ansible_collections.immutable.compose.plugins.module_utils.platforms.problems import refuse
from ansible_collections.immutable.compose.plugins.module_utils.process import Completed
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

from ..model.samples import document

OWN = """\
boot 1
architecture x86_64
program /usr/sbin/kexec
program /usr/sbin/ip
memory 1000000
address eno1 {address}/24
mac eno1 52:54:00:12:34:56
"""
NODE = "boot 2\narchitecture x86_64\nowner {owner}\nidentity v1\n"
SILENT = Completed(255, "", "ssh: connect to host: No route to host\n")
DONE = Completed(0, "", "")


def own(address: str) -> Completed:
    return Completed(0, OWN.format(address=address), "")


def node(owner: str) -> Completed:
    return Completed(0, NODE.format(owner=owner), "")


class Machines:
    """In place of SSH: what each machine answers when it is asked what it runs, the last again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Completed]] = {}
        self.did: list[str] = []

    def run(self, command: list[str], **_options: t.Any) -> Completed:
        at = command.index("--")
        address, script = command[at + 1], command[at + 2]
        asked_as_node = any(word.startswith("HostKeyAlias=") for word in command)
        says = self.answers.get(address, [SILENT])
        runs_node = "owner" in says[0].stdout
        if "/random/boot_id" not in script:
            self.did.append(address)
            return DONE if asked_as_node == runs_node else SILENT
        if says[0].returncode == 0 and asked_as_node != runs_node:
            return Completed(255, "", "Host key verification failed.\n")
        return says.pop(0) if len(says) > 1 else says[0]


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Machines:
    there = Machines()
    monkeypatch.setattr(machine, "run", there.run)
    monkeypatch.setattr(machine, "POLL", 0.01)
    return there


def made(tmp_path: Path, *addresses: str | None, name: str = "lab", builder: str = "debian", **options: t.Any) -> Kexec:
    """With a node on each of these machines."""
    state = tmp_path / "state" / name
    state.mkdir(parents=True)
    (state / "known_hosts").touch()
    nodes = tuple(Node(f"web{at}", "web", at, address, options=options) for at, address in enumerate(addresses, 1))
    return Kexec(Deployment(name, "/c", builder, "kexec", nodes, state=str(state)), Progress())


def refused(chosen: Kexec) -> str:
    """What is wrong."""
    with pytest.raises(ComposeError) as error:
        refuse(chosen.check(chosen.deployment.nodes))
    return str(error.value)


def target(chosen: Kexec, tmp_path: Path, *, volumes: bool = False) -> Target:
    """For the first node."""
    files = {name: tmp_path / name for name in (*chosen.formats,)}
    for path in files.values():
        path.write_text("content")
    data = {"data": Volume("/srv")} if volumes else {}
    image = Image("web", "debian", "v1", "amd64", {}, cmdline="quiet", volumes=data)
    built = write_bundle(str(tmp_path / "bundle"), image, {name: str(path) for name, path in files.items()})
    (first, *_others) = chosen.deployment.nodes
    return Target(first, built, document(first), "a-b")


def outcome(chosen: Kexec, tmp_path: Path) -> str:
    """What becomes of the first node when it is booted."""
    return chosen.boot([target(chosen, tmp_path)], lambda name, result: None)["web1"].message


# -- before anything is touched ----------------------------------------------------------------------------------


def test_a_good_machine_passes(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [own("192.0.2.7")]
    chosen = made(tmp_path, "192.0.2.7")
    refuse(chosen.check(chosen.deployment.nodes))
    assert chosen.stage([target(chosen, tmp_path)]) is True


@pytest.mark.parametrize("builder", ["guix", "nixos", "nxc"])
def test_images_that_look_for_a_disk(machines: Machines, tmp_path: Path, builder: str) -> None:
    said = refused(made(tmp_path, "192.0.2.7", builder=builder))
    assert said == f"images of the builder {builder!r} cannot be started from memory yet" and machines.did == []


def test_a_machine_of_which_nothing_is_known(tmp_path: Path) -> None:
    assert "node 'web1' has no address: that of its machine is not known" in refused(made(tmp_path, None))


@pytest.mark.parametrize("option", ["key", "known_hosts"])
def test_files_that_cannot_be_read(tmp_path: Path, option: str) -> None:
    said = refused(made(tmp_path, "192.0.2.7", **{option: "/no/such"}))
    assert f"{option} is /no/such, which is not a file that can be read here" in said


def test_two_nodes_on_one_machine(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [own("192.0.2.7")]
    said = refused(made(tmp_path, "192.0.2.7", "192.0.2.7"))
    assert "web2" in said and "it has the same machine as the node 'web1': 192.0.2.7, port 22" in said


def test_a_machine_that_the_run_has_planned_for_another_deployment(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [own("192.0.2.7")]
    chosen, other = made(tmp_path, "192.0.2.7"), made(tmp_path, "192.0.2.7", name="other")
    chosen.neighbours = [Neighbour(other, ["web1"])]
    assert "it has the same machine as the node 'other/web1': 192.0.2.7, port 22" in refused(chosen)
    chosen.neighbours = [Neighbour(other, [])]
    refuse(chosen.check(chosen.deployment.nodes))


def test_a_machine_that_does_not_answer(machines: Machines, tmp_path: Path) -> None:
    said = refused(made(tmp_path, "192.0.2.7"))
    assert "its machine does not answer: ssh: connect to host: No route to host" in said
    assert "known_hosts must have its host key already: no machine is trusted on first use" in said
    assert machines.did == []


def test_a_machine_that_runs_what_this_host_does_not_know(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [Completed(255, "", "Host key verification failed.\n")]
    assert "its machine does not answer: Host key verification failed" in refused(made(tmp_path, "192.0.2.7"))


def test_a_user_who_may_not_become_root(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [Completed(1, "", "sudo: a password is required\n")]
    said = refused(made(tmp_path, "192.0.2.7", user="admin"))
    assert "admin cannot become root there: sudo: a password is required" in said


def test_data_volumes(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [own("192.0.2.7")]
    chosen = made(tmp_path, "192.0.2.7")
    with pytest.raises(InputError, match=r"role 'web' has data volumes \(data\), which platform kexec lacks"):
        chosen.stage([target(chosen, tmp_path, volumes=True)])
    assert machines.did == []


def test_an_export_that_cannot_be_written(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [own("192.0.2.7")]
    (tmp_path / "images").mkdir()
    (tmp_path / "images/lab").touch()
    chosen = made(tmp_path, "192.0.2.7", nfs="192.0.2.9:/images", nfs_dir=str(tmp_path / "images"))
    with pytest.raises(ComposeError, match=r"nfs_dir: cannot copy v1\.squashfs to .*/images: "):
        chosen.stage([target(chosen, tmp_path)])
    assert machines.did == []


def test_a_copy_that_breaks(tmp_path: Path) -> None:
    """The script itself, with a file that says that the memory is there."""
    staging = tmp_path / "staging"  # the script empties it
    staging.mkdir()
    (tmp_path / "mounts").write_text(f"tmpfs {staging} tmpfs rw 0 0\n")
    script = scripts.KEEP.replace("/proc/mounts", str(tmp_path / "mounts")).replace(scripts.STAGING, str(staging))
    command = ["sh", "-c", script, "compose", "v1.system", "5"]
    done = subprocess.run(command, input="abc", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "only 3 bytes of 5 arrived\n")
    assert not (staging / "v1.system").exists()
    subprocess.run(command, input="abcde", text=True, check=True)
    assert (staging / "v1.system").read_text() == "abcde"
    assert not os.path.ismount(staging)


# -- while nodes are switched ------------------------------------------------------------------------------------


def test_a_machine_that_others_have_taken_meanwhile(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [own("192.0.2.7"), node("other/web9")]
    said = outcome(made(tmp_path, "192.0.2.7"), tmp_path)
    assert "web1: its machine was taken: it runs the node other/web9" in said and machines.did == []


def test_a_machine_that_others_have_taken_before(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [node("other/web9")]
    said = outcome(made(tmp_path, "192.0.2.7"), tmp_path)
    assert "its machine runs another node, other/web9" in said and machines.did == []


def test_a_machine_that_has_ended_meanwhile(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [own("192.0.2.7"), SILENT]
    said = outcome(made(tmp_path, "192.0.2.7"), tmp_path)
    assert "its machine's own Linux does not answer any more: ssh: connect to host: No route" in said
    assert machines.did == []


def test_a_machine_that_does_not_boot_its_own_linux(machines: Machines, tmp_path: Path) -> None:
    machines.answers["192.0.2.7"] = [node("lab/web1")]
    said = outcome(made(tmp_path, "192.0.2.7", reboot_timeout=0), tmp_path)
    assert "booting its machine's own Linux: not within 0 s; it runs v1" in said


# -- afterwards --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("says", [SILENT, own("192.0.2.7"), node("other/web1")])
def test_a_node_that_went_back_cannot_be_confirmed(machines: Machines, tmp_path: Path, says: Completed) -> None:
    machines.answers["192.0.2.7"] = [says]
    chosen = made(tmp_path, "192.0.2.7")
    (why,) = chosen.confirm(chosen.deployment.nodes).values()
    assert "web1: cannot be confirmed: its machine went back, or does not answer" in why and machines.did == []


def test_a_node_that_went_back_is_not_waited_for(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "LOOK", 0)
    machines.answers = {"192.0.2.7": [own("192.0.2.7")], "192.0.2.8": [node("lab/web2")]}
    chosen = made(tmp_path, "192.0.2.7", "192.0.2.8", "192.0.2.9")
    (web1,) = chosen.lost(chosen.deployment.nodes).items()
    assert web1[0] == "web1" and web1[1].certain
    assert "its machine runs its own Linux again: it was shut down, or ended by itself" in web1[1].why


def test_a_node_whose_record_is_lost(machines: Machines, tmp_path: Path) -> None:
    chosen = made(tmp_path, "192.0.2.7")
    machines.answers["192.0.2.7"] = [own("192.0.2.7")]
    (Path(chosen.state) / "nodes/ghost").mkdir(parents=True)
    said: list[str] = []
    chosen.progress = t.cast(Progress, Said(said))
    assert chosen.observe(chosen.deployment.nodes)["ghost"].state == "silent"
    assert said == ["ghost: nothing is known of its machine"]


class Said(Progress):
    """Keeps what is said."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def say(self, text: str) -> None:
        self._lines.append(text)
