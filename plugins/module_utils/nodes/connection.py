# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One kept SSH connection per node, and one kept shell on it. PRIVATE to the collection.

A new SSH session per command costs a login each time. Here a small bash loop stays on the node; it reads commands from
its standard input and answers on its standard output::

    request   MARK NUL HOW NUL COMMAND NUL        HOW: letters; p drops the outputs kept so far, o: see below
    answer    stdout MARK stderr MARK exit-code MARK

MARK is random and new for each command, so that no output can contain it. Outputs go through files in memory on the
node, not pipes: a process left in the background may keep its standard output open without holding up the answer.
A command runs in a copy of the loop's process: to start a bash takes longer than most commands. Only one that asks
about its shell itself, such as for ``$$``, gets a bash of its own (``o``).
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
from contextlib import contextmanager, suppress

try:
    import paramiko

    HAS_PARAMIKO = True
except ImportError:
    HAS_PARAMIKO = False

from ..errors import ComposeError
from ..libraries import missing_library
from .dial import CONNECT, GRACE, await_banner, dial
from .endpoint import Endpoint
from .output import Output

if t.TYPE_CHECKING:
    from .keys import Keys

#: Seconds that a server may say nothing before the connection is tried anew: it may lead to a machine that is gone.
SILENCE = 120.0
#: Seconds for key exchange, login, and opening a session; or so many times what the server took for its first byte.
HANDSHAKE, SLOWER = 30.0, 3
#: Seconds for a lost connection to come back.
RECONNECT = 60.0
#: Bytes of output that may stay on the node before they are dropped.
KEPT_OUTPUT = 1 << 20
#: Bytes that one command may answer with, and the shell before it says that it is there.
ANSWER, GREETING = 64 << 20, 1 << 16

#: Key exchanges at once: they are CPU time of this host, and more of them only make all of them late.
HANDSHAKES = 8
#: Seconds without a turn that ended, after which nobody waits for one: nodes that are slow must not hold up the others.
TURN = 2.0

# The library would print to standard error what is raised as an exception anyway.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_SHELL = r"""
export LC_ALL=C.UTF-8 LANG=C.UTF-8
d=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) || exit
trap 'rm -rf "$d"' EXIT
set -m
: >"$d/pid"
printf '%s\n' "$d"
exec 2>/dev/null
n=0
while IFS= read -r -d '' mark && IFS= read -r -d '' how && IFS= read -r -d '' command; do
  case $how in *p*) rm -f "$d"/*.out "$d"/*.err ;; esac
  f=$d/$((n += 1))
  {
    case $how in *o*) exec bash --norc -c "$command" ;; esac
    trap - EXIT
    set +m -- "$command"
    unset -v d n mark mark2 how command f code
    eval "shift; $1"
  } </dev/null >"$f.out" 2>"$f.err" &
  echo $! >"$d/pid"
  wait $!
  code=$?
  : >"$d/pid"
  if [ -s "$f.out" ]; then cat "$f.out"; fi
  if [ -s "$f.err" ]; then printf %s "$mark"; cat "$f.err"; mark2=; else mark2=$mark; fi
  printf '%s%s%d%s' "$mark2" "$mark" "$code" "$mark"
done
"""

#: What only a shell of its own answers as people expect: ``$$``, ``$!``, ``$0``, ``$-``, variables about the shell.
_ABOUT_ITSELF = re.compile(rb"\$\{?[$!0-]|PPID|BASH|SHLVL")

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


class GivenUp(SSHError):
    """Somebody knows that the node is not going to answer: see :meth:`Connection.give_up`."""


class TooMuchOutput(ComposeError):
    """A command answered with more than is read."""


class _Turns:
    """Lets so many in at once, as long as they come out again."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)
        self._ended = time.monotonic()

    @contextmanager
    def taken(self) -> t.Iterator[None]:
        """While the body runs, others wait; for some time, should nobody come out."""
        has = self._free.acquire(timeout=TURN)
        while not has and time.monotonic() - self._ended < TURN:
            has = self._free.acquire(timeout=TURN)
        try:
            yield
        finally:
            self._ended = time.monotonic()
            if has:
                self._free.release()


_turns = _Turns(HANDSHAKES)


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

    def run(self, command: str, timeout: float | None = None) -> Output:
        """Run ``bash -c command`` with standard input from ``/dev/null``.

        :param timeout: seconds after which the command and its process group are killed; ``None``: never.
        :raises SSHError: no connection, or it broke while the command ran.
        :raises TooMuchOutput: more than :data:`ANSWER` bytes.
        """
        if "\0" in command:
            raise ValueError("a command cannot contain NUL")
        with self._lock:
            self.open(RECONNECT if timeout is None else min(timeout, RECONNECT))
            try:
                return self._exchange(command.encode(), timeout)
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

    def feed(self, command: str, data: bytes, timeout: float) -> Output:
        """Run a command with ``data`` as its standard input.

        :param timeout: seconds for the data, and then for the answer.
        """
        with self.session(command) as channel:
            channel.settimeout(timeout)
            channel.sendall(data)
            channel.shutdown_write()
            end = time.monotonic() + timeout
            streams = []
            for receive in (channel.recv, channel.recv_stderr):
                streams.append(bytearray())
                while chunk := _receive(channel, end, receive):
                    streams[-1] += chunk
                    if len(streams[-1]) > ANSWER:
                        raise _too_much(command.encode(), self.node)
            if not channel.status_event.wait(max(0.0, end - time.monotonic())):
                raise EOFError
            return Output(channel.exit_status, bytes(streams[0]), bytes(streams[1]))

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
            self._shell = self._start_shell(transport, handshake)

    def _start_shell(self, transport: paramiko.Transport, seconds: float) -> paramiko.Channel:
        end = time.monotonic() + seconds
        shell = transport.open_session(timeout=seconds)
        shell.settimeout(seconds)
        shell.exec_command(f"exec bash --norc -c {shlex.quote(_SHELL)}")
        greeting = b""
        while not greeting.endswith(b"\n"):
            try:
                chunk = _receive(shell, end)
            except socket.timeout:
                raise OSError(f"the login shell did not start bash within {seconds:.0f} s") from None
            if not chunk:
                why = shell.recv_stderr(4096).decode("utf-8", "replace").strip()
                raise OSError(f"no bash on the node: {why}")
            greeting += chunk
            if len(greeting) > GREETING:
                raise OSError(f"the login shell wrote {len(greeting)} bytes and did not start bash")
        self._directory = greeting.decode().strip()
        self._kept = 0
        return shell

    def _exchange(self, command: bytes, timeout: float | None) -> Output:
        shell = t.cast(paramiko.Channel, self._shell)
        mark = secrets.token_hex(16).encode()
        how = b"o" if _ABOUT_ITSELF.search(command) else b""
        if self._kept > KEPT_OUTPUT:
            how += b"p"
            self._kept = 0
        shell.settimeout(HANDSHAKE)
        shell.sendall(b"\0".join((mark, how, command, b"")))
        deadline = None if timeout is None else time.monotonic() + timeout
        timed_out = False
        answer = bytearray()
        while True:
            try:
                chunk = _receive(shell, deadline)
            except socket.timeout:
                if timed_out:
                    raise OSError("the command could not be killed, or answers without an end") from None
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
            if len(answer) > ANSWER:
                raise _too_much(command, self.node)
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


def _receive(channel: paramiko.Channel, end: float | None, receive: t.Callable[[int], bytes] | None = None) -> bytes:
    """What comes next on standard output, or on another stream; empty at its end.

    :raises socket.timeout: the moment ``end`` has passed, also where something goes on coming.
    """
    left = None if end is None else end - time.monotonic()
    if left is None or left > 0:
        channel.settimeout(left)
        with suppress(socket.timeout):
            return (receive or channel.recv)(1 << 16)
    raise socket.timeout("no end of the answer in time")


def _too_much(command: bytes, node: str) -> TooMuchOutput:
    line = " ".join(command.decode("utf-8", "replace").split())
    shown = line if len(line) <= 100 else f"{line[:99]}…"
    return TooMuchOutput(f"a command wrote more than {ANSWER >> 20} MiB, let it write to a file: {shown}", node=node)


def connect(node: str, endpoint: Endpoint, keys: Keys) -> Connection:
    """The connection to a node of the deployment that these keys belong to; not opened yet."""
    keys.login_public_key()  # makes the key if need be
    return Connection(node, endpoint, keys.public_host_key(node), keys.identity_file)
