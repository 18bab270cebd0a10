# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment: a composition, the nodes that it is to run on, and where. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from functools import cached_property

from .free import Options, Parameters
from .hooks import Hooks

SECRET: t.Mapping[str, bool] = {"secret": True}


@dataclass(frozen=True)
class Node:
    """One member of a deployment."""

    name: str
    role: str
    #: 1, 2, … within the role.
    index: int = 1
    #: On the network of the deployment, without prefix length.
    address: t.Optional[str] = None
    #: Whether the deployment file says the address; any other is a proposal, see ``addresses.json``.
    address_given: bool = False
    parameters: Parameters = field(default_factory=dict)
    secrets: t.Mapping[str, str] = field(default_factory=dict, metadata=SECRET)
    #: The platform's options for this node (merged: platform, role, node).
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """Redundant nodes, of which at most ``count`` may be down at a time."""

    nodes: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class Reservation:
    """Machines that OAR lends for the nodes of a deployment. What is empty is left to the site."""

    nodes: int
    #: ``H:M:S``, or seconds.
    walltime: str
    #: Of the job, by which it is found again.
    name: str
    types: tuple[str, ...] = ("deploy",)
    #: With their scratch disks, where these are resources of their own.
    disks: bool = False
    #: SQL about the machines, as OAR takes it.
    properties: str = ""
    queue: str = ""
    #: ``YYYY-MM-DD HH:MM:SS`` by the clock of the site.
    start: str = ""
    project: str = ""
    #: How OAR is asked: ``command``, ``rest`` or ``grid5000``.
    interface: str = "command"
    frontend: str = ""
    ssh_config: str = ""
    url: str = ""
    site: str = ""
    ca_file: str = ""
    #: Deadline, in seconds, for the job to run.
    timeout: int = 3600
    #: What becomes of the job when a run fails and no node was ever verified: ``keep`` or ``release``.
    on_failure: str = "keep"


@dataclass(frozen=True)
class Fold:
    """The machines of another deployment, on which the nodes of this one run."""

    #: Name of that deployment.
    onto: str
    #: Its state directory.
    state: str
    #: Its nodes → what they are told apart by; empty where they are all alike.
    machines: t.Mapping[str, str]
    #: The variable that says so.
    by: str = ""
    #: How nodes that say no ``machine`` get one: ``spread`` or ``pack``.
    place: str = "spread"


@dataclass(frozen=True)
class Deployment:
    """What the controller tells the modules."""

    name: str
    #: Directory of the composition.
    composition: str
    builder: str
    platform: str
    nodes: tuple[Node, ...]
    #: Private network of the nodes, in prefix notation.
    network: str = "10.87.0.0/16"
    #: Options of the builder.
    builder_options: Options = field(default_factory=dict)
    #: The composition may read, and fetch, whatever the user who deploys may.
    trust: bool = False
    #: git revision at which the composition is taken; empty: as its directory is now.
    revision: str = ""
    #: Directory, on the host that runs the deployment, where releases, keys and local machines are kept.
    state: str = ""
    #: Passed to the composition when it is evaluated; a change may mean other images.
    setup: Parameters = field(default_factory=dict)
    #: Handed to every node in its document; a change never means another image.
    parameters: Parameters = field(default_factory=dict)
    #: Public keys, besides the deployment's own, that may log in as root.
    authorized_keys: tuple[str, ...] = ()
    #: How many verified releases are kept.
    keep: int = 3
    #: Deadline, in seconds, for a node to answer after a switch.
    boot_timeout: int = 300
    #: Deadline, in seconds, for the whole verification.
    verify_timeout: int = 1800
    #: Seconds for which nodes that came up have to stay well before they are verified.
    stable_for: int = 15
    #: Names of groups of redundant nodes → how many may be down at a time.
    at_most: t.Mapping[str, Limit] = field(default_factory=dict)
    #: How many times nodes that do not come up are booted again, before they count as failed.
    retries: int = 0
    #: Role → how many of its nodes must be verified for the deployment to hold; by default all.
    at_least: t.Mapping[str, int] = field(default_factory=dict)
    #: What happens to nodes that do not answer though nothing was done to them: ``refuse`` or ``replace``.
    silent: str = "refuse"
    #: Units, or patterns for them, whose failure counts for nothing, on any node.
    may_fail: tuple[str, ...] = ()
    #: Tasks of the user that take nodes out of service, and back.
    hooks: Hooks = field(default_factory=Hooks)
    #: Domain of the nodes whose names have no dots; empty: they have none.
    domain: str = ""
    #: Why the composition is not known; its nodes are those of the current release then. Empty: it is.
    broken: str = ""
    #: Where the machines of the nodes come from, if they have to be reserved first.
    reservation: t.Optional[Reservation] = None
    #: What the nodes are folded onto, if they are.
    fold: t.Optional[Fold] = None
    #: Name of the composition: with that of the deployment, whose data and state it is.
    composition_name: str = ""
    #: Nodes that may take over data which was made for others.
    adopt_data: tuple[str, ...] = ()
    #: Nodes whose secrets cannot be read, for want of a vault password → why: their documents cannot be made.
    unreadable: t.Mapping[str, str] = field(default_factory=dict)
    #: What logs in to the platform's own service. Goes from the controller to the modules, and nowhere else.
    credentials: t.Mapping[str, str] = field(default_factory=dict, repr=False, metadata=SECRET)

    def node(self, name: str) -> Node:
        """The node of that name. :raises KeyError: there is none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        """Runs ask for each of thousands of nodes."""
        return {node.name: node for node in self.nodes}


@dataclass(frozen=True)
class Beside:
    """Another deployment on the same host, which the run has planned before: what it is to start does not run yet."""

    deployment: Deployment
    #: Names of the nodes that it is to start, or start again.
    starts: tuple[str, ...]
