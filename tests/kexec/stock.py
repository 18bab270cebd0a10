# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian as its installer leaves it, with another user and sudo, on the disk of an emulated machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

#: Of the machine, in QEMU's own network; and where its SSH server is found on this host.
ADDRESS = "10.0.2.15"
PORT = 24800

PACKAGES = "systemd-sysv,udev,openssh-server,sudo,kexec-tools,linux-image-cloud-amd64,iproute2,dbus,kmod"
NETWORK = "[Match]\nType=ether\n[Network]\nDHCP=ipv4\n"
#: Seconds to boot, emulated.
BOOT = 300


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
    """One machine; its disk stays as it was made."""

    def __init__(self, disk: Path, directory: Path) -> None:
        self.key = disk / "key"
        self.known_hosts = directory / "known_hosts"
        kind, key = (disk / "host_key.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{PORT} {kind} {key}\n")
        self._disk = disk
        self._console = directory / "console"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Boot, and wait for the disk's Linux."""
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
        command += ["-m", "1024", "-nodefaults", "-no-user-config", "-display", "none", "-device", "virtio-rng-pci"]
        command += ["-chardev", f"file,id=console,path={self._console}", "-serial", "chardev:console"]
        command += ["-kernel", str(self._disk / "vmlinuz"), "-initrd", str(self._disk / "initrd")]
        command += ["-append", "root=LABEL=stock rw console=ttyS0 quiet"]
        command += ["-drive", f"if=none,id=disk,format=raw,snapshot=on,file={self._disk / 'disk'}"]
        command += ["-device", "virtio-blk-pci,drive=disk", "-device", "virtio-net-pci,netdev=net,romfile="]
        command += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{PORT}-:22"]
        self._process = subprocess.Popen(command)
        self.wait_for_disk()

    def stop(self) -> None:
        """Pull the plug."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def console(self) -> str:
        """All that was said on the console."""
        return self._console.read_text(errors="replace")

    def wait_for_disk(self, seconds: float = BOOT) -> float:
        """Wait until the Linux on the disk answers, with its own host key and user; seconds that took."""
        begin = time.monotonic()
        while self.on_disk("hostname") != "stock":
            assert time.monotonic() - begin < seconds, self.console[-2000:]
            time.sleep(2)
        return time.monotonic() - begin

    def on_disk(self, command: str) -> str:
        """Output of a command on the disk's Linux; empty if that does not answer."""
        try:  # QEMU accepts connections in place of the guest
            with socket.create_connection(("127.0.0.1", PORT), 2) as connection:
                connection.settimeout(5)
                if not connection.recv(1):
                    return ""
        except OSError:
            return ""
        options = [
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            f"UserKnownHostsFile={self.known_hosts}",
        ]
        done = subprocess.run(
            ["ssh", "-F", "none", *options, "-i", str(self.key), "-p", str(PORT), "admin@127.0.0.1", command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip()
