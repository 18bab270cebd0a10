# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that somebody looks after by hand: containers of systemd-nspawn, with an SSH server and Python.

They boot this computer's own root file system, and are on its network. What they write is in memory.
"""

from __future__ import annotations

import os
import socket
import subprocess
import typing as t
from contextlib import contextmanager
from pathlib import Path

from lab import wait_for_port

from ansible_collections.immutable.compose.plugins.module_utils.platforms.local.cgroup import drop_cgroup, own_cgroup

#: $1 is its directory, $2 that of the keys, $3 the port, $4 the name. Only what a system needs is started, and the
#: SSH server.
BOOT = """
mount -t tmpfs tmpfs "$1"
mkdir "$1/written" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/written,workdir=$1/work" "$1/root"
cd "$1/root"
rm -f root/.bashrc  # the user's own: who knows what it does
mkdir -p srv/keys etc/systemd/system
cp "$2/host" "$2/client.pub" srv/keys
cat >etc/systemd/system/old.target <<END
[Unit]
Requires=sysinit.target ssh-here.service
After=sysinit.target
AllowIsolate=yes
END
cat >etc/systemd/system/ssh-here.service <<END
[Service]
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -e -f /dev/null -p $3 -o ListenAddress=127.0.0.1 -h /srv/keys/host \\
  -o AuthorizedKeysFile=/srv/keys/client.pub -o StrictModes=no -o UsePAM=no -o PidFile=none \\
  -o "Subsystem sftp internal-sftp"
END
exec systemd-nspawn --boot --quiet --keep-unit --register=no --settings=no --machine="$4" --directory="$1/root" \\
  --resolv-conf=off --timezone=off --link-journal=no --console=read-only systemd.unit=old.target
"""


class OldMachine:
    """:param directory: empty, and its own.

    :param keys: of all of them: ``host``, and ``client.pub``, which logs in as root.
    """

    def __init__(self, directory: Path, keys: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        name = directory.name
        self._cgroup = f"old-{name}-{os.getpid()}"
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", BOOT, "boot"]
        words = own_cgroup(self._cgroup, [*enter, str(directory), str(keys), str(self.port), name])
        with open(f"{directory}.log", "wb") as log:
            # It ends with this process, whatever comes.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_for_port(self.port)

    def remove(self) -> None:
        self._process.kill()
        self._process.wait()
        drop_cgroup(self._cgroup)


@contextmanager
def old_machines(directory: Path, names: t.Iterable[str]) -> t.Iterator[dict[str, OldMachine]]:
    """Machines by name. In the directory are ``client``, the key that logs in, and ``host.pub``, theirs."""
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)
    found: dict[str, OldMachine] = {}
    try:
        for name in names:
            (directory / name).mkdir()
            found[name] = OldMachine(directory / name, directory)
        yield found
    finally:
        for machine in found.values():
            machine.remove()
