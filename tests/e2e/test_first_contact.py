# SPDX-License-Identifier: GPL-3.0-or-later
"""The first five minutes: what `make demo` says of itself, and of a computer on which it cannot work; what the first
deploy says of one that has no room, or whose ports others have.

Each computer is this one with some files hidden by others, for the processes of the test only.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import typing as t
from pathlib import Path

import pytest
from lab import NEW, ROOT, Lab

FEDORA = 'ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora Linux 42"\n'
UBUNTU = 'ID=ubuntu\nVERSION_ID=24.04\nPRETTY_NAME="Ubuntu 24.04 LTS"\n'
OLD_UBUNTU = 'ID=ubuntu\nVERSION_ID=22.04\nPRETTY_NAME="Ubuntu 22.04 LTS"\n'
OLD_DEBIAN = 'ID=debian\nVERSION_ID=11\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n'
#: Whom nothing here belongs to.
USER = 54321
#: Programs that the script itself needs. None of them installs anything.
TOOLS = "awk basename bash cat cut df dirname env grep id install ls nproc rm sed sh sort tail tr uname wc"


class Computer:
    """This computer, in another's clothes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bin = directory / "bin"
        self.bin.mkdir(mode=0o755)
        for name in TOOLS.split():
            self.has(name)
        #: Commands that put other files in the place of those here.
        self.mounts = [f"mount --bind {self.bin} /opt"]
        #: Begins the command.
        self.as_user: list[str] = []
        self.packages()

    def has(self, name: str, script: str = "") -> None:
        """A program; by default the one that is here."""
        path = self.bin / name
        path.unlink(missing_ok=True)
        if script:
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        else:
            path.symlink_to(next(place for place in (f"/usr/bin/{name}", f"/bin/{name}") if os.path.exists(place)))

    def packages(self, *missing: str) -> None:
        """Debian's: all but these are installed."""
        self.has("apt-get", "echo apt-get $*; exit 1")
        test = f'case " {" ".join(missing)} " in *" $p "*) ;; *) echo "installed $p" ;; esac'
        self.has("dpkg-query", f'shift 3; for p in "$@"; do {test}; done')

    def runs(self, system: str) -> None:
        """Another system, which has no package manager of Debian's unless :meth:`packages` follows."""
        release = self.directory / "os-release"
        release.write_text(system)
        self.mounts.append(f"mount --bind {release} /etc/os-release")
        for name in ("apt-get", "dpkg-query"):
            (self.bin / name).unlink()

    def demo(self) -> subprocess.CompletedProcess[str]:
        """What ``make demo`` calls."""
        script = "\n".join(["set -e", *self.mounts, 'exec "$@"'])
        environment = ["env", "-i", "PATH=/opt", "HOME=/nowhere", "PIP_RETRIES=0"]
        return subprocess.run(
            [
                "unshare",
                "--mount",
                "sh",
                "-c",
                script,
                "sh",
                *self.as_user,
                *environment,
                "bash",
                "tests/tools/demo.sh",
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def refused(self) -> list[str]:
        """Why it is, before anything is installed."""
        done = self.demo()
        assert (done.returncode, done.stdout) == (1, ""), done.stdout + done.stderr
        first, *problems = done.stderr.splitlines()
        assert first == "make demo cannot go on:"
        return problems


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def test_it_says_what_it_does_and_how_long_that_takes_before_it_begins(computer: Computer) -> None:
    computer.packages("qemu-utils")
    said = computer.demo().stdout.splitlines()
    assert said[0].startswith("An NFS server and two clients, as virtual machines on this computer.")
    parts = [line.split() for line in said[1:6]]
    assert [part[0] for part in parts] == ["install", "Python", "build", "boot", "verify"]
    assert all(part[1].isdecimal() and part[2] in ("s", "min") for part in parts)
    assert parts[0][3:] == ["1", "packages", "of", "Debian:", "qemu-utils"]
    assert ("with KVM" in said[4]) == os.access("/dev/kvm", os.W_OK)
    assert said[7:] == ["== installing Debian packages: qemu-utils", "apt-get update -q"]


def test_where_a_guest_does_not_start_with_kvm_more_time_is_told(computer: Computer) -> None:
    computer.packages("runc")
    computer.has("qemu-system-x86_64", "exit 1")
    computer.has("timeout", "exit 134")  # as it is where the program aborts
    assert ["boot", "2", "min"] in [line.split()[:3] for line in computer.demo().stdout.splitlines()]


def test_no_sudo(computer: Computer) -> None:
    computer.packages("qemu-utils", "runc")
    computer.as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    assert computer.refused() == [
        "- packages are missing, and there is no sudo here with which to install them; as root: apt-get install "
        "qemu-utils runc"
    ]


def test_sudo_that_lets_nobody_in(computer: Computer) -> None:
    computer.packages("qemu-utils", "runc")
    computer.has("sudo", 'echo "alice is not in the sudoers file." >&2; exit 1')
    computer.as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    done = computer.demo()
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "alice is not in the sudoers file.",
        "make demo cannot go on:",
        "- packages are missing, and sudo refuses to install them (above: why); as root: apt-get install "
        "qemu-utils runc",
    ]


def test_a_mirror_that_does_not_answer(computer: Computer) -> None:
    computer.packages("runc")
    assert computer.demo().stderr.splitlines() == [
        "make demo cannot go on:",
        "- apt-get failed (above: why): its mirror must answer, and no other apt-get be at work",
    ]


def test_a_package_index_that_does_not_answer(computer: Computer) -> None:
    computer.mounts.append(f"mount -t tmpfs tmpfs {ROOT}/.cache")
    computer.as_user = ["unshare", "--net"]
    for name in ("ln", "mkdir", "readlink", "sha256sum"):
        computer.has(name)
    assert computer.demo().stderr.splitlines()[-2:] == [
        "make demo cannot go on:",
        "- pip failed (above: why): the package index of Python must answer, or the one that 'pip config set "
        "global.index-url URL' names instead",
    ]


def test_no_sudo_and_no_place_for_the_store(computer: Computer) -> None:
    computer.mounts.append("mount -t tmpfs tmpfs /nix")
    computer.as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    assert computer.refused() == [
        "- there is no /nix/store, where Nix builds, and no sudo here with which to make it; as root: install -d -m "
        "755 /nix /nix/store"
    ]


def test_the_store_is_for_all_whatever_the_umask(computer: Computer) -> None:
    nix = computer.directory / "nix"
    nix.mkdir(mode=0o700)
    computer.mounts += [f"mount --bind {nix} /nix", "umask 077"]
    computer.demo()
    assert [path.stat().st_mode & 0o777 for path in (nix, nix / "store")] == [0o755, 0o755]


def test_an_installation_that_is_interrupted_leaves_no_policy_behind(computer: Computer) -> None:
    """Nothing that is installed later would ever be started by its package again."""
    sbin = computer.directory / "sbin"
    sbin.mkdir()
    computer.mounts.append(f"mount --bind {sbin} /usr/sbin")
    computer.packages("runc")
    policy = sbin / "policy-rc.d"
    seen = computer.directory / "seen"
    computer.has("apt-get", f'[ "$1" = update ] || {{ cat {policy} >{seen}; kill -TERM $PPID; sleep 1; }}')
    computer.has("sleep")
    assert computer.demo().returncode != 0
    assert "exit 101" in seen.read_text()
    assert not policy.exists()


def test_no_space(computer: Computer) -> None:
    computer.packages("qemu-utils")
    computer.has("df", "echo Avail; echo 120")
    assert "- the file system of /usr has 120 MiB free, 1500 MiB are needed: make room there" in computer.refused()


def test_an_old_debian(computer: Computer) -> None:
    computer.runs(OLD_DEBIAN)
    computer.packages("nix-bin")
    assert computer.refused() == [
        "- this is Debian GNU/Linux 11 (bullseye), whose Nix and Python are too old: Debian 12 or Ubuntu 24.04 is "
        "needed, or newer"
    ]


def test_ubuntu(computer: Computer) -> None:
    computer.mounts.append("mount -t tmpfs tmpfs /etc/apt")
    computer.runs(OLD_UBUNTU)
    computer.packages()
    assert computer.refused()[0].startswith("- this is Ubuntu 22.04 LTS, whose Nix and Python are too old: Debian 12")
    computer.runs(UBUNTU)
    computer.packages()
    assert computer.refused() == [
        "- this is Ubuntu 24.04 LTS, and apt has no archive of Debian here, of which images are built: write one into "
        "/etc/apt/sources.list.d, component main, or do this on Debian 12 or newer"
    ]


def test_fedora_with_podman(computer: Computer) -> None:
    computer.runs(FEDORA)
    computer.has("podman", "exit 0")
    first, *_rest = computer.refused()
    assert first.startswith(
        "- this is Fedora Linux 42, which has no apt-get: install what is in these packages of Debian, by whatever "
        "names it has here: "
    )
    assert " nix-bin " in first and " podman " not in first


def test_no_python(computer: Computer) -> None:
    computer.mounts += [f"mount --bind /bin/false {path}" for path in sorted(Path("/usr/bin").glob("python3.1[0-9]"))]
    assert computer.refused() == [
        "- no Python 3.13 3.12 3.11 here makes virtual environments: install one of them, with its module venv"
    ]


def test_each_line_is_printed_when_it_is_said() -> None:
    """Ansible does not flush what it writes into a pipe: nothing would be seen for minutes."""
    done = subprocess.run(
        ["env", "-u", "PYTHONUNBUFFERED", "make", "--silent", "--eval", "said: ; @env", "said"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PYTHONUNBUFFERED=1" in done.stdout.splitlines()


def test_all_that_is_wrong_is_told_at_once(computer: Computer) -> None:
    computer.runs(FEDORA)
    computer.has("df", "echo Avail; echo 120")
    assert len(computer.refused()) >= 2


def test_a_port_that_is_taken(lab_of: t.Callable[..., Lab]) -> None:
    lab = lab_of("port", "nfs", platform={"name": "qemu", "ssh_port_base": 23500}, roles={"node": 2})
    with socket.create_server(("127.0.0.1", 23502)):
        said = " ".join(lab.play("deploy", expect=2).output.split())
    assert f"node2: port 23502 of 127.0.0.1 is taken by process {os.getpid()} (" in said
    assert "; give the platform another ssh_port_base in the deployment file, or the node another ssh_port" in said
    assert not lab.state.exists()


def test_no_space_for_images(lab_of: t.Callable[..., Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_of("space", "web", platform="nspawn")
    lab.edit("server {", f"# {NEW}\nserver {{", "nginx.conf")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", tmp_path], check=True)
    try:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        said = " ".join(lab.play("deploy", expect=2).output.split())
    finally:
        monkeypatch.delenv("TMPDIR")
        subprocess.run(["umount", "--lazy", tmp_path], check=True)
    # Of the others, too, where no test has built them before.
    lacking = (
        rf"no space for the images of (\w+, )*proxy: {tmp_path} has \d+ MiB free, about \d+ MiB are needed; make room"
    )
    assert re.search(lacking, said)
    assert (lab.nodes(), lab.state.joinpath("releases").exists()) == ([], False)
