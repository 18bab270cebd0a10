# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the platform ``proxmox`` in a deployment file. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ...describe.options import Option

OPTIONS: t.Mapping[str, Option] = {
    "host": Option(str, None, "Any node of the cluster, C(HOST) or C(HOST:PORT). Default: E(PROXMOX_HOST)."),
    "port": Option(int, 8006, "Port of the API.", least=1),
    "user": Option(str, None, "C(USER@REALM) that logs in with a password. Default: E(PROXMOX_USER)."),
    "token_id": Option(str, None, "API token, C(USER@REALM!NAME). Default: E(PROXMOX_TOKEN_ID)."),
    "ca_file": Option(
        str,
        None,
        "Certificate of the authority that signed the API's, on the host that deploys. Default: E(PROXMOX_CA_FILE).",
    ),
    "fingerprint": Option(str, None, "SHA-256 fingerprint that the API's certificate must have instead."),
    "storage": Option(str, None, "Storage for the disks of the VMs. Needed."),
    "import_storage": Option(
        str,
        None,
        "Storage to which images are uploaded, with the content C(import). By default the first that has it.",
    ),
    "staging": Option(
        str,
        "auto",
        "How images get to the VMs: a full copy (V(import)), a linked clone of a template (V(clone)), or a volume that "
        "was made on a node (V(volume)). V(auto) clones where the storage can.",
        choices=("auto", "clone", "import", "volume"),
    ),
    "volume": Option(
        str,
        None,
        "For O(staging=volume), the volume, with C({vmid}), C({node}) and C({image}), a hash of 16 characters.",
        fields=("vmid", "node", "image"),
        pattern="[^:]+:[^:]+",
        expected="STORAGE:VOLUME, for example ceph:vm-{vmid}-sys-{image}",
    ),
    "vmid": Option(int, None, "Number of the VM. One that exists is adopted; else the VM is made with it.", least=100),
    "adopt": Option(
        bool, False, "The VM with the number O(vmid) may be taken over, though it does not have the node's name."
    ),
    "target_node": Option(
        str, None, "Node of the cluster on which VMs are made. By default the one that has the fewest."
    ),
    "memory": Option(int, 2048, "Memory of a VM that is made, in MiB.", least=16),
    "cpus": Option(int, 1, "Processors of a VM that is made.", least=1),
    "networks": Option(
        list,
        ["bridge=vmbr0"],
        "Network interfaces of a VM that is made, also later; the first one has the node's address.",
        pattern=r"(\w+=[^,]+,)*bridge=[^,]+(,\w+=[^,]+)*",
        expected="a list of interfaces as Proxmox writes them, for example bridge=vmbr0,tag=20",
    ),
    "gateway": Option(str, None, "Gateway on the node's network."),
    "address": Option(
        str,
        "given",
        "The node has the address from the deployment file (V(given)), or asks for one by DHCP, and the guest agent "
        "tells which (V(agent)).",
        choices=("given", "agent"),
    ),
    "pool": Option(str, None, "Pool of VMs that are made."),
    "tags": Option(
        list,
        [],
        "Further tags of VMs that are made.",
        pattern="[A-Za-z0-9_][A-Za-z0-9_+.-]*",
        expected="letters, digits and _ + . - in each",
    ),
    "onboot": Option(bool, True, "VMs that are made start with their node, once their system is verified."),
    "ha": Option(bool, False, "The VM is managed for high availability once it is verified."),
    "ha_group": Option(
        str, None, "For O(ha), group that the VM is in; from Proxmox VE 9 on, rule of node affinity that holds for it."
    ),
    "snapshot": Option(
        str,
        "none",
        "What secures the data before a switch: a snapshot of the whole VM, which is removed once the new system is "
        "verified (V(vm)), or a command of yours (V(node-command)).",
        choices=("none", "vm", "node-command"),
    ),
    "snapshot_command": Option(
        str,
        None,
        "Shell command for O(snapshot=node-command), on the host that deploys, with C({vmid}), C({node}), C({host}), "
        "where the VM is, and C({volumes}), the data volumes.",
        fields=("vmid", "node", "host", "volumes"),
    ),
    "shutdown_timeout": Option(int, 60, "Seconds for a guest to shut down before it is switched off.", least=0),
    "lock_timeout": Option(int, 60, "Seconds for a lock on a VM, a backup for example, to go away.", least=0),
    "task_timeout": Option(int, 1800, "Seconds for any task of Proxmox.", least=1),
    "parallel": Option(int, 8, "VMs that are worked on, and calls that are made, at the same time.", least=1),
}
