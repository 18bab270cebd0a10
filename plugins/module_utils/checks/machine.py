# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine API of the NixOS test driver, for nodes that are kept. PRIVATE to the collection.

Names, arguments and results are those of NixOS (manual, section "Writing NixOS tests"); docs/checks.md has the
differences. Time-outs are in seconds.
"""

from __future__ import annotations

import os
import re
import time
import typing as t
from contextlib import suppress

from ..nodes import copy
from ..nodes.connection import RECONNECT, Connection, SSHError
from ..nodes.output import Output
from .commands import CheckFailed, text_of
from .console import Console
from .deadline import Deadline, TriedLongEnough
from .hands import Hands
from .journal import Journal
from .units import Units

#: Says another thing after each boot, of containers as well; and what time it is there.
_BOOT = "cat /proc/sys/kernel/random/boot_id; cut -d ' ' -f 22 /proc/1/stat; date +%s.%N"
#: Seconds between two looks at a machine that is going down, and for it to say that it is still there.
LOOK, GLANCE = 0.3, 5.0


class Machine(Units):
    """One node, as a test script sees it.

    :param console: of the node.
    :param hands: can do things to its machine; whatever they did is undone later.
    :param boot_timeout: seconds for it to answer after it was started.
    :param results: directory where :meth:`copy_from_machine` puts files.
    :param say: tells the user one line.
    :param mask: what they go through, piece by piece.
    """

    def __init__(
        self,
        name: str,
        connection: Connection,
        deadline: Deadline,
        *,
        role: str = "",
        console: Console,
        hands: Hands,
        boot_timeout: float = 900,
        results: str,
        say: t.Callable[[str], None],
        mask: copy.Mask = iter,
    ) -> None:
        super().__init__(name, connection, deadline)
        self.role = role
        self._console = console
        self._hands = hands
        self._boot_timeout = boot_timeout
        self._results = results
        self._say = say
        self._mask = mask
        self._off = False
        #: It was started, and has not answered yet.
        self._boots = False
        self._journal = Journal()
        #: Which boot it was when a command was run last, and how often the connection had been opened then.
        self._boot = ""
        self._opened = 0

    def log(self, msg: str) -> None:
        """Tell the user one line."""
        self._say(f"{self.name}: {msg}")

    # -- the machine ---------------------------------------------------------------------------------------------

    def start(self, allow_reboot: bool = False) -> None:
        """Start the machine, if the script has stopped it: it boots what it ran before. Does not wait until it is up.

        One that runs is connected to, if that was not done yet.

        :param allow_reboot: for NixOS's driver; here a machine that reboots always comes back.
        """
        if not self._off:
            self.connect()
            return
        with self._doing("starting"):
            self._turn_on()

    def connect(self) -> None:
        """Wait until the node answers."""
        self.succeed("true")

    def shutdown(self) -> None:
        """Shut the node down, and wait until its machine is off."""
        if self._off:
            return
        with self._doing("shutting down"):
            self._hands.intend(self.name)
            self._run("true", None)
            with suppress(SSHError):  # it may be gone before it answers
                self._connection.run("systemctl poweroff", self._deadline.cap(GLANCE))
            self._await_off(back=False)

    def crash(self) -> None:
        """Cut the machine's power."""
        if not self._off:
            with self._doing("cutting its power"):
                self._hands.turn_off(self.name, hard=True)
                self._went_down()

    def reboot(self) -> None:
        """Take the node down in good order, and start its machine: it boots what it ran before."""
        with self._doing("rebooting"):
            if not self._off:
                self._hands.turn_off(self.name, hard=False)
            self._turn_on()

    def wait_for_shutdown(self) -> None:
        """Wait until the machine is off, or has been: one that reboots by itself is not off for long."""
        if not self._off:
            with self._doing("waiting until it is off"):
                self._hands.intend(self.name)
                self._await_off(back=True)

    def is_up(self) -> bool:
        """Whether it runs, and has answered since it was started."""
        return not self._off and not self._boots

    def block(self) -> None:
        """Cut the node off from the others, as if its cable was pulled."""
        self._plug(False)

    def unblock(self) -> None:
        """Undo :meth:`block`."""
        self._plug(True)

    def send_console(self, chars: str) -> None:
        """Type on the node's console."""
        with self._doing("typing on its console"):
            self._hands.type_text(self.name, chars)

    # -- files, ports, sockets -----------------------------------------------------------------------------------

    def wait_for_file(self, filename: str, timeout: float = 900) -> None:
        """Wait until a file exists."""
        self._wait_for(f"file {filename}", f"test -e {filename}", True, timeout)

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: float = 900) -> None:
        """Wait until a TCP port accepts connections from the node itself."""
        self._wait_for(f"TCP port {port} on {addr}", _connect_to(port, addr), True, timeout)

    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: float = 900) -> None:
        """Wait until a TCP port accepts no connections from the node itself."""
        self._wait_for(f"TCP port {port} on {addr} to be closed", _connect_to(port, addr), False, timeout)

    def wait_for_open_unix_socket(self, addr: str, is_datagram: bool = False, timeout: float = 900) -> None:
        """Wait until somebody listens on a UNIX socket, of kind stream, or datagram."""
        kind = "datagram" if is_datagram else "stream"
        self._wait_for(f"UNIX {kind} socket {addr}", _listens_on(addr, is_datagram), True, timeout)

    def copy_from_host(self, source: str, target: str) -> None:
        """Copy a file or directory from the host that runs the checks to the node."""
        with self._doing(f"copying {source} to the node"):
            self._ready()
            copy.put(self._connection, source, target)

    def copy_from_machine(self, source: str, target_dir: str = "") -> None:
        """Copy a file or directory from the node into the directory of the result files; secrets in text are masked."""
        with self._doing(f"copying {source} from the node"):
            self._ready()
            copy.get(self._connection, source, os.path.join(self._results, target_dir), self._mask)

    copy_from_host_via_shell = copy_from_host
    copy_from_vm = copy_from_machine

    # -- console -------------------------------------------------------------------------------------------------

    def wait_for_console_text(self, regex: str, timeout: float | None = None) -> None:
        """Wait until a regular expression matches lines of console or journal that no earlier call has matched.

        What was there before the script is not looked at.
        """
        pattern = re.compile(regex)
        what = f"waiting for /{regex}/ on the console"
        told: list[str] = []
        try:
            self._retry(what, lambda _left: self._is_said(pattern, told), self._deadline.cap(timeout))
        except TriedLongEnough as error:
            raise CheckFailed(f"{what}: {error.message}", self.name, output=self._console.end(20)) from None

    def _is_said(self, pattern: re.Pattern[str], told: list[str]) -> bool:
        if self._console.matches(pattern, told):
            return True
        with suppress(SSHError):  # it may be down, or not up yet
            self._connection.open(LOOK)
            self._mark()
            said = text_of(self._connection.run(self._journal.question, self._deadline.cap(GLANCE)).stdout)
            return self._console.matches(pattern, told, self._journal.answer(said))
        return False

    def get_console_log(self) -> str:
        """All that is kept of the console."""
        return self._console.everything()

    def let_go(self) -> None:
        """End the command that runs on a machine that has gone off by itself: it has no answer any more.

        Its end of the connection cannot say so, and the kernel takes a quarter of an hour to find out.
        """
        waits = self.doing and self._opened and self._opened == self._connection.opened
        if waits and not self._off and not self._boots and self._hands.is_known_off(self.name):
            self._connection.close()

    # -- helpers -------------------------------------------------------------------------------------------------

    def _ready(self, timeout: float | None = None) -> None:
        if self._off:  # as NixOS's driver does it
            self._turn_on()
        if self._boots:
            self._connection.open(self._deadline.cap(self._boot_timeout))
            self._boots = False
        if not self._opened:
            self._connection.open(self._deadline.cap(RECONNECT if timeout is None else min(timeout, RECONNECT)))
            self._mark()

    def _run(self, command: str, timeout: float | None) -> Output:
        output = super()._run(command, timeout)
        with suppress(SSHError):
            self._mark()
        return output

    def _mark(self) -> bool:
        """Take note which boot it is, if it may be another; whether it is."""
        if self._opened == self._connection.opened:
            return False
        said = text_of(self._connection.run(_BOOT, self._deadline.cap(GLANCE)).stdout)
        *boot, moment = said.split() or [""]
        before, self._boot, self._opened = self._boot, " ".join(boot), self._connection.opened
        if not before:
            self._journal.begin(moment)
        elif before != self._boot:
            self._journal.begin()
        return before not in ("", self._boot)

    def _turn_on(self) -> None:
        self._hands.turn_on(self.name)
        self._connection.move(self._hands.way_to(self.name))
        self._off, self._boots = False, True

    def _went_down(self) -> None:
        self._connection.close()
        self._off, self._boots = True, False

    def _await_off(self, *, back: bool) -> None:
        """:param back: a node that has come back was off."""
        while self._hands.is_on(self.name):
            with suppress(SSHError):
                if back:
                    self._connection.open(self._deadline.cap(LOOK))
                    self._connection.run("true", self._deadline.cap(GLANCE))
                    if self._mark():
                        return
            time.sleep(self._deadline.cap(LOOK))
        self._went_down()

    def _plug(self, plugged: bool) -> None:
        with self._doing("plugging it in" if plugged else "unplugging it"):
            self._ready()
            if not plugged:
                self._fence("replace")
            self._hands.plug(self.name, plugged=plugged)
            self._connection.move(self._hands.way_to(self.name))
            if plugged:
                self._fence("delete")

    def _fence(self, verb: str) -> None:
        """An unplugged node has no route to the others: what is for them must not go where the rest of the world is."""
        route = f"unreachable {self._hands.network} metric 4294967295"  # weaker than that of a cable that is plugged in
        self._connection.run(f"ip route {verb} {route}", self._deadline.cap(GLANCE))


def _connect_to(port: int, addr: str) -> str:
    """bash opens TCP connections itself: no other program needs to be in the image."""
    return f"exec 3<>/dev/tcp/{addr}/{port}"


def _listens_on(addr: str, is_datagram: bool) -> str:
    """The kernel lists them, in each network: type (1: stream, 2: datagram) and flags (10000: it is listened to)."""
    kind = "0002.*" if is_datagram else "0001.00010000"
    return f"""a={addr}
r=$(readlink -f -- "$a") || r=$a
{{ grep -hsF -e "${{a##*/}}" -e "${{r##*/}}" /proc/[0-9]*/net/unix || true; }} | {{
while read -r _ _ _ flags kind _ _ path; do
  case $kind.$flags in {kind}) if [ "$path" = "$a" ] || [ "$path" -ef "$a" ]; then exit 0; fi ;; esac
done
exit 1; }}"""
