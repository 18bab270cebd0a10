# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One kept shell on a node: commands over one session of a connection. PRIVATE to the collection.

A new session per command costs a start of the login shell each time. Here a small bash loop stays on the node; it reads
commands from its standard input and answers on its standard output::

    request   MARK NUL HOW NUL COMMAND NUL        HOW: letters; p drops the outputs kept so far, o and s: see below
    answer    stdout MARK stderr MARK exit-code MARK

MARK is random and new for each command, so that no output can contain it. Outputs go through files in memory on the
node, not pipes: a process left in the background may keep its standard output open without holding up the answer.
A command runs in a copy of the loop's process: to start a bash takes longer than most commands, and the copy is made
before there is a command, since that takes longer still. Only one that asks about its shell itself, such as for ``$$``,
gets a bash of its own (``o``). What scripts call (``s``) ends as in NixOS's
driver: once nothing of its process group has its standard output open; its standard input never says a word, nor ends.
What they begin with is kept in a file beside: bash reads requests byte by byte.
Below an SSH server bash reads ``.bashrc`` even for ``bash -c``, hence ``--norc``.
"""

from __future__ import annotations

import re
import secrets
import shlex
import socket
import time
import typing as t
from contextlib import suppress

from ..errors import ComposeError
from .dial import GRACE
from .output import Output

if t.TYPE_CHECKING:
    import paramiko

#: Seconds for the node to take a command, and to say what the surroundings of commands are.
SEND, AROUND = 30.0, 60.0
#: Bytes of output that may stay on the node before they are dropped.
KEPT_OUTPUT = 1 << 20
#: Bytes that one command may answer with, and the shell before it says that it is there.
ANSWER, GREETING = 64 << 20, 1 << 16

_LOOP = r"""
export LC_ALL=C.UTF-8 LANG=C.UTF-8
d=$(mktemp -d -p /dev/shm 2>/dev/null) || d=$(mktemp -d) || exit
trap 'rm -rf "$d"' EXIT
set -m
: >"$d/runs"
mkfifo "$d/in"
exec 3<>"$d/in" 4</dev/null
printf '%s\n' "$d"
exec 2>/dev/null
n=0
while :; do
  f=$d/$((n += 1))
  {
    trap - EXIT
    IFS= read -r -d '' mark && IFS= read -r -d '' how && IFS= read -r -d '' command || exit
    case $how in *p*) rm -f "$d"/*.out "$d"/*.err ;; esac
    case $how in *s*) in=3 ;; *) in=4 ;; esac
    printf '%s\n' "$BASHPID $mark $in" >"$d/runs"
    exec <&$in 3<&- 4<&- >"$f.out" 2>"$f.err"
    set +m -- "$command" "$how" "$d/around"
    unset -v d n mark mark2 how command f in code pid each held
    case $2 in *s*) . "$3" ;; esac
    case $2 in *o*) exec bash --norc -c "$1" ;; esac
    eval "set --; $1"
  } &
  wait $!
  code=$?
  read -r pid mark held <"$d/runs" || break
  while [ "$held" = 3 ] && kill -0 -- "-$pid"; do
    held=
    for each in /proc/[0-9]*/fd/*; do
      if [ "$each" -ef "$f.out" ]; then held=3 && read -r -t 0.1 each <&3; break; fi
    done
  done
  : >"$d/runs"
  if [ -s "$f.out" ]; then cat "$f.out"; fi
  if [ -s "$f.err" ]; then printf %s "$mark"; cat "$f.err"; mark2=; else mark2=$mark; fi
  printf '%s%s%d%s' "$mark2" "$mark" "$code" "$mark"
done
"""

#: What only a shell of its own answers as people expect: ``$$``, ``$!``, ``$0``, ``$-``, variables about the shell.
_ABOUT_ITSELF = re.compile(rb"\$\{?[$!0-]|PPID|BASH|SHLVL")

#: Ends the process group of the running command: politely, and after two seconds for certain.
_KILL = r"""
for i in 1 2 3 4 5 6 7 8 9 10; do read -r p _ <{runs} && break; sleep 0.1; done
[ -n "$p" ] || exit
kill -TERM -- "-$p"
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 -- "-$p" || exit; sleep 0.2; done
kill -KILL -- "-$p"
"""


class TooMuchOutput(ComposeError):
    """A command answered with more than is read."""


class Shell:
    """Runs one command after the other; its channel is closed with the connection.

    :param seconds: for the session to open, and for the loop to say that it is there.
    :raises OSError: there is no bash, or it does not start in time.
    """

    def __init__(self, node: str, transport: paramiko.Transport, seconds: float) -> None:
        self._node = node
        self._transport = transport
        end = time.monotonic() + seconds
        channel = self._channel = transport.open_session(timeout=seconds)
        channel.settimeout(seconds)
        # What the login has set, and what says that a profile was read already, is nothing for what runs here.
        channel.exec_command(f'exec env -i PATH="$PATH" HOME="$HOME" bash --norc -c {shlex.quote(_LOOP)}')
        greeting = b""
        while not greeting.endswith(b"\n"):
            try:
                chunk = _receive(channel, end)
            except socket.timeout:
                raise OSError(f"the login shell did not start bash within {seconds:.0f} s") from None
            if not chunk:
                why = channel.recv_stderr(4096).decode("utf-8", "replace").strip()
                raise OSError(f"no bash on the node: {why}")
            greeting += chunk
            if len(greeting) > GREETING:
                raise OSError(f"the login shell wrote {len(greeting)} bytes and did not start bash")
        self._directory = greeting.decode().strip()
        self._kept = 0
        self._surroundings: str | None = None

    @property
    def closed(self) -> bool:
        return self._channel.closed

    def run(self, command: bytes, timeout: float | None, *, surroundings: str | None = None) -> Output:
        """One command, and what came of it.

        :param surroundings: of one that is a test script's, see above: a command whose output it begins with. That is
            asked for once.
        :param timeout: seconds after which the command and its process group are killed; ``None``: never.
        :raises OSError: the node does not take it, or it cannot be killed.
        :raises EOFError: the shell ended.
        :raises TooMuchOutput: and the rest of it would be taken for the next answer.
        """
        scripted = surroundings is not None
        if surroundings is not None and surroundings != self._surroundings:
            ask = f"{{ {surroundings}\n}} >{shlex.quote(self._directory)}/around"
            self.run(ask.encode(), AROUND)
            self._surroundings = surroundings
        mark = secrets.token_hex(16).encode()
        how = (b"o" if _ABOUT_ITSELF.search(command) else b"") + (b"s" if scripted else b"")
        if self._kept > KEPT_OUTPUT:
            how += b"p"
            self._kept = 0
        self._channel.settimeout(SEND)
        self._channel.sendall(b"\0".join((mark, how, command, b"")))
        deadline = None if timeout is None else time.monotonic() + timeout
        timed_out = False
        answer = bytearray()
        while True:
            try:
                chunk = _receive(self._channel, deadline)
            except socket.timeout:
                if timed_out:
                    raise OSError("the command could not be killed, or its output does not end") from None
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
                raise _too_much(command, self._node)
        self._kept += len(answer) + 8192  # two files take at least two pages
        return Output(int(parts[2]), parts[0], parts[1], timed_out)

    def _kill_running(self) -> None:
        script = _KILL.replace("{runs}", shlex.quote(f"{self._directory}/runs"))
        with self._transport.open_session(timeout=GRACE) as channel:
            channel.exec_command(f"exec bash --norc -c {shlex.quote(script)}")
            channel.status_event.wait(GRACE)


def gather(channel: paramiko.Channel, command: bytes, node: str, end: float) -> Output:
    """The answer of a command that has a session of its own and all of its input.

    :param end: until when, by the monotonic clock.
    :raises socket.timeout: the moment that has passed.
    :raises EOFError: there is no exit code.
    """
    streams = []
    for source in (channel.recv, channel.recv_stderr):
        streams.append(bytearray())
        while chunk := _receive(channel, end, source):
            streams[-1] += chunk
            if len(streams[-1]) > ANSWER:
                raise _too_much(command, node)
    if not channel.status_event.wait(max(0.0, end - time.monotonic())):
        raise EOFError
    return Output(channel.exit_status, bytes(streams[0]), bytes(streams[1]))


def _receive(channel: paramiko.Channel, end: float | None, source: t.Callable[[int], bytes] | None = None) -> bytes:
    """What comes next on standard output, or on another stream; empty at its end.

    :raises socket.timeout: the moment ``end`` has passed, also where something goes on coming.
    """
    left = None if end is None else end - time.monotonic()
    if left is None or left > 0:
        channel.settimeout(left)
        with suppress(socket.timeout):
            return (source or channel.recv)(1 << 16)
    raise socket.timeout("the answer did not end in time")


def _too_much(command: bytes, node: str) -> TooMuchOutput:
    line = " ".join(command.decode("utf-8", "replace").split())
    shown = line if len(line) <= 100 else f"{line[:99]}…"
    return TooMuchOutput(
        f"a command wrote more than {ANSWER >> 20} MiB; write its output to a file: {shown}", node=node
    )
