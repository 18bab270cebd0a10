# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long-lived processes that outlast the run that started them: start, find again, stop. PRIVATE to the collection.

A machine's process is known by its marker, an argument of its command line that no other process has, and by its owner:
other users of this host may call theirs as they like. So it is found even if the run that started it was killed before
it could write anything down, and a reused process id is never taken for it.
"""

from __future__ import annotations

import os
import select
import signal
import time
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ...errors import CommandError, ComposeError
from ...process import need

#: Seconds between two looks at a process that is starting, and for the last words of one that has ended.
POLL, END = 0.02, 2.0

#: Bytes that a log may have, and how many are kept of one that has more. What a machine says has no end of its own.
LONGEST, KEPT = 4 << 20, 1 << 20

# Appends what it reads to a file that does not grow for ever. dd, for it writes what there is at once; what cannot be
# written is passed over, so that a machine never waits for a disk that is full. Nothing makes a file that is gone anew:
# its directory may be about to go, too.
_LOG = f"""
pass() {{ LC_ALL=C dd bs=64k "$@" 2>&1; }}
while said=$(pass count=16 oflag=append conv=notrunc,nocreat of="$1") || said=$(pass count=16 of=/dev/null); do
  case $said in "0+0 "*) exit ;; esac
  if [ "$(stat -c %s "$1")" -gt {LONGEST} ]; then
    tail -c {KEPT} "$1" | pass conv=notrunc,nocreat of="$1"
    truncate --no-create --size={KEPT} "$1"
  fi
done
"""

#: Signals that a run may ignore, but a machine must not inherit as ignored.
_DEFAULT_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE)


@dataclass(frozen=True)
class Kind:
    """Which processes may be machines."""

    #: Base names of their programs; so an editor or a ``ps`` never counts.
    programs: t.Collection[str]
    #: User ids of their owners.
    owners: t.Collection[int]


def find(markers: t.Collection[str], kind: Kind) -> dict[str, int]:
    """Marker → process id, for every marker whose process lives.

    :param markers: matched against whole arguments, or the part after the ``=`` of an option.
    """
    wanted = set(markers)
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            for marker in wanted & _marks(int(entry), kind):
                if _leads_session(int(entry)):
                    found[marker] = int(entry)
    return found


def _leads_session(pid: int) -> bool:
    """As :func:`start` makes it; a child does not, which looks the same until it becomes another program."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def commands(kind: Kind) -> list[list[str]]:
    """Command lines of all these processes."""
    found = [_arguments(int(entry), kind) for entry in os.listdir("/proc") if entry.isdigit()]
    return [arguments for arguments in found if arguments]


def _marks(pid: int, kind: Kind) -> set[str]:
    return {argument.rpartition("=")[2] for argument in _arguments(pid, kind)[1:]}


def _arguments(pid: int, kind: Kind) -> list[str]:
    """The command line of a process; empty if it is gone, of another program or of another user."""
    try:
        if os.stat(f"/proc/{pid}").st_uid not in kind.owners:
            return []
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            arguments = stream.read().decode("utf-8", "replace").split("\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
    return arguments if os.path.basename(arguments[0]) in kind.programs else []


def start(
    command: t.Sequence[str],
    log: str,
    *,
    ready: t.Callable[[int], bool],
    deadline: float,
    keyboard: str | None = None,
) -> int:
    """Start a process in a session of its own, with its output appended to ``log``; returns its id once it is ready.

    The log keeps the end of what has come, at most :data:`LONGEST` bytes; a process that writes faster waits.

    :param ready: whether the process, given by its id, has come far enough to be left alone.
    :param deadline: seconds to become ready.
    :param keyboard: a pipe, which is made if need be, for its standard input, so that others can write to it.
    :raises CommandError: it ended, or did not get ready in time (it is killed then); with the last lines of the log.
    """
    need(command[0])
    shown = " ".join(command)
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)):
        pass
    if keyboard is not None and not os.path.exists(keyboard):
        os.mkfifo(keyboard, 0o600)
    reading, writing = os.pipe()
    try:
        logger = _spawn(["sh", "-c", _LOG, "sh", log], reading, None)
        pid = _spawn(command, keyboard, writing)
    finally:
        os.close(reading)
        os.close(writing)

    def said() -> str:
        _reap(logger, END)  # what was said may be on its way still
        return tail(log, 20)

    end = time.monotonic() + deadline
    while not ready(pid):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            raise CommandError(shown, os.waitstatus_to_exitcode(status), said())
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise CommandError(shown, None, said(), why=f"not ready after {deadline:.0f} s")
        time.sleep(POLL)
    return pid


def _spawn(command: t.Sequence[str], reads: int | str | None, writes: int | None) -> int:
    """A process that outlasts the run; returns its id.

    :param reads: descriptor that is its standard input, or a pipe, which never ends for it; else it has none.
    :param writes: descriptor for what it says, else nobody hears it.
    """
    # The run's environment may hold passwords; a machine lives for long and needs none of it.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    # Nor a lock or a pipe that whoever started the run had open. Python's own files are not handed on.
    inherited = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
    if isinstance(reads, int):
        source: tuple[t.Any, ...] = (os.POSIX_SPAWN_DUP2, reads, 0)
    else:
        source = (os.POSIX_SPAWN_OPEN, 0, reads or os.devnull, os.O_RDONLY if reads is None else os.O_RDWR, 0)
    streams = [
        source,
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0) if writes is None else (os.POSIX_SPAWN_DUP2, writes, 1),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # run_command waits for the end.
    return os.posix_spawnp(  # pylint: disable=ansible-bad-function
        command[0],
        list(command),
        environment,
        file_actions=[*streams, *((os.POSIX_SPAWN_CLOSE, fd) for fd in inherited)],
        setsid=True,
        setsigdef=_DEFAULT_SIGNALS,
    )


def _reap(pid: int, seconds: float) -> None:
    """Wait so long for a child to end."""
    fd = os.pidfd_open(pid)
    try:
        wait(fd, seconds)
        os.waitpid(pid, os.WNOHANG)
    finally:
        os.close(fd)


def children(pid: int) -> list[int]:
    """Process ids of the children of a process; none if it is gone."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as stream:
            return [int(child) for child in stream.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


@contextmanager
def handle(pid: int, marker: str, kind: Kind) -> t.Iterator[int | None]:
    """A handle on the process that stays with it even if its id is used again; ``None`` if the process is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield fd if marker in _marks(pid, kind) else None
    finally:
        os.close(fd)


def wait(fd: int, seconds: float) -> bool:
    """Wait for the process behind a handle to end; whether it did."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def kill(pid: int, fd: int, seconds: float) -> bool:
    """Kill the process behind a handle and its children, and wait for their end; whether it came in time.

    A container's init does not die with the process that supervises it.
    """
    handles = [fd]
    for child in children(pid):
        with suppress(ProcessLookupError):
            handles.append(os.pidfd_open(child))
    try:
        for each in reversed(handles):
            send(each, signal.SIGKILL)
        return all(wait(each, seconds) for each in handles)
    finally:
        for each in handles[1:]:
            os.close(each)


def send(fd: int, number: signal.Signals) -> None:
    """Send a signal to the process behind a handle, if it still lives.

    :raises ComposeError: it belongs to another user.
    """
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise ComposeError("its process belongs to another user; run as that user, or as root") from None


def tail(path: str, lines: int) -> str:
    """The last lines of a log that may be large; empty if there is none."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.path.getsize(path) - lines * 400))
            text = stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
