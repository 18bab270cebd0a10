# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What VMs run, by what their configuration says. PRIVATE to the collection."""

from __future__ import annotations

from ...model.boot import Seen, State
from ...model.deployment import Node
from .machines import described, is_leftover, is_shell
from .networks import shown
from .record import DOCUMENT_SERIAL
from .service import Service
from .values import differences, power
from .vm import Vm


def look(service: Service, name: str, node: Node | None) -> Seen:
    """What one of them runs. :param node: ``None`` if it is no part of the deployment."""
    vm = service.find(name)
    if vm is None:
        return Seen("absent")
    if node is None and vm.node in service.cluster.off():
        return Seen("silent", verified="unknown")  # nothing is to be done to it, but it is missed
    config = service.looks.pop(vm.vmid, None) or vm.config()
    record = service.machines.record(config, vm.vmid)
    if record is not None and is_shell(record):
        return Seen("absent", leftovers=is_leftover(config, record))
    state: State = "running" if vm.is_running() else "stopped"
    if record is None or record.current is None:
        foreign = () if node is None else (f"adopts {described(vm, config, state)}",)
        return Seen(state, differs=foreign)
    drive = config.boot_drive
    key = config.with_serial(DOCUMENT_SERIAL)
    current = record.current
    return Seen(
        state,
        current.image if drive and drive.volume == current.system else None,
        current.document if key and config.drives[key].volume == current.drive else None,
        record.verified.image if record.verified else None,
        tuple(
            f"{key} {shown(key, config.get(key))} → {shown(key, value)}"
            for key, value in differences(service, node, config, record).items()
        ),
        leftovers=not record.tidy or _misses_ha(service, node, vm) or bool(power(service, node, config, record)),
    )


def _misses_ha(service: Service, node: Node | None, vm: Vm) -> bool:
    """It is to be managed for high availability, and is not."""
    return node is not None and service.option(node, "ha") and not service.cluster.vms()[vm.vmid].managed
