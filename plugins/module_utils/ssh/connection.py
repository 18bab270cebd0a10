# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One kept SSH connection per node, and one kept shell on it. PRIVATE to the collection.

A new SSH session per command costs a login each time. Here a small bash loop stays on the node; it reads commands from
its standard input and answers on its standard output::

    request   MARK NUL PURGE NUL COMMAND NUL      PURGE: not empty to drop the outputs kept so far
    answer    stdout MARK stderr MARK exit-code MARK

MARK is random and new for each command, so that no output can contain it. Outputs go through files in memory on the
node, not pipes: a process left in the background may keep its standard output open without holding up the answer.
Below an SSH server bash reads ``.bashrc`` even for ``bash -c``, hence ``--norc``.
"""

from __future__ import annotations

import base64
import logging
import re
import secrets
import shlex
import socket
import subprocess
import threading
import time
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass

try:
    import paramiko

    HAS_PARAMIKO = True
except ImportError:
    HAS_PARAMIKO = False

from ..errors import ComposeError
from ..libraries import missing_library
from .endpoint import Endpoint

if t.TYPE_CHECKING:
    from .keys import Keys

#: Seconds for one TCP connection, and for the server's first byte. Forwarders accept before the node does: try anew.
CONNECT = 5.0
#: Seconds for key exchange, login, and opening a session.
HANDSHAKE = 30.0
#: Seconds that a command gets to end once it was told to, and a lost connection to come back.
GRACE = 10.0
RECONNECT = 60.0
#: Bytes of output that may stay on the node before they are dropped.
KEPT_OUTPUT = 1 << 20

#: Key exchanges are CPU time of this host: more of them at once only makes all of them late.
_handshakes = threading.BoundedSemaphore(8)

# The library would print to standard error what is raised as an exception anyway.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_SHELL = r"""
export LC_ALL=C
d=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) || exit
trap 'rm -rf "$d"' EXIT
set -m
: >"$d/pid"
printf '%s\n' "$d"
exec 2>/dev/null
n=0
while IFS= read -r -d '' mark && IFS= read -r -d '' purge && IFS= read -r -d '' command; do
  if [ -n "$purge" ]; then rm -f "$d"/*.out "$d"/*.err; fi
  f=$d/$((n += 1))
  LC_ALL=C.UTF-8 LANG=C.UTF-8 bash --norc -c "$command" </dev/null >"$f.out" 2>"$f.err" &
  echo $! >"$d/pid"
  wait $!
  code=$?
  : >"$d/pid"
  if [ -s "$f.out" ]; then cat "$f.out"; fi
  printf %s "$mark"
  if [ -s "$f.err" ]; then cat "$f.err"; fi
  printf '%s%d%s' "$mark" "$code" "$mark"
done
"""

#: Ends the process group of the running command: politely, and after two seconds for certain.
_KILL = r"""
for i in 1 2 3 4 5 6 7 8 9 10; do read -r p <{pid} && break; sleep 0.1; done
[ -n "$p" ] || exit
kill -TERM -- "-$p"
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 -- "-$p" || exit; sleep 0.2; done
kill -KILL -- "-$p"
"""


class SSHError(ComposeError):
    """A node cannot be reached, or the connection broke."""


class HostKeyMismatch(SSHError):
    """Whoever answers is not the node."""


@dataclass(frozen=True)
class Output:
    """What a command left behind."""

    returncode: int
    stdout: bytes
    stderr: bytes
    #: The command was killed because its time was over.
    timed_out: bool = False


class Connection:
    """Commands on one node. Opened when first used, and again after it was lost. Safe to use from several threads.

    :param endpoint: how SSH reaches the node.
    :param host_key: the node's public host key, one line; whoever has another one is refused.
    :param identity_file: private key that logs in as root.
    """

    def __init__(self, node: str, endpoint: Endpoint, host_key: str, identity_file: str) -> None:
        if not HAS_PARAMIKO:
            raise missing_library("paramiko", what="every connection to a node")
        self.node = node
        #: Why the last attempt to connect failed; empty when it did not.
        self.last_error = "not tried yet"
        self._endpoint = endpoint
        self._host_key = base64.b64decode(host_key.split()[1])
        self._identity_file = identity_file
        self._lock = threading.RLock()
        self._transport: paramiko.Transport | None = None
        self._shell: paramiko.Channel | None = None
        self._proxy: subprocess.Popen[bytes] | None = None
        self._directory = ""
        self._kept = 0

    def open(self, timeout: float) -> None:
        """Connect, trying again and again until ``timeout`` seconds have passed.

        :raises HostKeyMismatch: at once.
        :raises SSHError: says the last error.
        """
        start = time.monotonic()
        with self._lock:
            while not self._is_open():
                try:
                    self._connect()
                    self.last_error = ""
                    return
                except SSHError:
                    raise
                except (OSError, EOFError, paramiko.SSHException) as error:
                    self.last_error = str(error) or type(error).__name__
                    self._drop()
                passed = time.monotonic() - start
                if passed >= timeout:
                    message = f"no SSH connection within {timeout:.0f} s; last error: {self.last_error}"
                    raise SSHError(message, node=self.node)
                # In proportion to the time waited: prompt after quick boots, cheap in slow ones.
                time.sleep(min(max(0.05, passed / 20), 1.0, timeout - passed))

    def run(self, command: str, timeout: float | None = None) -> Output:
        """Run ``bash -c command`` with standard input from ``/dev/null``.

        :param timeout: seconds after which the command and its process group are killed; ``None``: never.
        :raises SSHError: no connection, or it broke while the command ran.
        """
        if "\0" in command:
            raise ValueError("a command cannot contain NUL")
        with self._lock:
            self.open(RECONNECT if timeout is None else min(timeout, RECONNECT))
            try:
                return self._exchange(command.encode(), timeout)
            except (OSError, EOFError, paramiko.SSHException) as error:
                self.close()
                raise self._lost(error, command) from None

    @contextmanager
    def session(self, command: str) -> t.Iterator[paramiko.Channel]:
        """A channel of its own, for a command that needs its standard input or a stream of output."""
        with self._lock:
            self.open(RECONNECT)
            try:
                channel = t.cast(paramiko.Transport, self._transport).open_session(timeout=HANDSHAKE)
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise self._lost(error, command) from None
        with channel:
            try:
                channel.exec_command(command)
                yield channel
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise self._lost(error, command) from None

    def feed(self, command: str, data: bytes, timeout: float) -> Output:
        """Run a command with ``data`` as its standard input.

        :param timeout: seconds without any progress after which it is given up.
        """
        with self.session(command) as channel:
            channel.settimeout(timeout)
            channel.sendall(data)
            channel.shutdown_write()
            stdout, stderr = channel.makefile("rb").read(), channel.makefile_stderr("rb").read()
            if not channel.status_event.wait(timeout):
                raise EOFError
            return Output(channel.exit_status, stdout, stderr)

    def close(self) -> None:
        """Close the connection; a running :meth:`run` ends with an error."""
        self._drop()

    def _lost(self, error: Exception, command: str) -> SSHError:
        why = str(error) or "closed by the node"
        return SSHError(f"the SSH connection was lost ({why}) during: {command}", node=self.node)

    def _is_open(self) -> bool:
        return (
            self._transport is not None
            and self._transport.is_active()
            and self._shell is not None
            and not self._shell.closed
        )

    def _connect(self) -> None:
        self._drop()
        sock = self._dial()
        sock.settimeout(CONNECT)
        try:
            if not sock.recv(1, socket.MSG_PEEK):
                raise EOFError("the connection was closed before the server said anything")
        except socket.timeout:
            sock.close()
            raise OSError(f"the server said nothing for {CONNECT:.0f} s") from None
        except BaseException:
            sock.close()
            raise
        with _handshakes:
            transport = self._transport = paramiko.Transport(sock)
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = HANDSHAKE
            transport.get_security_options().key_types = ("ssh-ed25519",)
            transport.start_client(timeout=HANDSHAKE)
            if transport.get_remote_server_key().asbytes() != self._host_key:
                self._drop()
                raise HostKeyMismatch("the SSH host key is not the one made for this node", node=self.node)
            transport.auth_publickey("root", paramiko.Ed25519Key.from_private_key_file(self._identity_file))
            transport.set_keepalive(int(GRACE))
            self._shell = self._start_shell(transport)

    def _dial(self) -> socket.socket:
        where = self._endpoint
        if where.proxy_command is None:
            sock = socket.create_connection((where.host, where.port), timeout=CONNECT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A node that vanished does not answer: give up on it after this many milliseconds.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(3 * GRACE * 1000))
            return sock
        tokens = {"h": where.host, "p": str(where.port), "n": self.node, "r": "root", "%": "%"}
        command = re.sub("%([hpnr%])", lambda match: tokens[match[1]], where.proxy_command)
        ours, theirs = socket.socketpair()
        with theirs:
            # run_command waits for the end; this lives as long as the connection.
            self._proxy = subprocess.Popen(  # pylint: disable=ansible-bad-function
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return ours

    def _start_shell(self, transport: paramiko.Transport) -> paramiko.Channel:
        shell = transport.open_session(timeout=HANDSHAKE)
        shell.settimeout(HANDSHAKE)
        shell.exec_command(f"exec bash --norc -c {shlex.quote(_SHELL)}")
        greeting = b""
        while not greeting.endswith(b"\n"):
            chunk = shell.recv(4096)
            if not chunk:
                why = shell.recv_stderr(4096).decode("utf-8", "replace").strip()
                raise OSError(f"no bash on the node: {why}")
            greeting += chunk
        self._directory = greeting.decode().strip()
        self._kept = 0
        return shell

    def _exchange(self, command: bytes, timeout: float | None) -> Output:
        shell = t.cast(paramiko.Channel, self._shell)
        mark = secrets.token_hex(16).encode()
        purge = b"1" if self._kept > KEPT_OUTPUT else b""
        if purge:
            self._kept = 0
        shell.sendall(b"\0".join((mark, purge, command, b"")))
        deadline = None if timeout is None else time.monotonic() + timeout
        timed_out = False
        answer = bytearray()
        while True:
            shell.settimeout(None if deadline is None else max(0.0, deadline - time.monotonic()))
            try:
                chunk = shell.recv(1 << 16)
            except socket.timeout:
                if timed_out:
                    raise OSError("the command could not be killed") from None
                timed_out = True
                self._kill_running()
                deadline = time.monotonic() + GRACE
                continue
            if not chunk:
                raise EOFError
            answer += chunk
            if answer.endswith(mark):
                parts = bytes(answer).split(mark)
                if len(parts) == 4:
                    break
        self._kept += len(answer) + 8192  # two files take at least two pages
        return Output(int(parts[2]), parts[0], parts[1], timed_out)

    def _kill_running(self) -> None:
        script = _KILL.replace("{pid}", shlex.quote(f"{self._directory}/pid"))
        with t.cast(paramiko.Transport, self._transport).open_session(timeout=GRACE) as channel:
            channel.exec_command(f"exec bash --norc -c {shlex.quote(script)}")
            channel.status_event.wait(GRACE)

    def _drop(self) -> None:
        transport, proxy = self._transport, self._proxy
        self._transport = self._shell = self._proxy = None
        if transport is not None:
            transport.close()
        if proxy is not None:
            proxy.kill()
            proxy.wait()


def connect(node: str, endpoint: Endpoint, keys: Keys) -> Connection:
    """The connection to a node of the deployment that these keys belong to; not opened yet."""
    keys.login_public_key()  # makes the key if need be
    return Connection(node, endpoint, keys.host_key(node).public, keys.identity_file)
