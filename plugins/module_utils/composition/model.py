# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the design as data: composition, role, node, deployment. PRIVATE to the collection.

Everything here is plain data that travels as JSON between the controller, the builder host and the platform; the
formats are described in docs/formats.md.
"""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass, field

from .schema import reading, validate

COMPOSITION_SCHEMA = "immutable.compose/composition/1"

#: How many, or which, machines have a role: ``None`` (one, named like the role), a count, or the names.
Distribution = t.Union[None, int, list[str]]


@dataclass(frozen=True)
class Volume:
    """A data volume: the only place on a node that outlives an image."""

    mount: str
    size: int = 1024  #: MiB, where the platform has to make a disk for it
    user: str = "root"
    group: str = "root"
    mode: str = "0755"


@dataclass(frozen=True)
class Role:
    """One kind of machine, as far as it is known without building it."""

    name: str
    #: Identity that the image will have once built; ``None`` where the builder cannot tell (for ``debian``: no lock).
    identity: str | None = None
    #: TCP ports that must accept connections on a node of this role.
    ports: tuple[int, ...] = ()
    #: Units, or patterns for them, whose failure counts for nothing.
    may_fail: tuple[str, ...] = ()
    volumes: t.Mapping[str, Volume] = field(default_factory=dict)
    #: ``False`` for roles without a kernel: they run in containers only.
    bootable: bool = True
    #: Package name → version, where that is known before the build, for the plan's diff.
    packages: t.Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Composition:
    """Result of *evaluate*."""

    name: str
    builder: str
    #: Directory of the composition on the host that evaluated it.
    path: str
    #: Digest over everything that the images and checks are made of.
    digest: str
    roles: t.Mapping[str, Role]
    distribution: t.Mapping[str, Distribution] = field(default_factory=dict)
    test_script: str = ""
    #: git revision of the composition, ``None`` outside a repository; ends in ``-dirty`` with local changes.
    revision: str | None = None
    #: Digest of the lock file, ``None`` where there is none.
    lock: str | None = None
    #: In ``composition.json``: digest of the directory's files when it was written.
    source: str | None = None

    def to_json(self) -> dict[str, t.Any]:
        return {"schema": COMPOSITION_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Composition:
        """Read what :meth:`to_json` wrote.

        :raises InputError: another schema, a missing or an unknown field.
        """
        fields = validate(data, COMPOSITION_SCHEMA, "composition.json")
        with reading(COMPOSITION_SCHEMA, "composition.json"):
            fields["roles"] = {
                name: Role(
                    **{
                        **role,
                        "ports": tuple(role.get("ports", ())),
                        "may_fail": tuple(role.get("may_fail", ())),
                        "volumes": {key: Volume(**volume) for key, volume in role.get("volumes", {}).items()},
                    }
                )
                for name, role in fields["roles"].items()
            }
            return cls(**fields)


@dataclass(frozen=True)
class Node:
    """One machine of a deployment."""

    name: str
    role: str
    #: 1, 2, … within the role.
    index: int = 1
    #: Address on the network of the deployment, without prefix length.
    address: str | None = None
    #: Whether the deployment file says the address; any other is a proposal, see :mod:`.held`.
    address_given: bool = False
    parameters: t.Mapping[str, t.Any] = field(default_factory=dict)
    secrets: t.Mapping[str, str] = field(default_factory=dict)
    #: The platform's options for this node (merged: platform, role, node).
    options: t.Mapping[str, t.Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """Redundant nodes, of which at most ``count`` may be down at a time."""

    nodes: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class Deployment:
    """A composition, its nodes and a platform."""

    name: str
    #: Directory of the composition.
    composition: str
    builder: str
    platform: str
    nodes: tuple[Node, ...]
    #: Private network of the nodes, in prefix notation.
    network: str = "10.87.0.0/16"
    #: Domain of the nodes whose names have no dots; empty: they have none.
    domain: str = ""
    #: Options of the builder.
    builder_options: t.Mapping[str, t.Any] = field(default_factory=dict)
    #: git revision at which the composition is taken; empty: as its directory is now.
    revision: str = ""
    #: Why the composition is not known; its nodes are those of the current release then. Empty: it is.
    broken: str = ""
    #: Directory, on the host that runs the deployment, where releases, keys and local machines are kept.
    state: str = ""
    #: Passed to the composition when it is evaluated; a change may mean other images.
    setup: t.Mapping[str, t.Any] = field(default_factory=dict)
    #: Handed to every node in its document; a change never means another image.
    parameters: t.Mapping[str, t.Any] = field(default_factory=dict)
    #: Public keys, besides the deployment's own, that may log in as root.
    authorized_keys: tuple[str, ...] = ()
    #: Units, or patterns for them, whose failure counts for nothing, on any node.
    may_fail: tuple[str, ...] = ()
    #: How many verified releases are kept.
    keep: int = 3
    #: Deadline, in seconds, for a node to answer after a switch.
    boot_timeout: int = 300
    #: Deadline, in seconds, for the whole verification.
    verify_timeout: int = 1800
    #: Names of groups of redundant nodes → how many may be down at a time.
    at_most: t.Mapping[str, Limit] = field(default_factory=dict)
    #: Name of the composition: with that of the deployment, whose data and state it is.
    composition_name: str = ""
    #: Nodes that may take over data which was made for others.
    adopt_data: tuple[str, ...] = ()
    #: What logs in to the platform's own service. Goes from the controller to the modules, and nowhere else.
    credentials: t.Mapping[str, str] = field(default_factory=dict, repr=False)
    #: Nodes whose secrets cannot be read, for want of a vault password → why: their documents cannot be made.
    unreadable: t.Mapping[str, str] = field(default_factory=dict)

    def node(self, name: str) -> Node:
        """The node of that name. :raises KeyError: there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Deployment:
        fields = dict(data)
        fields["nodes"] = tuple(Node(**node) for node in data["nodes"])
        for key in ("authorized_keys", "adopt_data", "may_fail"):
            fields[key] = tuple(data.get(key, ()))
        fields["at_most"] = {
            name: Limit(tuple(limit["nodes"]), limit["count"]) for name, limit in data.get("at_most", {}).items()
        }
        return cls(**fields)

    def to_json(self) -> dict[str, t.Any]:
        """Everything but the credentials."""
        data = asdict(self)
        del data["credentials"]
        return data
