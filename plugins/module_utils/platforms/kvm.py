# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether KVM really works here. PRIVATE to the collection.

``/dev/kvm`` may exist and still run no guest (nested virtualisation that is switched off half-way, a faulty host): the
only proof is a guest that runs. The result is kept until the next boot of the host.
"""

from __future__ import annotations

import os

from ..errors import CommandError
from ..files import read_json, write_json
from ..process import run
from ..progress import Progress

#: Seconds for a kernel to get as far as to find no root file system; with working KVM it needs about one.
DEADLINE = 10.0

#: What a kernel without a root file system says last.
_PROOF = "Unable to mount root fs"


def kvm_fault(qemu: str, kernel: str, state: str, progress: Progress, device: str = "/dev/kvm") -> str:
    """Why KVM cannot be used; empty if it can.

    :param qemu: program of the system emulator.
    :param kernel: a Linux kernel image, booted alone as the proof.
    :param state: directory where the result is kept.
    """
    if not os.path.exists(device):
        return f"there is no {device}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"no permission to use {device}"
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        # Another user, or root, may fare differently.
        here = {"boot": stream.read().strip(), "user": os.geteuid()}
    path = os.path.join(state, "kvm.json")
    if os.path.exists(path):
        known = read_json(path)
        if {key: known.get(key) for key in here} == here:
            return str(known["fault"])
    with progress.waiting(lambda: "kvm: starting a guest to see whether KVM works"):
        fault = _try_guest(qemu, kernel)
    write_json(path, {**here, "fault": fault})
    return fault


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
