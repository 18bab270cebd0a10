# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One kept SSH connection per node: opened when needed, again when it was lost. PRIVATE to the collection."""

from __future__ import annotations

import base64
import logging
import socket
import subprocess
import sys
import threading
import time
import typing as t
from contextlib import contextmanager, suppress

# paramiko imports it for one word of ssh_config(5), which nothing here reads; that takes longer than all the rest.
_unneeded = sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]
try:
    import paramiko

    HAS_PARAMIKO = True
except ImportError:
    HAS_PARAMIKO = False
if _unneeded is None:
    del sys.modules["invoke"]

from ..errors import ComposeError
from ..libraries import missing_library
from .dial import CONNECT, GRACE, await_banner, dial
from .endpoint import Endpoint
from .output import Output
from .shell import Shell, TooMuchOutput, gather
from .turns import Turns

if t.TYPE_CHECKING:
    from .keys import Keys

#: Seconds that a server may say nothing before the connection is tried anew: it may lead to a machine that is gone.
SILENCE = 120.0
#: Seconds for key exchange, login, and opening a session; or so many times what the server took for its first byte.
HANDSHAKE, SLOWER = 30.0, 3
#: Seconds for a lost connection to come back.
RECONNECT = 60.0

#: Key exchanges at once: they are CPU time of this host, and more of them only make all of them late.
HANDSHAKES = 8
#: Seconds after which one of them makes room for another: nodes that are slow must not hold up the others.
TURN = 2.0

# The library would print to standard error what is raised as an exception anyway.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class SSHError(ComposeError):
    """A node cannot be reached, or the connection broke."""


class HostKeyMismatch(SSHError):
    """Whoever answers is not the node."""


class GivenUp(SSHError):
    """Somebody knows that the node is not going to answer: see :meth:`Connection.give_up`."""


#: Key exchanges of this host.
_turns = Turns(HANDSHAKES, TURN)


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
        #: How often it was opened.
        self.opened = 0
        self._endpoint = endpoint
        self._host_key = base64.b64decode(host_key.split()[1])
        self._identity_file = identity_file
        self._lock = threading.RLock()
        self._transport: paramiko.Transport | None = None
        self._shell: Shell | None = None
        self._proxy: subprocess.Popen[bytes] | None = None
        self._given_up = threading.Event()
        self._why = ""
        #: Of the attempt that waits for the server's first byte.
        self._waiting: socket.socket | None = None

    def open(self, timeout: float) -> None:
        """Connect, trying again and again until ``timeout`` seconds have passed.

        One attempt at a time: a node that is slow to answer would only be slower with several.

        :raises HostKeyMismatch: at once.
        :raises GivenUp: as soon as :meth:`give_up` is called.
        :raises SSHError: says the last error.
        """
        start = time.monotonic()
        # Forwarders accept before the node does, and may then never ask it again. But each new attempt costs a slow
        # node more, so each gets twice the time of the one before.
        patience = CONNECT if self._endpoint.forwarded else SILENCE
        with self._lock:
            while not self._is_open():
                self._require_hope()
                began = time.monotonic()
                try:
                    self._connect(min(patience, max(start + timeout - began, CONNECT)))
                    self.last_error = ""
                    return
                except SSHError:
                    raise
                except (OSError, EOFError, paramiko.SSHException) as error:
                    self.last_error = str(error) or type(error).__name__
                    self._drop()
                self._require_hope()
                now = time.monotonic()
                passed, took = now - start, now - began
                if passed >= timeout:
                    message = f"no SSH connection within {timeout:.0f} s; last error: {self.last_error}"
                    raise SSHError(message, node=self.node)
                if took >= CONNECT:
                    patience = min(2 * patience, SILENCE)
                # In proportion to the time waited: prompt after quick boots, cheap in slow ones. And an attempt that
                # kept the node busy for long is given time to be forgotten there.
                pause = max(min(max(0.05, passed / 20), 1.0), took / 4 if took >= CONNECT else 0.0)
                self._given_up.wait(min(pause, timeout - passed))

    def give_up(self, why: str) -> None:
        """The node is not going to answer: whoever waits for it, or does so later, gets these words at once."""
        self._why = why
        self._given_up.set()
        waiting = self._waiting
        if waiting is not None:
            with suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)
        self._drop()

    def run(self, command: str, timeout: float | None = None, *, surroundings: str | None = None) -> Output:
        """Run ``bash -c command`` with standard input from ``/dev/null``.

        :param timeout: seconds after which the command and its process group are killed; ``None``: never.
        :param surroundings: it is a test script's: its standard input blocks, and it ends when its standard output is
            closed, as in NixOS's driver; and it begins with what this command says.
        :raises SSHError: no connection, or it broke while the command ran.
        :raises TooMuchOutput: more than :data:`.shell.ANSWER` bytes.
        """
        if "\0" in command:
            raise ValueError("a command cannot contain NUL")
        with self._lock:
            self.open(RECONNECT if timeout is None else min(timeout, RECONNECT))
            try:
                return t.cast(Shell, self._shell).run(command.encode(), timeout, surroundings=surroundings)
            except TooMuchOutput:
                self.close()  # the rest of it would be taken for the next answer
                raise
            except (OSError, EOFError, paramiko.SSHException) as error:
                self.close()
                self._require_hope()
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

    def feed(self, command: str, data: bytes | t.Iterable[bytes], timeout: float) -> Output:
        """Run a command with ``data`` as its standard input, at once or in pieces.

        :param timeout: seconds for each piece, and then for the answer.
        """
        with self.session(command) as channel:
            channel.settimeout(timeout)
            try:
                for piece in [data] if isinstance(data, bytes) else data:
                    channel.sendall(piece)
                channel.shutdown_write()
            except OSError:
                if not channel.status_event.wait(GRACE):  # a command that has ended reads no more, and says why
                    raise
            return gather(channel, command.encode(), self.node, time.monotonic() + timeout)

    def close(self) -> None:
        """Close the connection; a running :meth:`run` ends with an error."""
        self._drop()

    def move(self, endpoint: Endpoint) -> None:
        """From now on the node is reached there, and there is hope again. A running :meth:`run` ends with an error."""
        self._drop()
        with self._lock:
            self._drop()
            self._endpoint = endpoint
            self._given_up.clear()

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

    def _require_hope(self) -> None:
        if self._given_up.is_set():
            self._drop()
            raise GivenUp(self._why, node=self.node)

    def _connect(self, patience: float) -> None:
        """One attempt.

        :param patience: seconds for the server's first byte.
        """
        self._drop()
        sock, self._proxy = dial(self._endpoint, self.node)
        began = time.monotonic()
        self._waiting = sock
        try:
            self._require_hope()
            await_banner(sock, patience)
        except BaseException:
            sock.close()
            raise
        finally:
            self._waiting = None
        handshake = max(HANDSHAKE, SLOWER * (time.monotonic() - began))
        with _turns.taken():
            transport = self._transport = paramiko.Transport(sock)
            transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = handshake
            transport.get_security_options().key_types = ("ssh-ed25519",)
            transport.start_client(timeout=handshake)
            if transport.get_remote_server_key().asbytes() != self._host_key:
                self._drop()
                raise HostKeyMismatch("the SSH host key is not the one made for this node", node=self.node)
            transport.auth_publickey("root", paramiko.Ed25519Key.from_private_key_file(self._identity_file))
            transport.set_keepalive(int(GRACE))
            self._shell = Shell(self.node, transport, handshake)
            self.opened += 1

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
    return Connection(node, endpoint, keys.public_host_key(node), keys.identity_file)
