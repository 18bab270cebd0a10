# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes of a deployment should run: what the composition means now, or a kept release. PRIVATE."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from ..builders.base import Builder
from ..builders.revision import Source, source_at
from ..checks.script import check_script
from ..errors import InputError, nearest
from ..images.packages import package_changes, versions
from ..model.composition import Composition, Role
from ..model.deployment import Deployment, Node
from ..model.numbers import Numbers
from ..model.plan import Meaning
from ..model.release import Release
from ..model.result import Problem
from ..platforms.hands import abilities
from ..platforms.registry import PLATFORMS
from .plan import Step
from .release import ReleaseStore

#: What every question to the builder about images begins with: composition, parameters, roles, formats.
What = tuple[str, t.Mapping[str, t.Any], t.Sequence[str], t.Sequence[str]]


@dataclass(frozen=True)
class Meant:
    """What roles should run, and what *verified* means for them."""

    #: Role → package → version; empty where that is known only after the build.
    packages: t.Mapping[str, t.Mapping[str, str]]
    meaning: Meaning
    #: Node → image identity, where it is not that of its role.
    own: t.Mapping[str, str] = field(default_factory=dict)
    #: Role → names of its data volumes; those of a release are known when its images are staged.
    volumes: t.Mapping[str, t.Collection[str]] = field(default_factory=dict)
    #: Role → file → secret that it is written from; a release was let through already.
    secret_files: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict)

    #: Role → numbers of users and groups, as far as they are known before a build.
    numbers: t.Mapping[str, Numbers] = field(default_factory=dict)

    def image(self, node: Node) -> str:
        """Identity of the image that a node should run."""
        return self.own.get(node.name) or self.meaning.images[node.role]

    def lacking(self, nodes: t.Iterable[Node]) -> list[Problem]:
        """Which nodes have not the secrets that their role needs. :param nodes: whose secrets are known."""
        problems = []
        for node in nodes:
            needed = {
                f"roles.{node.role}.follow.{path}": (each.secret, f"is to log in to {each.repository}")
                for path, each in self.meaning.follow.get(node.role, {}).items()
                if each.secret
            }
            for path, secret in self.secret_files.get(node.role, {}).items():
                needed[f'roles.{node.role}.generated."{path}"'] = (secret, "is to be written there")
            problems += [
                Problem(
                    f"{where}: no secret {secret!r}, which {use}",
                    node=node.name,
                    remedy="give the role that secret in the deployment file, below 'secrets'",
                )
                for where, (secret, use) in needed.items()
                if not node.secrets.get(secret)
            ]
        return problems


class Desired:
    """Asks the builder, and the releases.

    :param formats: that the platform needs.
    :param source: the composition, where it is not in the directory that the deployment names.
    """

    def __init__(
        self,
        deployment: Deployment,
        builder: Builder,
        formats: t.Sequence[str],
        releases: ReleaseStore,
        source: Source | None,
    ) -> None:
        self.deployment = deployment
        self.builder = builder
        self.formats = formats
        self.releases = releases
        self._source = source
        #: What the user should know of the composition, though it works.
        self.warnings: list[str] = []

    def released(self, kept: Release, roles: t.Sequence[str]) -> Meant:
        """What a kept release was."""
        missing = sorted(set(roles) - set(kept.images))
        if missing:
            raise InputError(f"release {kept.number} has no image for role {missing[0]!r}")
        return Meant(
            {role: versions(self.releases.image(image).packages) for role, image in kept.images.items()},
            Meaning(
                dict(kept.images),
                kept.composition_name,
                kept.composition,
                kept.revision,
                {role: list(ports) for role, ports in kept.ports.items()},
                {role: list(units) for role, units in kept.may_fail.items()},
                kept.test_script,
                dict(kept.follow),
            ),
            kept.node_images,
        )

    def composed(self, roles: t.Sequence[str]) -> Meant:
        """The same, of the composition as it is now."""
        composition = self.evaluate()
        found = self.check_script(composition.test_script)
        self.warnings += [f"{self.deployment.composition}: {warning}" for warning in found]
        for role in roles:
            if role not in composition.roles:
                raise InputError(
                    f"composition {composition.name!r} has no role {role!r}{nearest(role, composition.roles)}"
                )
        identities = {name: role.identity for name, role in composition.roles.items() if role.identity is not None}
        unknown = [role for role in roles if role not in identities]
        if unknown:
            identities.update(self.builder.identify(*self.what(unknown)))
        return Meant(
            {name: self._packages(role, identities.get(name)) for name, role in composition.roles.items()},
            Meaning(
                identities,
                composition.name,
                composition.digest,
                composition.revision,
                {name: list(role.ports) for name, role in composition.roles.items()},
                {name: list(role.may_fail) for name, role in composition.roles.items()},
                composition.test_script,
                {name: role.follow for name, role in composition.roles.items() if role.follow},
            ),
            volumes={name: role.volumes for name, role in composition.roles.items()},
            secret_files={name: role.secret_files for name, role in composition.roles.items()},
            numbers={name: role.numbers for name, role in composition.roles.items()},
        )

    def check_script(self, text: str, values: t.Collection[str] = ()) -> list[str]:
        """Refuse a test script that cannot work; returns what Python warns of.

        :param values: variables that it is given besides those that every script has.
        """
        names = [node.name for node in self.deployment.nodes]
        can = abilities(PLATFORMS[self.deployment.platform])
        return check_script(text, names, self.deployment.platform, can, values)

    def evaluate(self) -> Composition:
        """The composition as it is now."""
        composition = self.builder.evaluate(self.source.path, self.deployment.setup)
        return replace(composition, revision=self.source.revision or composition.revision)

    @property
    def source(self) -> Source:
        """The composition's directory, at the revision that the deployment asks for.

        :raises InputError: the inventory could not do without a release in its place.
        """
        if self.deployment.broken:
            raise InputError(
                f"{self.deployment.broken}\nUntil that is mended, deployment {self.deployment.name!r} can only be"
                " verified, rolled back, audited and destroyed"
            )
        if self._source is None:
            self._source = source_at(self.deployment.composition, self.deployment.revision)
        return self._source

    def what(self, roles: t.Sequence[str]) -> What:
        """What the builder is to be asked about these roles."""
        return self.source.path, self.deployment.setup, roles, self.formats

    def _packages(self, role: Role, identity: str | None) -> dict[str, str]:
        """Packages of a role's image: known before the build from some builders, else once it is built."""
        if role.packages or identity is None or not self.releases.has_image(identity):
            return dict(role.packages)
        return versions(self.releases.image(identity).packages)

    def package_changes(
        self, steps: t.Iterable[Step], packages: t.Mapping[str, t.Mapping[str, str]]
    ) -> dict[str, dict[str, list[str | None]]]:
        """How the packages of each role change, as far as those of both images are known.

        :param steps: of nodes that are to run the image of their role.

        :param packages: of the new images, by role; empty where that is known only after the build.
        """
        changes = {}
        for step in steps:
            new = packages.get(step.role)
            replaced = step.running if step.image != step.running else None
            if replaced and new and step.role not in changes and self.releases.has_image(replaced):
                changes[step.role] = package_changes(versions(self.releases.image(replaced).packages), new)
        return changes
