# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before anything is touched on Proxmox VE. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ...describe.ownership import DataVolume, require_own_data
from ...errors import ComposeError, InputError
from ...model.deployment import Node
from . import ha, privileges
from .client import TAGS_RESTRICTED
from .config import Config
from .machines import data_volumes, described
from .networks import bridges, changed
from .privileges import Privileges
from .record import node_tag, tags_of
from .service import Service
from .vm import Vm


def check(service: Service, nodes: t.Sequence[Node]) -> None:
    """Refuse what cannot work.

    :raises ComposeError: names node, option, VM, storage, or what the token may not do.
    """
    _check_options(service, nodes)
    service.cluster.check()
    needed = Privileges(service.cluster.client)
    needed.demand(f"/storage/{service.uploads.storage.name}", privileges.UPLOADS)
    vms = {node.name: service.find(node.name) for node in nodes}
    for node in nodes:
        storage = service.storage(node)
        needed.demand(f"/storage/{storage.name}", privileges.DISKS)
        if "images" not in storage.content:
            content = ",".join(sorted({*storage.content, "images"}))
            hint = f"allow it: pvesm set {storage.name} --content {content}"
            raise InputError(f"storage {storage.name!r} takes no disks of VMs; {hint}", node=node.name)
        vm = vms[node.name]
        if service.method(node) == "clone":
            _demand_where_made(service, node, needed, privileges.CLONING)
        if vm is None:
            _refuse_to_make(service, node)
            _need_to_make(service, node, needed)
        else:
            _check_place(service, node, vm)
            needed.demand(f"/vms/{vm.vmid}", _privileges(service, node))
            if service.cluster.vms()[vm.vmid].managed:
                needed.demand("/", privileges.HA)
    if any(service.option(node, "ha") for node in nodes):
        needed.demand("/", privileges.HA)
    needed.refuse()
    if None in vms.values():
        _check_tags(service)
    for node in nodes:
        if vms[node.name] is None:  # after the privileges: only bridges that one may use are listed
            place = service.option(node, "target_node")
            storages = (service.storage(node), service.uploads.storage)
            _check_bridges(service, node, [place] if place else service.cluster.nodes(*storages))
    _check_existing(service, {node.name: (node, vm) for node in nodes if (vm := vms[node.name]) is not None})
    groups = {service.option(node, "ha_group") for node in nodes if service.option(node, "ha")} - {None}
    for group in sorted(groups):
        ha.check_group(service.cluster.client, service.cluster.version, group)


#: Option that is needed, and when.
_NEEDED = (("storage", ""), ("volume", "staging=volume"), ("snapshot_command", "snapshot=node-command"))


def _check_options(service: Service, nodes: t.Sequence[Node]) -> None:
    numbers: dict[int, str] = {}
    for node in nodes:
        for name, when in _NEEDED:
            option, _equals, value = when.partition("=")
            if service.option(node, name) is None and (not when or service.option(node, option) == value):
                raise InputError(f"node {node.name!r} has no {name}" + (f", which {when} needs" if when else ""))
        if node.address is None and service.option(node, "address") == "given":
            raise InputError(f"node {node.name!r} has no address on {service.deployment.network}")
        vmid = service.option(node, "vmid")
        if vmid is not None and numbers.setdefault(vmid, node.name) != node.name:
            raise InputError(f"nodes {numbers[vmid]!r} and {node.name!r} have the same vmid {vmid}")


def _check_place(service: Service, node: Node, vm: Vm) -> None:
    if vm.node in service.cluster.off():
        raise ComposeError(f"VM {vm.vmid} is on {vm.node}, which is off", node=node.name)
    for storage in (service.storage(node), service.uploads.storage):
        if not storage.on(vm.node):
            raise InputError(f"VM {vm.vmid} is on {vm.node}, which has no storage {storage.name!r}", node=node.name)


def _check_existing(service: Service, vms: t.Mapping[str, tuple[Node, Vm]]) -> None:
    """Refuse to take what belongs to somebody else: VMs, and data on them."""

    def read(name: str) -> Config:
        try:
            return vms[name][1].config()
        except ComposeError as error:
            error.node = error.node or name
            raise

    with ThreadPoolExecutor(max_workers=service.parallel) as pool:
        configs = dict(zip(vms, pool.map(read, vms)))
    data: dict[str, list[DataVolume]] = {}
    for name, config in configs.items():
        node, vm = vms[name]
        service.looks[vm.vmid] = config
        record = service.machines.record(config, vm.vmid)
        if record is None:
            _check_adoption(service, node, vm, config)
        elif record.created:
            data[name] = data_volumes(config, record)
            if changed(config, service.networks(node)):
                _check_bridges(service, node, [vm.node])
    require_own_data(service.deployment, [node for node, _vm in vms.values()], data)


def _check_adoption(service: Service, node: Node, vm: Vm, config: Config) -> None:
    """Refuse to take over a VM that nobody said may be taken."""
    if config.get("template") == "1":
        raise InputError(f"VM {vm.vmid} is a template, which cannot be a node", node=node.name)
    tagged = node_tag(service.deployment.name, node.name) in tags_of(config.get("tags"))
    if tagged or service.option(node, "adopt") or config.get("name").lower() == node.name.lower():
        return
    state = "running" if vm.is_running() else "stopped"
    raise InputError(
        f"adopts {described(vm, config, state)}: refused, its system would be replaced. If that is meant, say adopt: "
        f"true among the options of node {node.name!r}, or give the VM the node's name; else correct vmid",
        node=node.name,
    )


def _check_tags(service: Service) -> None:
    """Refuse to make VMs where their tags may not be set; who may not look at that learns it later."""
    client = service.cluster.client
    access = client.get("/cluster/options").get("user-tag-access") or {}
    if not isinstance(access, dict):  # as it is written in the file of options
        access = dict(part.partition("=")[::2] for part in str(access).split(","))
    if access.get("user-allow", "free") == "free":
        return
    if "Sys.Modify" not in (client.get("/access/permissions", path="/") or {}).get("/", {}):
        raise InputError(f"{client.access.caller} may not tag VMs: {TAGS_RESTRICTED}")


def _check_bridges(service: Service, node: Node, places: t.Sequence[str]) -> None:
    """Refuse interfaces on bridges of which none of the places, nodes of the cluster, has all."""
    wanted = bridges(service.option(node, "networks"))
    if any(wanted <= service.cluster.bridges(place) for place in places):
        return
    lacking = sorted(wanted - service.cluster.bridges(places[0])) if len(places) == 1 else sorted(wanted)
    there = "; ".join(f"{place} has: {', '.join(sorted(service.cluster.bridges(place))) or 'none'}" for place in places)
    raise InputError(
        f"networks of node {node.name!r} need the bridge {', '.join(map(repr, lacking))}, which is not on "
        f"{'the node' if len(places) == 1 else 'any node'} of the cluster that it can be on; {there}",
        node=node.name,
    )


def _refuse_to_make(service: Service, node: Node) -> None:
    """Refuse a VM that would be a second one, or that no node of the cluster could have."""
    lost = service.machines.lost(node.name)
    if lost is not None:
        tag = node_tag(service.deployment.name, node.name)
        raise InputError(
            f"VM {lost} says in its description that it is this node; give it the tag {tag} again", node=node.name
        )
    vmid = service.option(node, "vmid")
    if vmid is not None and not service.cluster.is_free(vmid):
        raise InputError(
            f"vmid {vmid} is taken: by a container, or by a VM that {service.cluster.client.access.caller} may not see "
            "(VM.Audit)",
            node=node.name,
        )
    storages = (service.storage(node), service.uploads.storage)
    fitting = service.cluster.nodes(*storages)
    wanted = service.option(node, "target_node")
    if wanted not in fitting if wanted else not fitting:
        raise InputError(
            f"target_node is {wanted!r}, expected a node that is on and has the storages {storages[0].name!r} and "
            f"{storages[1].name!r}: {', '.join(sorted(fitting)) or 'none'}",
            node=node.name,
        )


def _privileges(service: Service, node: Node) -> tuple[str, ...]:
    needed = privileges.VM
    if service.option(node, "snapshot") == "vm":
        needed += privileges.SNAPSHOT
    if service.option(node, "address") == "agent":
        needed += privileges.AGENT if service.cluster.version >= (9,) else privileges.AGENT_OF_8
    return needed


def _demand_where_made(service: Service, node: Node, needed: Privileges, names: t.Iterable[str]) -> None:
    pool = service.option(node, "pool")
    needed.demand(f"/pool/{pool}" if pool else "/vms", names)
    if pool:
        needed.demand("/vms", privileges.TAGGING)


def _need_to_make(service: Service, node: Node, needed: Privileges) -> None:
    _demand_where_made(service, node, needed, (*privileges.MAKING, *_privileges(service, node)))
    for network in service.option(node, "networks"):
        options = dict(part.partition("=")[::2] for part in network.split(","))
        path = [options.get("bridge", ""), *([options["tag"]] if "tag" in options else [])]
        needed.demand(f"/sdn/zones/localnetwork/{'/'.join(path)}", privileges.NETWORK)
