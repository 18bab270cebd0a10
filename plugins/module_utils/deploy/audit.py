# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a deployment has packages that advisories are about. PRIVATE to the collection.

Answers from the package lists of the images. What image nodes run, the platform is asked; what they follow, they are.
"""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass, field

from ..errors import ComposeError
from ..images.advisories import Advisories, Finding
from ..images.image import find_image
from ..model.composition import Role
from ..model.findings import Audited, NodeAudit, Occurrence
from ..model.image import Package
from .engine import Engine

#: Names that a cell of the table or a message has at most, and lines that the table has on what is not known.
SHOWN, UNKNOWN = 5, 20
#: Seconds for a node to say what it follows.
ANSWER = 10.0


@dataclass
class Places:
    """Where a finding was made."""

    #: Roles of the composition as it is now: what the next deploy boots.
    roles: list[str] = field(default_factory=list)
    #: Identities of images that are kept here.
    images: list[str] = field(default_factory=list)
    #: Numbers of kept releases.
    releases: list[int] = field(default_factory=list)
    #: Nodes, also stopped ones, by the image that they run.
    nodes: list[str] = field(default_factory=list)


def audit(engine: Engine, data: t.Any) -> Audited:
    """The module's result: findings with their places, and the word on each node.

    :param data: advisories, see :mod:`..images.advisories`.
    :raises InputError: an advisory is malformed.
    """
    advisories = Advisories(data)
    unknown = list(advisories.ignored)
    found: dict[Finding, Places] = {}

    def at(finding: Finding) -> Places:
        return found.setdefault(finding, Places())

    images = _images(engine.releases.roots, advisories, unknown)
    for identity, findings in images.items():
        for finding in findings:
            at(finding).images.append(identity)
    for role, findings in _roles(engine, advisories, images, unknown).items():
        for finding in findings:
            at(finding).roles.append(role)
    for number in engine.releases.numbers():
        identities = engine.releases.read(number).identities
        unknown += [f"release {number}: its image {each} is not here" for each in sorted(identities - set(images))]
        for finding in {finding for each in identities for finding in images.get(each, ())}:
            at(finding).releases.append(number)
    nodes = {}
    running = _running(engine)
    revisions = _revisions(engine, running, unknown)
    for name, identity in running.items():
        if identity not in images:
            unknown.append(f"node {name}: its image {identity or '(unknown)'} is not here")
        for finding in images.get(identity, ()):
            at(finding).nodes.append(name)
        nodes[name] = _word(identity, images.get(identity), revisions.get(name, {}))
    rows = [Occurrence(**vars(finding), **vars(places)) for finding, places in sorted(found.items())]
    return Audited(
        changed=False,
        affected=bool(rows),
        findings=rows,
        nodes=nodes,
        failed_nodes=sorted(name for name, word in nodes.items() if not word.ok),
        unknown=unknown,
        table=[f"deployment {engine.deployment.name}:", *_table(rows), *_followed(revisions), *_caveats(unknown)],
    )


def _images(roots: str, advisories: Advisories, unknown: list[str]) -> dict[str, list[Finding]]:
    """Findings in every image that is kept here, by identity."""
    images = {}
    entries = os.listdir(roots) if os.path.isdir(roots) else []
    # IDENTITY+WHAT protects something that a bundle leads to.
    for entry in sorted(entry for entry in entries if "+" not in entry):
        try:
            image = find_image(os.path.join(roots, entry))
        except ComposeError as error:
            unknown.append(f"image {entry}: {error}")
            continue
        if image.packages:
            images[image.identity] = advisories.find(image.packages)
            _say_unnamed(advisories, image.packages, unknown)
        else:
            unknown.append(f"image {entry}: it has no list of packages")
    return images


def _say_unnamed(advisories: Advisories, packages: t.Iterable[Package], unknown: list[str]) -> None:
    """Each once."""
    for each in advisories.unnamed(packages):
        said = f"{each.name} {each.version}: it is the composition's own, and no advisory names it"
        if said not in unknown:
            unknown.append(said)


def _roles(
    engine: Engine, advisories: Advisories, images: t.Mapping[str, list[Finding]], unknown: list[str]
) -> dict[str, list[Finding]]:
    """Findings in every role of the composition as it is now: in its image if that is built, else in what is pinned."""
    roles: dict[str, list[Finding]] = {}
    if engine.deployment.broken:
        unknown.append(f"the composition as it is now: {engine.deployment.broken}")
        return roles
    for name, role in sorted(engine.desired.evaluate().roles.items()):
        try:
            identity = _identity(engine, role)
        except ComposeError as error:
            unknown.append(f"role {name}: {error}")
            continue
        if identity in images:
            roles[name] = images[identity]
        elif role.packages:
            packages = [
                Package(package, version, sha256=role.own.get(package, ""))
                for package, version in role.packages.items()
            ]
            roles[name] = advisories.find(packages)
            _say_unnamed(advisories, packages, unknown)
        else:
            unknown.append(f"role {name}: its image is not built, and its packages are known only then")
    return roles


def _identity(engine: Engine, role: Role) -> str:
    if role.identity is not None:
        return role.identity
    return engine.builder.identify(*engine.desired.what([role.name]))[role.name]


def _running(engine: Engine) -> dict[str, str]:
    """Node → identity of its image, for those of the batch, and those that are no part of the deployment any more."""
    batch = {node.name for node in engine.nodes}
    others = {node.name for node in engine.deployment.nodes} - batch
    observed = engine.platform.observe(engine.nodes)
    return {
        name: seen.identity or ""
        for name, seen in sorted(observed.items())
        if seen.state != "absent" and name not in others
    }


def _revisions(engine: Engine, running: t.Mapping[str, str], unknown: list[str]) -> dict[str, dict[str, str]]:
    """Node → directory that follows a git repository → the commit that it is at, as the node itself says."""
    current = engine.releases.current()
    rules = {
        node.name: engine.rules(node.role, running[node.name], current)
        for node in engine.nodes
        if current and running.get(node.name)
    }
    names = [name for name, rule in rules.items() if rule.follow]
    if not names:
        return {}
    with engine.followers(ANSWER) as followers:
        said = followers.ask(names)
    unknown += [f"node {name}: what it follows: {each.message}" for name, each in said.items() if not each.ok]
    return {name: dict(said[name].follow) for name in names}


def _followed(revisions: t.Mapping[str, t.Mapping[str, str]]) -> list[str]:
    """Lines for people: each commit once, with its nodes."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, directories in revisions.items():
        for path, commit in directories.items():
            found.setdefault((path, commit), []).append(name)
    return [f"{path} is at {commit}: {_names(names)}" for (path, commit), names in sorted(found.items())]


def _word(identity: str, findings: t.Sequence[Finding] | None, follow: t.Mapping[str, str]) -> NodeAudit:
    """What there is to say of a node that has this image."""
    if findings is None:
        message = f"its image {identity or '(unknown)'} is not here, so that nobody knows what is in it"
    else:
        message = _names([f"{each.advisory} ({each.package} {each.version})" for each in findings], ", ")
    return NodeAudit(not message, message, identity, follow)


def _table(rows: t.Sequence[Occurrence]) -> list[str]:
    """Findings as lines for people, in columns."""
    if not rows:
        return ["nothing is affected"]
    cells: list[tuple[str, ...]] = [("advisory", "package", "version", "images", "composition", "releases", "nodes")]
    for row in rows:
        names = (_names(each) or "-" for each in (row.roles, row.releases, row.nodes))
        cells.append((row.advisory, row.package, row.version, str(len(row.images)), *names))
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]


def _caveats(unknown: t.Sequence[str]) -> list[str]:
    more = len(unknown) - UNKNOWN
    return [f"not known: {text}" for text in unknown[:UNKNOWN]] + ([f"and {more} more"] if more > 0 else [])


def _names(names: t.Sequence[t.Any], separator: str = " ") -> str:
    more = len(names) - SHOWN
    return separator.join(str(name) for name in names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
