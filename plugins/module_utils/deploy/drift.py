# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes are not what was released any more, though nobody deployed. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

from ..checks.drift import files_and_units, user_changes
from ..checks.follow import COMMIT, followed
from ..checks.judge import unsealed
from ..describe.units import matches
from ..errors import ComposeError, InputError
from ..images.listing import Listing, can_list, declares, list_image
from ..model.deployment import Node
from ..model.findings import Changes, Drifted, NodeDrift, UnitChanges
from ..model.release import Release
from ..model.result import NodeResult
from ..model.step import Checked
from ..nodes.declared import LOOK, Declared, declared
from ..nodes.look import look, sight_of
from ..nodes.probe import facts_of, glance
from ..nodes.words import clean
from .engine import Engine
from .looking import verify
from .results import failed

#: Nodes that are asked at the same time, and seconds for one to answer.
PARALLEL, ANSWER = 32, 60.0
#: Names of a kind that a message has at most.
SHOWN = 5
#: Between what a node says of itself and what of its files.
PART = "printf '\\0'\n"


def drift(engine: Engine, ignore: t.Mapping[str, str], release: str = "current") -> Drifted:
    """Hold the nodes of the batch against a kept release.

    :param ignore: patterns for paths that may differ, besides those that every node writes; and why.
    :raises InputError: a pattern has no reason, or nothing was released yet.
    """
    for pattern, reason in ignore.items():
        if not pattern.startswith("/") or not str(reason or "").strip():
            raise InputError(
                f"ignore: {pattern!r}: {reason!r}, expected a pattern of paths (/…), and why they may differ"
            )
    kept = engine.releases.find(release)
    unknown: list[str] = []
    images = _images(engine, kept, unknown)
    nodes: dict[str, NodeDrift] = {}

    def look(node: Node) -> NodeDrift:
        try:
            return _look(engine, node, kept, images, list(ignore))
        except ComposeError as error:
            return NodeDrift(False, clean(error.message))

    def describe() -> str:
        return f"drift: {len(nodes)} of {len(engine.nodes)} nodes have answered"

    with engine.progress.waiting(describe), ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        for node, found in zip(engine.nodes, pool.map(look, engine.nodes)):
            nodes[node.name] = found
            if not found.ok:
                engine.progress.say(f"drift {node.name}: {found.message}")
    roles = {node.name: node.role for node in engine.nodes}
    unknown += dict.fromkeys(f"role {roles[name]}: {why}" for name, found in nodes.items() for why in found.unknown)
    drifted = sorted(name for name, found in nodes.items() if found.drifted)
    bad = sorted(name for name, found in nodes.items() if not found.ok)
    return Drifted(False, nodes, bad, drifted, kept.number, unknown)


def verify_and_drift(engine: Engine, release: str, ignore: t.Mapping[str, str], *, pretend: bool) -> Checked:
    """The checks of a kept release, and that nobody has changed the nodes as one more.

    :param ignore: as of :func:`drift`.
    :param pretend: as of :func:`.looking.verify`.
    """
    checked = verify(engine, release, pretend=pretend)
    found = drift(engine, ignore, release)

    def judged(name: str, result: NodeResult) -> NodeResult:
        if name not in found.drifted:
            return result
        told = "; ".join(filter(None, (result.message if not result.ok else "", f"drift: {found.nodes[name].message}")))
        evidence = replace(result.evidence, checks=[*result.evidence.checks, "drift"])
        return replace(result, ok=False, message=told, evidence=evidence)

    nodes = {name: judged(name, result) for name, result in checked.nodes.items()}
    asked = [name for name, node in found.nodes.items() if node.ok or node.drifted]
    counts = {"passed": len(asked) - len(found.drifted), "failed": len(found.drifted)}
    checks = {what: count + (checked.checks or {}).get(what, 0) for what, count in counts.items()}
    return replace(checked, nodes=nodes, failed_nodes=failed(nodes), checks=checks)


def _images(engine: Engine, kept: Release, unknown: list[str]) -> dict[str, Listing | None]:
    """Identity → the files of the images that nodes of the batch should run, of those that are here.

    ``None``: its nodes know themselves what they should be.
    """
    found: dict[str, Listing | None] = {}
    roles = {kept.image(node.name, node.role): node.role for node in engine.nodes}
    for identity, role in sorted((identity, role) for identity, role in roles.items() if identity):
        try:
            image = engine.releases.image(identity)
            if declares(image) or can_list(image):
                found[identity] = None if declares(image) else list_image(image)
            else:
                have = ", ".join(sorted(image.formats))
                unknown.append(f"files and users of role {role}: its image has no root file system here, but {have}")
        except (ComposeError, OSError) as error:
            unknown.append(f"files and users of role {role}: {error}")
    return found


def _look(
    engine: Engine, node: Node, kept: Release, images: t.Mapping[str, Listing | None], ignored: t.Sequence[str]
) -> NodeDrift:
    from ..nodes.connection import connect  # with paramiko, which the other steps need not wait for

    meant = kept.image(node.name, node.role)
    if meant is None:
        return NodeDrift(False, f"release {kept.number} has no image for its role {node.role!r}")
    may_fail = (*engine.deployment.may_fail, *kept.may_fail.get(node.role, ()))
    platform = engine.platform
    connection = platform.shell(node) or connect(node.name, platform.endpoint(node), engine.keys)
    image = images.get(meant)
    what = look(image.newest) if image else LOOK if meant in images else ""
    try:
        output = connection.run(f"{glance()}\n{what and PART + what}", ANSWER)
        words, _end, records = output.stdout.partition(b"\0")
        facts, seen = facts_of(replace(output, stdout=words)), replace(output, stdout=records)
        running = clean(" ".join(facts.get("identity", [])))
        as_meant = running == meant and meant in images
        if image:
            sight = sight_of(seen, image.newest)
            if as_meant and not sight.reliable:
                sight = sight_of(connection.run(look(), ANSWER))
            known = Declared(image, sight)
        else:
            known = declared(seen)
    finally:
        connection.close()
    units = UnitChanges()
    files = users = Changes()
    if as_meant:
        users = user_changes(known.image.users, known.sight.users)
        files, units = files_and_units(known.image, known.sight, ignored, users)
    said = followed(facts)
    failed = [clean(unit) for unit in facts.get("failed", []) if not matches(unit, may_fail)]
    found = NodeDrift(
        True,
        running="" if running == meant else running or "(unknown)",
        files=files,
        units=replace(units, failed=failed),
        users=users,
        unsealed=unsealed(facts.get("unsealed", [])),
        follow={path: told.revision for path, told in said.items() if told.revision},
        edited={path: told.differs for path, told in said.items() if told.differs},
        unknown=known.unknown if as_meant else (),
    )
    message = _told(found, meant)
    return replace(found, ok=not message, drifted=bool(message), message=message)


def _told(found: NodeDrift, meant: str) -> str:
    """All of it in one line; empty if there is nothing to say."""
    parts = [f"runs {found.running}, expected {meant}"] if found.running else []
    for what, changes in (("files", found.files), ("units", found.units), ("users", found.users)):
        for field in fields(changes):
            names = getattr(changes, field.name)
            if names:
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                parts.append(f"{what} {field.name}: {', '.join(names[:SHOWN])}{more}")
    for path, names in found.edited.items():
        parts.append(f"{path} differs from {found.follow.get(path, '')[:COMMIT]}: {', '.join(names)}")
    parts += [f"unsealed: {reason}" for reason in found.unsealed]
    return clean("; ".join(parts))
