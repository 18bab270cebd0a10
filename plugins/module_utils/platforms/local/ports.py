# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP ports of this host: which are free, and who has the others. PRIVATE to the collection."""

from __future__ import annotations

import errno
import os
import socket

from ...errors import ComposeError, InputError

#: State of a listening socket in /proc/net/tcp, see proc(5).
_LISTEN = "0A"


def require_free(port: int, address: str = "127.0.0.1") -> None:
    """:raises ComposeError: the port cannot be listened on; names who does, as far as ``/proc`` tells."""
    if not 0 < port < 65536:  # 0 would be any port
        raise InputError(f"port {port} is not a port number, expected 1 to 65535")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As QEMU does: connections that linger after a stop are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ComposeError(f"port {port} of {address} is taken by {listener(port)}") from None
            raise ComposeError(f"port {port} of {address} cannot be used: {error}") from None


def listener(port: int) -> str:
    """Who listens on a TCP port, for an error message."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with open(f"/proc/net/{table}", encoding="ascii") as stream:
            rows = [line.split() for line in stream.readlines()[1:]]
        inodes |= {row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port}
    sockets = {f"socket:[{inode}]" for inode in inodes}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if any(os.readlink(f"/proc/{pid}/fd/{fd}") in sockets for fd in os.listdir(f"/proc/{pid}/fd")):
                with open(f"/proc/{pid}/cmdline", "rb") as stream:
                    shown = stream.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                return f"process {pid} ({shown[:100]})"
        except OSError:
            continue  # gone meanwhile, or another user's
    return "a process of another user" if inodes else "another process"
