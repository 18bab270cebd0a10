# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot work on Proxmox VE, found before anything is touched. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

from ...describe.ownership import DataVolume, foreign_data
from ...errors import ComposeError, InputError
from ...model.answer import answer
from ...model.deployment import Node
from ...model.result import Problem
from ..problems import noting
from . import ha, privileges
from .answers import Options, underscored
from .client import TAGS_RESTRICTED
from .config import Config
from .machines import data_volumes, described
from .networks import bridges, changed
from .privileges import Privileges
from .record import node_tag, tags_of
from .service import Service
from .storage import Storage
from .vm import Vm

#: Where the disks of a node are, and the images to import: as far as there is such a storage.
Storages = tuple[Storage, ...]


def check(service: Service, nodes: t.Sequence[Node]) -> list[Problem]:
    """All that cannot work: of each node, and what the caller may not do."""
    problems = _check_options(service, nodes)
    with noting(problems):  # who is not answered, or let in, learns nothing more
        service.cluster.check()
        _check_cluster(service, nodes, problems)
    return problems


#: Option that is needed, and when.
_NEEDED = (("storage", ""), ("volume", "staging=volume"), ("snapshot_command", "snapshot=node-command"))


def _check_options(service: Service, nodes: t.Sequence[Node]) -> list[Problem]:
    problems: list[Problem] = []
    vmids = _by_option(service, nodes, "vmid")
    for node in nodes:
        for name, when in _NEEDED:
            option, _equals, value = when.partition("=")
            if service.option(node, name) is None and (not when or service.option(node, option) == value):
                message = f"has no {name}" + (f", which {when} needs" if when else "")
                problems.append(Problem(message, key=name, node=node.name))
        if node.address is None and service.option(node, "address") == "given":
            problems.append(Problem(f"has no address on {service.deployment.network}", key="address", node=node.name))
        vmid = service.option(node, "vmid")
        same = vmids.get(vmid, [])
        if len(same) > 1:
            message = f"nodes {' and '.join(map(repr, same))} have the same vmid {vmid}"
            problems.append(Problem(message, key="vmid", node=node.name))
    return problems


def _by_option(service: Service, nodes: t.Iterable[Node], name: str) -> dict[t.Any, list[str]]:
    """Value of an option → the nodes that have it."""
    users: dict[t.Any, list[str]] = {}
    for node in nodes:
        value = service.option(node, name)
        if value is not None:
            users.setdefault(value, []).append(node.name)
    return users


def _check_cluster(service: Service, nodes: t.Sequence[Node], problems: list[Problem]) -> None:
    """What the cluster has, and what the caller may do with it."""
    needed = Privileges(service.cluster.client)
    storages = _storages(service, nodes, needed, problems)
    made: list[Node] = []
    existing: dict[str, tuple[Node, Vm]] = {}
    for node in nodes:
        if service.option(node, "ha"):
            needed.demand("/", privileges.HA)
        if node.name not in storages:
            continue
        with noting(problems, node.name):
            vm = service.find(node.name)
            if service.method(node) == "clone":
                _demand_where_made(service, node, needed, privileges.CLONING)
            if vm is not None:
                needed.demand(f"/vms/{vm.vmid}", _privileges(service, node))
                if service.cluster.vms()[vm.vmid].managed:
                    needed.demand("/", privileges.HA)
                _check_place(service, node, vm, storages[node.name])
                existing[node.name] = node, vm
            else:
                _need_to_make(service, node, needed)
                _refuse_second(service, node)
                _check_target(service, node, storages[node.name])
                made.append(node)
    for vmid, users in _by_option(service, made, "vmid").items():
        with noting(problems, *users, key="vmid"):
            _check_number(service, vmid)
    lacking = needed.missing()
    problems += lacking
    if lacking:  # what one may not look at looks as if it was not there
        return
    if made:
        with noting(problems):
            _check_tags(service)
    alike: dict[tuple[frozenset[str], tuple[str, ...]], list[str]] = {}
    for node in made:
        place = service.option(node, "target_node")
        places = [place] if place else service.cluster.nodes(*storages[node.name])
        alike.setdefault((_bridges(service, node), tuple(places)), []).append(node.name)
    for (wanted, where), users in alike.items():
        with noting(problems, *users, key="networks"):
            _check_bridges(service, wanted, where)
    problems += _check_existing(service, existing)
    for group, users in _by_option(service, [node for node in nodes if service.option(node, "ha")], "ha_group").items():
        with noting(problems, *users, key="ha_group"):
            ha.check_group(service.cluster.client, service.cluster.version, group)


def _storages(
    service: Service, nodes: t.Sequence[Node], needed: Privileges, problems: list[Problem]
) -> dict[str, Storages]:
    """Node → the storages that it needs; without those whose own does not exist."""
    uploads: Storages = ()
    with noting(problems, key="import_storage"):
        uploads = (service.uploads.storage,)
        needed.demand(f"/storage/{uploads[0].name}", privileges.UPLOADS)
    found: dict[str, Storages] = {}
    for name, users in _by_option(service, nodes, "storage").items():
        with noting(problems, *users, key="storage"):
            storage = service.cluster.storage(name)
            found.update(dict.fromkeys(users, (storage, *uploads)))
            needed.demand(f"/storage/{storage.name}", privileges.DISKS)
            if "images" not in storage.content:
                content = ",".join(sorted({*storage.content, "images"}))
                hint = f"allow it: pvesm set {storage.name} --content {content}"
                raise InputError(f"storage {storage.name!r} takes no disks of VMs; {hint}")
    return found


def _check_place(service: Service, node: Node, vm: Vm, storages: Storages) -> None:
    if vm.node in service.cluster.off():
        raise ComposeError(f"VM {vm.vmid} is on {vm.node}, which is off", node=node.name)
    for storage in storages:
        if not storage.on(vm.node):
            raise InputError(f"VM {vm.vmid} is on {vm.node}, which has no storage {storage.name!r}", node=node.name)


def _check_existing(service: Service, vms: t.Mapping[str, tuple[Node, Vm]]) -> list[Problem]:
    """What belongs to somebody else, VMs and data on them, and what VMs cannot become."""
    problems: list[Problem] = []

    def read(name: str) -> None:
        vm = vms[name][1]
        with noting(problems, name):
            service.looks[vm.vmid] = vm.config()

    with ThreadPoolExecutor(max_workers=service.parallel) as pool:
        list(pool.map(read, vms))
    data: dict[str, list[DataVolume]] = {}
    for name, (node, vm) in vms.items():
        config = service.looks.get(vm.vmid)
        if config is None:
            continue
        with noting(problems, name):
            record = service.machines.record(config, vm.vmid)
            if record is None:
                _check_adoption(service, node, vm, config)
            elif record.created:
                data[name] = data_volumes(config, record)
                if changed(config, service.networks(node)):
                    _check_bridges(service, _bridges(service, node), [vm.node])
    return problems + foreign_data(service.deployment, [node for node, _vm in vms.values()], data)


def _check_adoption(service: Service, node: Node, vm: Vm, config: Config) -> None:
    """Refuse to take over a VM that nobody said may be taken."""
    if config.get("template") == "1":
        raise InputError(f"VM {vm.vmid} is a template, which cannot be a node", node=node.name)
    tagged = node_tag(service.deployment.name, node.name) in tags_of(config.get("tags"))
    if tagged or service.option(node, "adopt") or config.get("name").lower() == node.name.lower():
        return
    state = "running" if vm.is_running() else "stopped"
    raise InputError(
        f"adopts {described(vm, config, state)}: refused, its system would be replaced. If that is meant, set adopt: "
        f"true among the options of node {node.name!r}, or give the VM the node's name; else correct vmid",
        node=node.name,
    )


def _check_tags(service: Service) -> None:
    """Refuse to make VMs where their tags may not be set; who may not look at that learns it later."""
    client = service.cluster.client
    told = answer(Options, underscored(client.call("GET", "/cluster/options")), "Proxmox: GET /cluster/options")
    access = told.user_tag_access or {}
    if isinstance(access, str):  # as it is written in the file of options
        access = {key: word for key, _equals, word in (part.partition("=") for part in access.split(","))}
    if access.get("user_allow", access.get("user-allow", "free")) == "free":
        return
    if "Sys.Modify" not in privileges.on(client, "/"):
        raise InputError(f"{client.access.caller} may not tag VMs: {TAGS_RESTRICTED}")


def _bridges(service: Service, node: Node) -> frozenset[str]:
    return frozenset(bridges(service.option(node, "networks")))


def _check_bridges(service: Service, wanted: frozenset[str], places: t.Sequence[str]) -> None:
    """Refuse interfaces on bridges of which none of the places, nodes of the cluster, has all."""
    if any(wanted <= service.cluster.bridges(place) for place in places):
        return
    lacking = sorted(wanted - service.cluster.bridges(places[0])) if len(places) == 1 else sorted(wanted)
    there = "; ".join(f"{place} has: {', '.join(sorted(service.cluster.bridges(place))) or 'none'}" for place in places)
    raise InputError(
        f"networks need the bridge {', '.join(map(repr, lacking))}, which is not on "
        f"{'the node' if len(places) == 1 else 'any node'} of the cluster that it can be on; {there}"
    )


def _refuse_second(service: Service, node: Node) -> None:
    """Refuse a VM that would be a second one."""
    lost = service.machines.lost(node.name)
    if lost is not None:
        tag = node_tag(service.deployment.name, node.name)
        raise InputError(f"VM {lost} says in its description that it is this node; give it the tag {tag} again")


def _check_number(service: Service, vmid: int) -> None:
    """Refuse a number that is taken."""
    if not service.cluster.is_free(vmid):
        raise InputError(
            f"vmid {vmid} is taken: by a container, or by a VM that {service.cluster.client.access.caller} may not see "
            "(VM.Audit)"
        )


def _check_target(service: Service, node: Node, storages: Storages) -> None:
    """Refuse a VM that no node of the cluster could have."""
    fitting = service.cluster.nodes(*storages)
    wanted = service.option(node, "target_node")
    if wanted not in fitting if wanted else not fitting:
        names = " and ".join(repr(storage.name) for storage in storages)
        raise InputError(
            f"target_node is {wanted!r}, expected a node that is on and has the storages {names}: "
            f"{', '.join(sorted(fitting)) or 'none'}",
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
