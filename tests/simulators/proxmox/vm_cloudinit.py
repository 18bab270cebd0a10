"""What cloud-init is told: hostname, user, keys, network; the drive itself stays empty."""

from __future__ import annotations

import hashlib
import re
import typing as t
from urllib.parse import unquote

from .calls import Call, answers
from .formats import PROPERTIES
from .schema import parse_properties
from .vm_rights import CLOUDINIT

if t.TYPE_CHECKING:
    from .cluster import Cluster

Record = dict[str, t.Any]
PATH = "/nodes/{node}/qemu/{vmid}/cloudinit"


@answers("GET " + PATH)
def options(cluster: Cluster, call: Call) -> list[Record]:
    """The options that are set; the drive is always up to date."""
    values = cluster.load(call).values
    shown = {**values, **({"cipassword": "**********"} if "cipassword" in values else {})}
    return [{"key": key, "value": shown[key]} for key in CLOUDINIT if shown.get(key)]


@answers("PUT " + PATH)
def regenerate(cluster: Cluster, call: Call) -> None:
    """Makes the drive anew."""
    with cluster.locks.config(call.vmid):
        cluster.load(call).check_lock()


@answers(f"GET {PATH}/dump")
def dump(cluster: Cluster, call: Call) -> str:
    """The files of the drive."""
    values = cluster.load(call).values
    masked = not cluster.access.may(call.user, f"/vms/{call.vmid}", ["VM.Config.Cloudinit"])
    user, network = _user(values, call.vmid, masked=masked), _network(values)
    identity = hashlib.sha1((user + network).encode()).hexdigest()
    return {"user": user, "network": network, "meta": f"instance-id: {identity}\n"}[str(call.get("type"))]


def _user(values: Record, vmid: int, *, masked: bool) -> str:
    lines = ["#cloud-config", f"hostname: {values.get('name') or f'VM{vmid}'}", "manage_etc_hosts: true"]
    if values.get("ciuser"):
        lines.append(f"user: {values['ciuser']}")
    if values.get("cipassword"):
        lines.append(f"password: {'**********' if masked else values['cipassword']}")
    keys = [key for key in unquote(values.get("sshkeys") or "").splitlines() if key.strip()]
    lines += ["ssh_authorized_keys:", *(f"  - {key}" for key in keys)] if keys else []
    lines += ["chpasswd:", "  expire: False", "users:", "  - default"]
    upgrade = str(values.get("ciupgrade", 1)) == "1"
    return "\n".join([*lines, f"package_upgrade: {'true' if upgrade else 'false'}", ""])


def _network(values: Record) -> str:
    lines = ["version: 1", "config:"]
    for key in sorted(key for key in values if re.fullmatch(r"ipconfig\d+", key)):
        index = key.removeprefix("ipconfig")
        lines += ["    - type: physical", f"      name: eth{index}", "      subnets:"]
        told = parse_properties(PROPERTIES["pve-qm-ipconfig"], str(values[key]))
        for address, gateway, kind in (("ip", "gw", "dhcp4"), ("ip6", "gw6", "dhcp6")):
            if told.get(address) == "dhcp":
                lines.append(f"      - type: {kind}")
            elif told.get(address):
                lines += ["      - type: static", f"        address: '{told[address]}'"]
                lines += [f"        gateway: '{told[gateway]}'"] if told.get(gateway) else []
    return "\n".join([*lines, ""])
