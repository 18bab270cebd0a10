# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guest agent in a VM of Proxmox VE tells. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import time

from ...model.answer import WrongAnswer, answer
from .answers import Told, underscored
from .client import ProxmoxError
from .vm import Vm

_POLL = 2.0


def told_address(vm: Vm, seconds: int) -> str | None:
    """The IPv4 address of the guest's first network interface; ``None`` if it does not run.

    :param seconds: so long after its start a guest is given time to have one.
    """
    mac = vm.config().mac
    while True:
        status = vm.status()
        if status.status != "running":
            return None
        address = _of_interface(vm, mac)
        if address is not None or status.uptime > seconds:
            return address
        time.sleep(_POLL)


def _of_interface(vm: Vm, mac: str | None) -> str | None:
    try:
        data = vm.call("GET", "/agent/network-get-interfaces")
    except ProxmoxError as error:
        if "agent" not in error.text:
            raise
        return None
    told = answer(Told, underscored(data), f"Proxmox: interfaces of VM {vm.vmid}")
    for interface in told.result:
        # Bridges of containers and the like have addresses, too, and so has an interface that DHCP did not serve.
        for address in interface.ip_addresses if interface.hardware_address.lower() == mac else ():
            if address.ip_address_type == "ipv4" and not address.ip_address.startswith("169.254."):
                return _checked(address.ip_address, vm)
    return None


def _checked(address: str, vm: Vm) -> str:
    """What goes on into files and commands."""
    try:
        return str(ipaddress.IPv4Address(address))
    except ValueError:
        raise WrongAnswer(f"the guest agent of VM {vm.vmid} has the address {address[:60]!r}") from None
