# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments, from their deployment files. PRIVATE to the collection.

The keys of the file are documented in the inventory plugin (plugins/inventory/composition.py) and docs/inventory.md.
"""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field, replace

from ..errors import InputError, nearest, shown
from ..model.composition import Composition, Distribution, RoleMachine
from ..model.deployment import Deployment, Node, Reservation
from ..model.free import Options, OptionValue
from ..model.shape import plain
from . import values
from .addresses import Addresses, parse_network
from .entries import NODE_KEYS, RoleEntry, Settings, require_roles
from .folding import folded_platforms, parse_fold, require_machines
from .hooks import parse_hooks
from .limits import parse_limits, parse_quorum
from .names import is_host_name, is_node_name, label_of
from .options import HasOptions, PlatformFacts, validate_options
from .ownership import parse_adopting
from .placement import Reached, by_name, refuse_second_machine
from .reservation import parse_reservation
from .units import unit_patterns
from .values import Unchecked

#: What may happen to a node that does not answer.
SILENT = ("refuse", "replace")
#: What may happen to tasks that may change a node.
SEALED = ("refuse", "warn", "off")

Chosen = t.TypeVar("Chosen", bound=HasOptions)


@dataclass(frozen=True)
class Others:
    """What other inventory sources define."""

    #: Variables by host.
    hosts: t.Mapping[str, Unchecked] = field(default_factory=dict)
    #: Hosts by group.
    groups: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    #: How Ansible reaches a host. Asked for those only that a role is placed on.
    reached: t.Callable[[str], Reached] = by_name
    #: Nodes by deployment.
    deployments: t.Mapping[str, t.Sequence[str]] = field(default_factory=dict)
    #: All variables of a host or node, also those of its groups.
    held: t.Callable[[str], Unchecked] = lambda host: {}


@dataclass(frozen=True)
class Parsed:
    """Content of a deployment file."""

    deployment: Deployment
    #: The user's variables by node, of those that have some.
    variables: t.Mapping[str, Unchecked]
    #: Nodes that are hosts of other inventory sources, and are reached as these say.
    placed: t.Mapping[str, Reached]
    #: One of :data:`SEALED`.
    sealed: str


@dataclass(frozen=True)
class _Wanted:
    """A node before it has its address."""

    name: str
    role: str
    index: int
    settings: Settings
    #: As given in the file.
    address: object = None
    #: How Ansible reaches the existing host that it is placed on.
    reached: Reached | None = None
    #: Options that come from the variables of that host.
    known: t.Collection[str] = ()
    #: It takes the name of that host over.
    takes_over: bool = False
    #: Where the machine is that its role was written for.
    at: str | None = None


def name_of(data: Unchecked, path: str) -> str:
    """Name of a deployment; where its file gives none, the file's name up to ``.compose.yml``, as a label."""
    given = values.text(data.get("name"), f"{path}: name")
    return given or label_of(re.sub(r"\.compose\.ya?ml$", "", os.path.basename(path)))


def state_directory(base: str, name: str, path: str) -> str:
    """Directory of a deployment: below ``base`` (relative to the deployment file), else where state belongs here."""
    if base:
        above = os.path.join(os.path.dirname(path), os.path.expanduser(base))
    elif os.geteuid() == 0:
        above = "/var/lib/immutable-compose"
    else:
        home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        above = os.path.join(home, "immutable-compose")
    return os.path.abspath(os.path.join(above, name))


def parse(
    data: Unchecked,
    composition: Composition,
    path: str,
    platforms: t.Mapping[str, type[PlatformFacts]],
    builders: t.Mapping[str, type[HasOptions]],
    others: Others | None = None,
) -> Parsed:
    """Read a deployment file.

    :param data: options of the inventory plugin; plain data.
    :param path: of the deployment file, absolute: for messages, the default name, and paths relative to it.
    :param platforms: the known platforms by name; ``builders`` likewise.
    :param others: for roles that are placed on existing hosts, and against names that are used already.
    :raises InputError: names file, key, value and what was expected.
    """
    others = others or Others()
    name = values.host_name(name_of(data, path), f"{path}: name")
    values.host_name(composition.name, f"{composition.path}: name of the composition")
    network = parse_network(data["network"], f"{path}: network")
    fold = parse_fold(data.get("fold"), name, others.deployments, others.held, f"{path}: fold")
    kinds = folded_platforms(platforms, fold is not None, _named(data["platform"])[0], path)
    platform, options = chosen(data["platform"], kinds, path, "platform")
    parameters = values.parameters(data.get("parameters"), f"{path}: parameters")

    wanted = _nodes(data, composition, platform, Settings({}, parameters, {}, options), path, others)
    addresses = Addresses(network, composition.roles)
    nodes = _with_addresses(wanted, addresses, path, propose=not platform.own_addresses)
    for want, node in zip(wanted, nodes):
        if want.reached and platform.makes_machine(node, want.known):
            where = f"{path}: roles.{node.role}.hosts"
            refuse_second_machine(node, want.reached, where, platform.name, takes_over=want.takes_over)
    if fold is not None:
        require_machines(fold, nodes, path)
    deployment = Deployment(
        name=name,
        composition=composition.path,
        builder=composition.builder,
        builder_options=chosen(data["builder"], builders, path, "builder")[1],
        trust=data.get("trust") is True,
        platform=platform.name,
        nodes=nodes,
        network=str(network),
        domain=_domain(data, nodes, path),
        hooks=parse_hooks(data.get("hooks"), path),
        state=state_directory(values.text(data.get("state_dir"), f"{path}: state_dir"), name, path),
        setup=values.parameters(data.get("setup"), f"{path}: setup"),
        parameters=parameters,
        authorized_keys=values.public_keys(data.get("authorized_keys"), f"{path}: authorized_keys"),
        retries=values.whole(data.get("retries", 0), f"{path}: retries"),
        reservation=_reservation(data, platform, name, len(nodes), path),
        at_least=parse_quorum(data.get("at_least"), nodes, composition.roles, f"{path}: at_least"),
        silent=values.one_of(data.get("silent", "refuse"), SILENT, f"{path}: silent"),
        may_fail=unit_patterns(data.get("may_fail"), f"{path}: may_fail"),
        keep=values.at_least_one(data["keep"], f"{path}: keep"),
        boot_timeout=values.at_least_one(data["boot_timeout"], f"{path}: boot_timeout"),
        verify_timeout=values.at_least_one(data["verify_timeout"], f"{path}: verify_timeout"),
        stable_for=values.whole(data["stable_for"], f"{path}: stable_for"),
        at_most=parse_limits(data.get("at_most"), nodes, composition.roles, others.groups, f"{path}: at_most"),
        fold=fold,
        composition_name=composition.name,
        adopt_data=parse_adopting(data.get("adopt_data"), nodes, f"{path}: adopt_data"),
    )
    variables = {node.name: node.settings.variables for node in wanted if node.settings.variables}
    placed = {node.name: node.reached for node in wanted if node.reached and not node.takes_over}
    return Parsed(deployment, variables, placed, values.one_of(data.get("sealed", "refuse"), SEALED, f"{path}: sealed"))


def _reservation(
    data: Unchecked, platform: type[PlatformFacts], name: str, count: int, path: str
) -> Reservation | None:
    """What is to be reserved. :raises InputError: the platform's machines are not lent."""
    where = f"{path}: reservation"
    if data.get("reservation") is not None and not platform.borrows:
        raise InputError(f"{where}: the machines of platform {platform.name!r} are not reserved, leave it out")
    return parse_reservation(data.get("reservation"), name, count, where)


def _domain(data: Unchecked, nodes: t.Iterable[Node], path: str) -> str:
    """The domain of nodes whose names have no dots."""
    domain = values.domain(data.get("domain"), f"{path}: domain")
    names = {node.name for node in nodes}
    for name in names:
        if domain and f"{name}.{domain}" in names:
            raise InputError(
                f"{path}: domain: nodes {shown(name)} and {f'{name}.{domain}'!r} would both be {f'{name}.{domain}'!r}"
            )
    return domain


def _named(value: object) -> tuple[object, dict[str, object]]:
    """What is given as a name, or as a mapping with the name and options."""
    options = dict(value) if isinstance(value, t.Mapping) else {"name": value}
    return options.pop("name", None), options


def chosen(value: object, known: t.Mapping[str, type[Chosen]], path: str, what: str) -> tuple[type[Chosen], Options]:
    """The platform or builder that a deployment file names, alone or in a mapping with its options.

    :param what: the key of the file, ``platform`` or ``builder``.
    """
    name, options = _named(value)
    if not isinstance(name, str) or name not in known:
        raise InputError(f"{path}: {what} is {shown(name)}, expected a known {what}{nearest(str(name), known)}")
    return known[name], validate_options(known[name], options, f"{path}: {what}", what)


def _nodes(
    data: Unchecked,
    composition: Composition,
    platform: type[PlatformFacts],
    every: Settings,
    path: str,
    others: Others,
) -> list[_Wanted]:
    """All nodes, by role and index."""
    roles = values.mapping(data.get("roles"), f"{path}: roles")
    values.known(roles, composition.roles, f"{path}: roles", "role of the composition")
    where = f"{composition.path}: rolesDistribution"
    require_roles(composition.distribution, composition.roles, roles, where, path)
    entries = values.mapping(data.get("nodes"), f"{path}: nodes")
    wanted: dict[str, _Wanted] = {}
    for role in sorted(composition.roles):
        where = f"{path}: roles.{role}"
        entry = RoleEntry.read(roles.get(role), where)
        placed = entry.hosts is not None
        names = _placed(entry, where, others) if placed else _names(role, entry, composition, where)
        if names and platform.boots_kernel and not composition.roles[role].bootable:
            raise InputError(
                f"{where}: the role has no kernel, but platform {platform.name!r} boots one: give the role a 'kernel' "
                "in the composition, or choose a platform of containers"
            )
        settings = Settings.read(entry.rest, platform, where)
        total = len(wanted) + len(names)
        if total > values.MOST:
            raise InputError(f"{path}: roles: there are {total} nodes or more, expected at most {values.MOST}")
        for index, name in enumerate(names, 1):
            if name in wanted:
                roles_ = f"role {wanted[name].role!r} and role {role!r}"
                other = f"; 'roles: {{{role}: [NAME]}}' in {path} gives others" if wanted[name].role != role else ""
                raise InputError(
                    f"{where}: the name {shown(name)} is used twice, by {roles_}; expected unique names{other}"
                )
            if not placed:
                _refuse_taken(name, where, others)
                # One machine is that of one node.
                machine = composition.roles[role].machine if len(names) == 1 else RoleMachine()
                known = _known(role, machine.variables, platform, composition.path)
                wanted[name] = _Wanted(name, role, index, settings.on(known, every), at=machine.host)
                continue
            known = _known(name, others.hosts[name], platform, f"{where}.hosts")
            reached, own = others.reached(name), settings.on(known, every)
            wanted[name] = _Wanted(name, role, index, own, None, reached, known, entry.take_over, reached.at)
    values.known(entries, wanted, f"{path}: nodes", "node of the deployment")
    for name, value in entries.items():
        where = f"{path}: nodes.{name}"
        given = values.mapping(value, where)
        values.known(given, NODE_KEYS, where, "key of a node")
        settings = Settings.read(given, platform, where).over(wanted[name].settings)
        wanted[name] = replace(wanted[name], settings=settings, address=given.get("address"))
    return list(wanted.values())


def _names(role: str, entry: RoleEntry, composition: Composition, where: str) -> list[str]:
    """Names of a role's nodes as the deployment file says, else the composition, else the name of the role."""
    if entry.names is not None:
        return list(entry.names)[: entry.count]
    wanted: Distribution = entry.count
    if wanted is None:
        where = f"{composition.path}: rolesDistribution.{role}"
        wanted = values.distribution(composition.distribution.get(role), where)
    if isinstance(wanted, list):
        return wanted
    stem = label_of(role)
    names = [stem] if wanted is None else [f"{stem}{index}" for index in range(1, wanted + 1)]
    if names and not is_host_name(names[-1]):  # the longest one: it tells for all of them
        raise InputError(
            f"{where}: {role!r} gives no name for a node, expected {values.A_NAME};"
            f" 'roles: {{{role}: [NAME]}}' in the deployment file gives others"
        )
    return names


def _placed(entry: RoleEntry, where: str, others: Others) -> list[str]:
    """The existing hosts that a role is placed on: all, or the first ``count``."""
    words, count = entry.hosts or (), entry.count
    pool: dict[str, None] = {}
    for word in words:
        if word not in others.groups and word not in others.hosts:
            near = nearest(word, [*others.groups, *others.hosts])
            raise InputError(
                f"{where}.hosts: {shown(word)} is not a host or group of the sources read before this one{near}"
            )
        for host in others.groups.get(word, [word]):
            if not is_node_name(host):
                raise InputError(
                    f"{where}.hosts: {shown(host)} cannot be a node, expected labels of {values.A_NAME};"
                    f" give it such a name where it is defined, and 'ansible_host: {host}'"
                )
            if "compose_role" in others.hosts[host]:
                raise InputError(f"{where}.hosts: {shown(host)} is a node of another deployment already")
            pool[host] = None
    if count is not None and count > len(pool):
        raise InputError(
            f"{where}.count is {count}, expected at most {len(pool)}: so many hosts have {' and '.join(words)}"
        )
    return list(pool)[:count]


def _known(name: str, variables: Unchecked, platform: type[PlatformFacts], where: str) -> Options:
    """Options of the platform that the variables of an existing machine say."""
    known: dict[str, OptionValue] = {}
    for option, variable in platform.host_variables.items():
        if variable in variables:
            value = plain(variables[variable])
            if platform.options[option].type is int and isinstance(value, str) and re.fullmatch("[0-9]+", value):
                value = int(value)
            known.update(
                validate_options(platform, {option: value}, f"{where}: {variable} of {shown(name)}", "platform")
            )
    return known


def _refuse_taken(name: str, where: str, others: Others) -> None:
    if name in others.hosts or name in others.groups or name == "localhost":
        what = "group" if name in others.groups else "host"
        raise InputError(
            f"{where}: the name {shown(name)} is taken by a {what} of another inventory source,"
            " expected another name (or 'hosts', to deploy on existing hosts)"
        )


def _with_addresses(wanted: t.Sequence[_Wanted], addresses: Addresses, path: str, *, propose: bool) -> tuple[Node, ...]:
    """:param propose: addresses for nodes that the file gives none."""
    fixed = {}
    for node in wanted:
        if node.address is not None:
            fixed[node.name] = addresses.explicit(node.address, node.name, f"{path}: nodes.{node.name}.address")
        elif node.at is not None and node.at in addresses:
            said = f".hosts: {node.reached.variable}" if node.reached else ": ansible_host"
            where = f"{path}: roles.{node.role}{said} of {node.name!r}"
            fixed[node.name] = addresses.explicit(node.at, node.name, where)
    return tuple(
        Node(
            name=node.name,
            role=node.role,
            index=node.index,
            address_given=node.name in fixed,
            address=fixed.get(node.name)
            or (addresses.proposed(node.role, node.index, f"{path}: network") if propose else None),
            parameters=node.settings.parameters,
            secrets=node.settings.secrets,
            options=node.settings.options,
        )
        for node in wanted
    )
