# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian as its installer leaves it, with another user and sudo, on the disk of an emulated machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import typing as t
from pathlib import Path

PACKAGES = "systemd-sysv,udev,openssh-server,sudo,kexec-tools,linux-image-cloud-amd64,iproute2,dbus,kmod"
NETWORK = "[Match]\nType=ether\n[Network]\nDHCP=ipv4\n"
#: Seconds to boot, emulated.
BOOT = 600


def make_disk(directory: Path) -> None:
    """``vmlinuz``, ``initrd``, ``disk``; ``key`` logs in as admin; ``host_key.pub``."""
    archive, root = directory / "stock.tar", directory / "root"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"]
    subprocess.run([*command, "bookworm", str(archive)], check=True)
    root.mkdir()
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", root], check=True)
    archive.unlink()
    subprocess.run(["chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", "admin"], check=True)
    (root / "etc/sudoers.d/admin").write_text("admin ALL=(ALL) NOPASSWD: ALL\n")
    (root / "etc/hostname").write_text("stock\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 stock\n")
    (root / "etc/fstab").write_text("LABEL=stock / ext4 rw 0 1\n")
    (root / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    (root / "etc/systemd/network/lan.network").write_text(NETWORK)
    subprocess.run(["systemctl", f"--root={root}", "--quiet", "enable", "systemd-networkd"], check=True)
    key = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    ssh = root / "home/admin/.ssh"
    ssh.mkdir(mode=0o700)
    shutil.copy(f"{key}.pub", ssh / "authorized_keys")
    subprocess.run(["chroot", root, "chown", "-R", "admin:", "/home/admin/.ssh"], check=True)
    shutil.copy(root / "etc/ssh/ssh_host_ed25519_key.pub", directory / "host_key.pub")
    for name, pattern in {"vmlinuz": "vmlinuz-*", "initrd": "initrd.img-*"}.items():
        (found,) = (root / "boot").glob(pattern)
        shutil.copy(found, directory / name)
    subprocess.run(["truncate", "--size=1500M", directory / "disk"], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-L", "stock", "-d", root, directory / "disk"], check=True)
    shutil.rmtree(root)


class Stock:
    """One machine; its disk stays as it was made.

    :param number: of the machine: it has a network of its own, in which this host is ``gateway``.
    """

    def __init__(self, disk: Path, directory: Path, number: int = 0) -> None:
        self.key = disk / "key"
        self.known_hosts = directory / "known_hosts"
        self.gateway, self.address = f"10.0.{2 + number}.2", f"10.0.{2 + number}.15"
        #: Of this host, that leads to its SSH server.
        self.port = 24800 + number
        kind, key = (disk / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        self._network = f"10.0.{2 + number}.0/24"
        self._disk = disk
        self._console = directory / "console"
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = 0

    def options(self, confirm_within: int = 600) -> dict[str, t.Any]:
        """What a deployment says of it."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "ssh_port": self.port,
            "user": "admin",
            "key": str(self.key),
            "known_hosts": str(self.known_hosts),
            "confirm_within": confirm_within,
        }

    def start(self) -> None:
        """Switch it on, without waiting."""
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
        command += ["-m", "1024", "-nodefaults", "-no-user-config", "-display", "none", "-device", "virtio-rng-pci"]
        command += ["-chardev", f"file,id=console,path={self._console},append=on", "-serial", "chardev:console"]
        command += ["-kernel", str(self._disk / "vmlinuz"), "-initrd", str(self._disk / "initrd")]
        command += ["-append", "root=LABEL=stock rw console=ttyS0 quiet"]
        command += ["-drive", f"if=none,id=disk,format=raw,snapshot=on,file={self._disk / 'disk'}"]
        command += ["-device", "virtio-blk-pci,drive=disk", "-device", "virtio-net-pci,netdev=net,romfile="]
        command += ["-netdev", f"user,id=net,net={self._network},hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        self._process = subprocess.Popen(command)

    def stop(self) -> None:
        """Pull the plug."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def cut(self) -> None:
        """A power cut; waits for the disk's Linux."""
        self.stop()
        self.start()
        self.wait_for_disk()

    def ready(self) -> None:
        """See to it that it runs the disk's Linux, and forget what was said on the console."""
        if self._process is None or self.on_disk("hostname") != "stock":
            self.cut()
        self._mark = len(self._said())

    @property
    def console(self) -> str:
        """What was said on the console since :meth:`ready`."""
        return self._said()[self._mark :]

    def _said(self) -> str:
        return self._console.read_text(errors="replace")

    def wait_for_disk(self) -> None:
        """Wait until the Linux on the disk answers, with its own host key and user."""
        begin = time.monotonic()
        while self.on_disk("hostname") != "stock":
            assert time.monotonic() - begin < BOOT, self.console[-2000:]
            time.sleep(2)

    def on_disk(self, command: str) -> str:
        """Output of a command on the disk's Linux; empty if that does not answer."""
        try:  # QEMU accepts connections in place of the guest
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.settimeout(5)
                if not connection.recv(1):
                    return ""
        except OSError:
            return ""
        known = f"UserKnownHostsFile={self.known_hosts}"
        options = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", known]
        ssh = ["ssh", *options, "-i", str(self.key), "-p", str(self.port), "admin@127.0.0.1", command]
        try:
            return subprocess.run(ssh, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
        except subprocess.TimeoutExpired:  # it went down meanwhile
            return ""
