"""Machines that really boot: what is deployed on them runs in a container of systemd-nspawn. Needs root.

All have an address on the bridge of a network namespace; ``machines.json`` in the state directory says which, and how
SSH gets there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import typing as t
from contextlib import suppress
from pathlib import Path

from .faults import Faults
from .machines import Load, Machine
from .options import Options

_BRIDGE, _NETWORK = "kadeploy0", "10.158"
_GROUPS = [f"/sys/fs/cgroup{part}" for part in ("", "/systemd", "/unified")]
#: Moves itself into the cgroups given first, up to ``--``, and becomes the command after it.
_MOVE = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"'
#: The mini system: where the disk is, and where archives of post-installs are unpacked.
_MINI_SYSTEM = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/dest /mnt/rambin
mount --bind "$1" /mnt/dest
tar -xf "$2" -C /mnt/rambin
cd /mnt/rambin
PATH=/mnt/rambin:$PATH
eval "$3"
"""
_PATIENCE = 20.0


class Network:
    """:param state: directory of the stand-in, which names the namespace"""

    def __init__(self, state: Path) -> None:
        self.name = "kadeploy-" + hashlib.sha256(str(state).encode()).hexdigest()[:8]
        self.directory = state / "machines"
        self._table = state / "machines.json"
        self._addresses: dict[str, str] = {}

    def enter(self, *command: str) -> list[str]:
        """A command within the namespace."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    def create(self) -> None:
        """A namespace with a bridge; one that is there already is made anew."""
        self.remove()
        _run(["ip", "netns", "add", self.name])
        _run(["ip", "-n", self.name, "link", "add", _BRIDGE, "type", "bridge"])
        _run(["ip", "-n", self.name, "address", "add", f"{_NETWORK}.0.1/16", "dev", _BRIDGE])
        _run(["ip", "-n", self.name, "link", "set", _BRIDGE, "up"])

    def remove(self) -> None:
        """No namespace."""
        if os.path.exists(f"/run/netns/{self.name}"):
            subprocess.run(["ip", "netns", "delete", self.name], check=False)

    def join(self, machine: str) -> str:
        """The address of a machine."""
        number = len(self._addresses) + 2
        address = self._addresses[machine] = f"{_NETWORK}.{number >> 8}.{number & 255}"
        table = {
            name: {"address": found, "proxy_command": " ".join(self.enter("nc", found, "22"))}
            for name, found in self._addresses.items()
        }
        self._table.write_text(json.dumps(table, indent=1) + "\n")
        return address


def factory(state: Path, _options: Options) -> t.Callable[[str, Faults, float], Machine]:
    """What makes machines that boot."""
    if os.geteuid() != 0:
        raise SystemExit("--machines nspawn needs root")
    missing = [program for program in ("systemd-nspawn", "nsenter", "ip", "nc", "tar") if not shutil.which(program)]
    if missing:
        raise SystemExit(f"--machines nspawn needs {', '.join(missing)}")
    network = Network(state)
    network.create()
    return lambda name, faults, seconds: Container(name, faults, seconds, network)


def _run(command: list[str]) -> None:
    """A command that must not fail."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


class Container(Machine):
    """A machine whose disk is a directory."""

    pretends = False

    def __init__(self, name: str, faults: Faults, boot_seconds: float, network: Network) -> None:
        super().__init__(name, faults, boot_seconds)
        self._network = network
        self.address = network.join(name)
        self._root = network.directory / name
        self._process: subprocess.Popen[bytes] | None = None
        self._group = f"{network.name}-{name.split('.')[0]}"
        self._lock = threading.RLock()

    # The disk

    def work(self, step: str, load: Load) -> str:
        """What a microstep does to the disk; the error, if it fails."""
        failed = super().work(step, load)
        if failed:
            return failed
        try:
            if step == "send_environment":
                self._unpack(load)
            elif step == "manage_user_post_install":
                self._post_install(load)
            elif step == "check_kernel_files":
                return self._missing(load)
            elif step == "send_key":
                self._add_keys(load.keys)
        except OSError as error:
            return f"{error}\n"
        return ""

    def _unpack(self, load: Load) -> None:
        if self._root.exists():
            shutil.rmtree(self._root)
        self._root.mkdir(parents=True)
        _run(
            ["tar", "-xf", str(load.image), "-C", str(self._root), "--numeric-owner", "--xattrs", "--xattrs-include=*"]
        )
        # A machine gets its address from the site's DHCP server, and its name with it.
        networks = self._root / "etc/systemd/network"
        networks.mkdir(parents=True, exist_ok=True)
        settings = f"[Match]\nName=host0\n[Network]\nAddress={self.address}/16\nGateway={_NETWORK}.0.1\n"
        (networks / "00-kadeploy.network").write_text(settings)
        (self._root / "etc/hostname").write_text(self.name.split(".")[0] + "\n")
        for key in (self._root / "etc/ssh").glob("ssh_host_*_key*"):
            key.unlink()  # each deployment has new ones
        if (self._root / "usr/bin/ssh-keygen").exists():
            subprocess.run(["ssh-keygen", "-q", "-A", "-f", str(self._root)], check=False)

    def _post_install(self, load: Load) -> None:
        for archive, script in load.postinstalls:
            if script != "none" and archive.stat().st_size:
                command = [
                    "unshare",
                    "--mount",
                    "sh",
                    "-c",
                    _MINI_SYSTEM,
                    "sh",
                    str(self._root),
                    str(archive),
                    f"./{script}",
                ]
                environment = {**os.environ, "KADEPLOY_NODE": self.name, **load.variables}
                done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
                if done.returncode:
                    raise OSError(done.stderr.strip() or f"{script}: exit code {done.returncode}")

    def _missing(self, load: Load) -> str:
        """Kernel and initrd must be in the archive."""
        boot = load.description.get("boot", {})
        for kind in ("kernel", "initrd"):
            name = boot.get(kind)
            if name and not self._follow(name):
                return f"Environment {kind} file {name} not found in tarball ({name})\n"
        return ""

    def _follow(self, name: str) -> bool:
        """Whether a file is there, with links that stay within the archive."""
        for _link in range(16):
            path = self._root / name.lstrip("/")
            if not path.is_symlink():
                return path.exists()
            name = os.path.normpath(os.path.join("/", os.path.dirname(name), os.readlink(path)))
        return False

    def _add_keys(self, keys: str) -> None:
        directory = self._root / "root/.ssh"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (directory / "authorized_keys").open("a") as file:
            file.write(keys if keys.endswith("\n") else keys + "\n")

    # The system

    def power_up(self) -> None:
        """Boot what was deployed; other systems only pretend."""
        if self.running != "user":
            return
        with self._lock:
            groups = [os.path.join(root, self._group) for root in _GROUPS if os.path.exists(f"{root}/cgroup.procs")]
            for group in groups:
                os.makedirs(group, exist_ok=True)
            nspawn = self._network.enter(
                "systemd-nspawn",
                "--boot",
                "--quiet",
                "--keep-unit",
                "--register=no",
                "--settings=no",
                f"--machine={self._group[-60:]}",
                f"--directory={self._root}",
                f"--network-bridge={_BRIDGE}",
                "--resolv-conf=off",
                "--timezone=off",
                "--link-journal=no",
                "--console=read-only",
            )
            with (self._network.directory / f"{self.name}.log").open("wb") as log:
                self._process = subprocess.Popen(
                    ["sh", "-c", _MOVE, "sh", *groups, "--", *nspawn],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        threading.Thread(target=self._give_address, args=(self._process,), daemon=True).start()

    def _give_address(self, process: subprocess.Popen[bytes]) -> None:
        """To systems without systemd-networkd, too."""
        deadline = time.monotonic() + _PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError, IndexError):
                leader = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
                enter = ["nsenter", f"--target={leader}", "--net", "ip"]
                _run([*enter, "address", "replace", f"{self.address}/16", "dev", "host0"])
                _run([*enter, "link", "set", "host0", "up"])
                return
            time.sleep(0.05)

    def halt(self) -> None:
        """As a cut of the power."""
        super().halt()
        with self._lock:
            process, self._process = self._process, None
            if process is None:
                return
            process.kill()
            process.wait()
            for group in (os.path.join(root, self._group) for root in _GROUPS):
                _drop(group)

    def answers(self, system: t.Any, waited: float) -> bool:
        """Port 22 of the system is open."""
        if system != "user":
            return super().answers(system, waited)
        if self.running != "user":
            return False
        probe = self._network.enter("nc", "-z", "-w", "1", self.address, "22")
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    def remove(self) -> None:
        """Stop it, and forget its disk."""
        self.halt()
        if self._root.exists():
            shutil.rmtree(self._root, ignore_errors=True)
        self._network.remove()


def _drop(group: str) -> None:
    """Kill what is left in a cgroup, and remove it."""
    deadline = time.monotonic() + _PATIENCE
    for directory, _children, _files in os.walk(group, topdown=False):
        while time.monotonic() < deadline:
            with suppress(OSError):
                for pid in Path(directory, "cgroup.procs").read_text().split():
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                os.rmdir(directory)
                break
            time.sleep(0.02)
