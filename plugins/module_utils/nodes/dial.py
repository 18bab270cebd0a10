# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How one attempt to reach a node's SSH server begins: a socket that leads there, and its first byte. PRIVATE."""

from __future__ import annotations

import re
import socket
import subprocess

from .endpoint import Endpoint

#: Seconds for a TCP connection, and for the first byte of a server behind a forwarder, at first.
CONNECT = 5.0
#: Seconds that a command gets to end once it was told to, and a node to confirm that it is still there.
GRACE = 10.0

#: As kept connections need it: a node that vanished does not answer, or another one does, which knows nothing of us.
_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(3 * GRACE * 1000)),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(GRACE)),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, int(GRACE)),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)


def dial(endpoint: Endpoint, node: str) -> tuple[socket.socket, subprocess.Popen[bytes] | None]:
    """A socket that leads to the node, and the program at its other end if that is not the network.

    :raises OSError: nobody accepts a connection within :data:`CONNECT` seconds.
    """
    if endpoint.proxy_command is None:
        sock = socket.create_connection((endpoint.host, endpoint.port), timeout=CONNECT)
        for option in _OPTIONS:
            sock.setsockopt(*option)
        return sock, None
    tokens = {"h": endpoint.host, "p": str(endpoint.port), "n": node, "r": "root", "%": "%"}
    command = re.sub("%([hpnr%])", lambda match: tokens[match[1]], endpoint.proxy_command)
    ours, theirs = socket.socketpair()
    with theirs:
        # run_command waits for the end; this lives as long as the connection.
        proxy = subprocess.Popen(  # pylint: disable=ansible-bad-function
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return ours, proxy


def await_banner(sock: socket.socket, seconds: float) -> None:
    """Wait for the first byte of the server, without taking it.

    :raises OSError: there is none in time.
    :raises EOFError: the server, or whoever forwards to it, hung up.
    """
    sock.settimeout(seconds)
    try:
        if not sock.recv(1, socket.MSG_PEEK):
            raise EOFError("the connection was closed before the server said anything")
    except socket.timeout:
        raise OSError(f"the server said nothing for {seconds:.0f} s") from None
