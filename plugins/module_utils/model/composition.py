# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A composition: the description of a distributed system, as far as it is known without a build. PRIVATE."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .follow import Follows
from .numbers import Numbers

#: How many, or which, machines have a role: ``None`` (one, named like the role), a count, or the names.
Distribution = t.Union[None, int, list[str]]


@dataclass(frozen=True)
class Volume:
    """A data volume: the only place on a node that outlives an image, or room for what need not."""

    #: Where it is mounted.
    mount: str
    #: MiB, where the platform has to make a disk for it.
    size: int = 1024
    #: Owner of what is mounted.
    user: str = "root"
    #: Group of what is mounted.
    group: str = "root"
    #: Mode of what is mounted.
    mode: str = "0755"
    #: Whether it outlives a boot; else it is emptied at each.
    keep: bool = True


@dataclass(frozen=True)
class RoleMachine:
    """The machine that a role was written for, as the tool reaches it for which it was written."""

    #: Name or address.
    host: t.Optional[str] = None
    #: User that logs in; null where that is root, or not said.
    user: t.Optional[str] = None
    #: Port of the SSH server.
    port: t.Optional[int] = None
    #: File with the private key of that user.
    key: t.Optional[str] = None

    @property
    def variables(self) -> dict[str, t.Union[str, int]]:
        """The same as an inventory of Ansible would say it."""
        said = {
            "ansible_host": self.host,
            "ansible_user": self.user,
            "ansible_port": self.port,
            "ansible_ssh_private_key_file": self.key,
        }
        return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True)
class Role:
    """One kind of machine, as far as it is known without building it."""

    #: As in the composition.
    name: str
    #: Identity that the image will have once built; null where the lock is missing or does not fit, and where it takes
    #: more than a quick evaluation to know.
    identity: t.Optional[str] = None
    #: TCP ports that a node must answer on.
    ports: tuple[int, ...] = ()
    #: By name.
    volumes: t.Mapping[str, Volume] = field(default_factory=dict)
    #: It has a kernel; without one it runs in containers only.
    bootable: bool = True
    #: Units, or patterns for them, whose failure counts for nothing.
    may_fail: tuple[str, ...] = ()
    #: Package → version, of all that is in the image; empty where that is known only after a build.
    packages: t.Mapping[str, str] = field(default_factory=dict)
    #: Directories that follow a git repository, by path.
    follow: Follows = field(default_factory=dict)
    #: File → secret of the node's that it is written from when the node boots.
    secret_files: t.Mapping[str, str] = field(default_factory=dict)
    #: Of users and groups, as far as they are known without a build.
    numbers: Numbers = field(default_factory=Numbers)
    #: Words that its nodes are chosen by: groups of the inventory.
    tags: tuple[str, ...] = ()
    #: The machine that it was written for.
    machine: RoleMachine = field(default_factory=RoleMachine)
    #: Those of its packages that are files of the composition's own → SHA-256, hexadecimal.
    own: t.Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Composition:
    """Result of *evaluate*."""

    #: A host name label.
    name: str
    #: ``debian``, ``nixos``, ``nxc`` or ``guix``.
    builder: str
    #: Directory on the host that evaluated it; readers take the directory of the file instead.
    path: str
    #: SHA-256 of everything that was evaluated, identities included.
    digest: str
    #: By name.
    roles: t.Mapping[str, Role]
    #: Role → count, list of names, or null.
    distribution: t.Mapping[str, Distribution] = field(default_factory=dict)
    #: Empty if there is none.
    test_script: str = ""
    #: git commit of the composition, ends in ``-dirty`` with local changes; null outside a repository.
    revision: t.Optional[str] = None
    #: SHA-256 of the lock's content.
    lock: t.Optional[str] = None
    #: Digest of the names and contents of the directory's files when this was written; another one is worth a warning.
    source: t.Optional[str] = None
    schema: t.Literal["immutable.compose/composition/1"] = "immutable.compose/composition/1"
