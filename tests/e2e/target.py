# SPDX-License-Identifier: GPL-3.0-or-later
"""A host behind a real SSH server whose root file system is this one, with all that is written to it kept aside."""

from __future__ import annotations

import socket
import subprocess
import typing as t
from contextlib import contextmanager
from pathlib import Path

from lab import wait_for_port

# Where programs of any host may write is not kept. Names and processes are its own.
ENTER = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/written" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/written,workdir=$1/work" "$1/root"
mount --rbind /dev "$1/root/dev"
mount -t proc proc "$1/root/proc"
for scratch in run tmp var/log; do mount -t tmpfs -o mode=1777 tmpfs "$1/root/$scratch"; done
mkdir -m 755 "$1/root/run/sshd"
touch "$1/root/var/log/lastlog"
# The user's own: who knows what it does.
if [ -e /root/.bashrc ]; then mount --bind /dev/null "$1/root/root/.bashrc"; fi
cp "$2/host" "$2/client.pub" "$1/root/run/sshd/"
exec chroot "$1/root" /usr/sbin/sshd -D -e -f /dev/null -p "$3" -o ListenAddress=127.0.0.1 -h /run/sshd/host \
  -o AuthorizedKeysFile=/run/sshd/client.pub -o StrictModes=no -o UsePAM=no -o PidFile=none -o PrintLastLog=no \
  -o "Subsystem sftp internal-sftp" -o MaxStartups=100
"""


class Target:
    """:param directory: empty, and its own."""

    def __init__(self, directory: Path, keys: Path) -> None:
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"]
            + ["--propagation", "private", "sh", "-c", ENTER, "enter", directory, keys, str(self.port)],
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(self.port)

    def written(self) -> list[str]:
        """What was written, made or deleted on the root file system since the start."""
        inside = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0]
        done = subprocess.run(
            ["nsenter", "-t", inside, "-m", "find", self.directory / "written", "-mindepth", "1", "-printf", "%P\n"],
            check=True,
            capture_output=True,
            text=True,
        )
        return sorted(done.stdout.splitlines())


@contextmanager
def targets(directory: Path, names: t.Iterable[str]) -> t.Iterator[dict[str, Target]]:
    """Hosts by name. Beside them ``client``, the key that logs in as root, and ``known_hosts``."""
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    found: dict[str, Target] = {}
    try:
        for name in names:
            (directory / name).mkdir()
            found[name] = Target(directory / name, directory)
        key = (directory / "host.pub").read_text()
        (directory / "known_hosts").write_text("".join(f"{name} {key}" for name in found))
        yield found
    finally:
        for target in found.values():
            target.process.kill()
            target.process.wait()
