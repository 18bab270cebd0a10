# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running other programs: the one place that starts processes. PRIVATE to the collection.

``AnsibleModule.run_command`` gives output only at the end; builds and boots must show progress while they run.
"""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import threading
import typing as t
from contextlib import suppress
from dataclasses import dataclass

from .errors import CommandError, MissingProgramError

#: program → Debian package that has it, for the error message of a missing program.
PACKAGES = {
    "apt-cache": "apt",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "env": "coreutils",
    "ip": "iproute2",
    "mount": "mount",
    "nc": "netcat-openbsd",
    "newgidmap": "uidmap",
    "newuidmap": "uidmap",
    "nix-instantiate": "nix-bin",
    "sh": "dash",
    "nix-store": "nix-bin",
    "nsenter": "util-linux",
    "podman": "podman",
    "prlimit": "util-linux",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "systemctl": "systemd",
    "systemd-nspawn": "systemd-container",
    "systemd-run": "systemd",
    "umount": "mount",
    "unshare": "util-linux",
    "unsquashfs": "squashfs-tools",
}


@dataclass(frozen=True)
class Completed:
    """What a finished program left behind."""

    returncode: int
    stdout: str
    stderr: str


def need(*programs: str) -> None:
    """Refuse if a program is missing, naming the Debian package that has it. :raises MissingProgramError: the first."""
    for program in programs:
        if shutil.which(program) is None:
            raise MissingProgramError(program, PACKAGES.get(program, program))


def ends(pid: int, timeout: float) -> bool:
    """Whether a child ends within so many seconds. ``Popen.wait`` would look only now and then."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(handle)


def run(
    command: t.Sequence[str],
    *,
    timeout: float,
    on_line: t.Callable[[str], None] | None = None,
    env: t.Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: str | t.Iterable[bytes] | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end.

    :param command: program and arguments; never a shell line.
    :param timeout: seconds after which the program and its children are killed.
    :param on_line: called with each line of standard error as it comes.
    :param env: variables added to the environment.
    :param stdin: its standard input, at once or in pieces; the time-out begins after it.
    :param check: raise :class:`CommandError` on a non-zero exit code.
    :raises MissingProgramError: the program is not installed.
    :raises CommandError: non-zero exit code (with ``check``) or time-out.
    """
    need(command[0])
    shown = shlex.join(command)
    with subprocess.Popen(  # pylint: disable=ansible-bad-function; run_command tells nothing before the end
        list(command),
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **env} if env else None,
        cwd=cwd,
        start_new_session=True,
    ) as child:
        collected: dict[str, list[str]] = {"out": [], "err": []}

        def drain(stream: t.IO[bytes], into: list[str], tell: t.Callable[[str], None] | None) -> None:
            for raw in stream:
                line = raw.decode("utf-8", "replace")
                into.append(line)
                if tell is not None:
                    tell(line.rstrip("\n"))

        readers = [
            threading.Thread(
                target=drain, args=(t.cast("t.IO[bytes]", child.stdout), collected["out"], None), daemon=True
            ),
            threading.Thread(
                target=drain, args=(t.cast("t.IO[bytes]", child.stderr), collected["err"], on_line), daemon=True
            ),
        ]
        for reader in readers:
            reader.start()
        if stdin is not None and child.stdin is not None:
            with suppress(BrokenPipeError):  # a program that reads nothing says why by its exit code
                for chunk in [stdin.encode()] if isinstance(stdin, str) else stdin:
                    child.stdin.write(chunk)
            with suppress(BrokenPipeError):
                child.stdin.close()
        try:
            ended = ends(child.pid, timeout)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        if not ended:
            os.killpg(child.pid, signal.SIGKILL)
            raise CommandError(shown, None, "".join(collected["err"]), why=f"timed out after {timeout:.0f} s")
        child.wait()
        for reader in readers:
            reader.join(5)
    done = Completed(child.returncode, "".join(collected["out"]), "".join(collected["err"]))
    if check and done.returncode != 0:
        raise CommandError(shown, done.returncode, done.stderr or done.stdout)
    return done
