# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM goes back to after a switch that failed: its verified image, or what it was before. PRIVATE."""

from __future__ import annotations

from ...model.result import NodeResult
from .record import DOCUMENT_SERIAL, Boot, Record
from .switching import Wishes, boot, boot_original
from .vm import Vm


def go_back(vm: Vm, record: Record) -> NodeResult:
    """Boot what was verified last, unless it runs."""
    if record.verified is None:
        return _as_it_was(vm, record)
    if record.current == record.verified and not record.before and _runs(vm, record.verified):
        return NodeResult(ok=True, message=f"runs its verified image {record.verified.image}")
    boot(vm, record.verified, Wishes({}, record.before, back=True))
    return NodeResult(ok=True, changed=True, message=f"VM {vm.vmid} boots {record.verified.image} again")


def _as_it_was(vm: Vm, record: Record) -> NodeResult:
    """A VM that never had a verified image."""
    if record.current is None:  # it was never switched
        return NodeResult(ok=True, message="was left as it was")
    if record.original is not None:
        runs = boot_original(vm, *record.original)
        what = "boots the disk that it had before" if runs else "is off, as it was, with the disk that it had"
        return NodeResult(ok=True, changed=True, message=f"VM {vm.vmid} {what}")
    stopped = vm.stop()
    if vm.config().get("onboot") == "1":  # made by an earlier version
        vm.record(vm.free(), record, {"onboot": 0})
    return NodeResult(ok=True, changed=stopped, message="there is no verified image to go back to")


def _runs(vm: Vm, wanted: Boot) -> bool:
    config = vm.config()
    drive, key = config.boot_drive, config.with_serial(DOCUMENT_SERIAL)
    there = drive is not None and drive.volume == wanted.system
    return there and key is not None and config.drives[key].volume == wanted.drive and vm.is_running()
