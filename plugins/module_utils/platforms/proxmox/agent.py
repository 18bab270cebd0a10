# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guest agent in a VM of Proxmox VE tells. PRIVATE to the collection."""

from __future__ import annotations

import time

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
        if status["status"] != "running":
            return None
        address = _of_interface(vm, mac)
        if address is not None or status["uptime"] > seconds:
            return address
        time.sleep(_POLL)


def _of_interface(vm: Vm, mac: str | None) -> str | None:
    try:
        told = vm.call("GET", "/agent/network-get-interfaces")["result"]
    except ProxmoxError as error:
        if "agent" not in error.text:
            raise
        return None
    for interface in told:
        # Bridges of containers and the like have addresses, too, and so has an interface that DHCP did not serve.
        for address in (
            interface.get("ip-addresses", []) if interface.get("hardware-address", "").lower() == mac else ()
        ):
            if address["ip-address-type"] == "ipv4" and not address["ip-address"].startswith("169.254."):
                return str(address["ip-address"])
    return None
