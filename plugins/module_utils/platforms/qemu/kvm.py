# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether KVM really works here. PRIVATE to the collection.

``/dev/kvm`` may exist and still run no guest (nested virtualisation that is switched off half-way, a faulty host): the
only proof is a guest that runs. The result is kept until the next boot of the host.
"""

from __future__ import annotations

import getpass
import grp
import os
import typing as t
from dataclasses import dataclass

from ...errors import CommandError, InputError
from ...model import codec
from ...process import run
from ...progress import Progress

#: Seconds for a kernel to get as far as to find no root file system; with working KVM it needs about one.
DEADLINE = 10.0

#: What a kernel without a root file system says last.
_PROOF = "Unable to mount root fs"


@dataclass(frozen=True)
class Tried:
    """Whether KVM works."""

    #: The result holds for this boot of the host, and for this user: root may fare differently.
    boot: str
    user: int
    #: Why it cannot be used; empty if it can.
    fault: str
    schema: t.Literal["immutable.compose/kvm/1"] = "immutable.compose/kvm/1"


def kvm_fault(qemu: str, kernel: str, state: str, progress: Progress, device: str = "/dev/kvm") -> str:
    """Why KVM cannot be used; empty if it can.

    :param qemu: program of the system emulator.
    :param kernel: a Linux kernel image, booted alone as the proof.
    :param state: directory where the result is kept.
    """
    if not os.path.exists(device):
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"no permission to use {device}{_how_to_get_it(device)}"
    path = os.path.join(state, "kvm.json")
    known = _known(path)
    if known is not None:
        return known
    with progress.waiting(lambda: "kvm: starting a guest to see whether KVM works"):
        fault = _try_guest(qemu, kernel)
    codec.write(path, _here(fault))
    return fault


def _how_to_get_it(device: str) -> str:
    """What gives the user the device, where its group may use it: with Debian, the group ``kvm``."""
    status = os.stat(device)
    group = status.st_gid
    if not group or status.st_mode & 0o060 != 0o060 or group in os.getgroups():
        return ""
    try:
        user, name = getpass.getuser(), grp.getgrgid(group).gr_name
    except (KeyError, OSError):  # one of them has no name
        return ""
    return f"; to get it, run 'adduser {user} {name}' as root, then log in again"


def is_emulated(state: str, device: str = "/dev/kvm") -> bool:
    """Whether guests are known to run without KVM; starts none to find out."""
    return not os.access(device, os.R_OK | os.W_OK) or bool(_known(os.path.join(state, "kvm.json")))


def _here(fault: str) -> Tried:
    """The result of a try by this user."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return Tried(stream.read().strip(), os.geteuid(), fault)


def _known(path: str) -> str | None:
    """The fault found before, empty for none; ``None`` if it was not tried yet."""
    try:
        known = codec.read(Tried, path)
    except (FileNotFoundError, InputError):  # what is damaged is tried again
        return None
    return known.fault if known == _here(known.fault) else None


def _try_guest(qemu: str, kernel: str) -> str:
    command = [qemu, "-accel", "kvm", "-cpu", "host", "-machine", "pc", "-m", "256", "-nodefaults", "-no-user-config"]
    command += ["-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", kernel]
    command += ["-append", "console=ttyS0 panic=-1"]
    try:
        done = run(command, timeout=DEADLINE, check=False)
    except CommandError:
        return f"/dev/kvm is there, but a guest did not start in {DEADLINE:.0f} s"
    if _PROOF in done.stdout:
        return ""
    last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
    return f"/dev/kvm is there, but a guest does not start: {last}"
