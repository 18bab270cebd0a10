# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs, held against a kept release; by its own test script or by one of the user. PRIVATE to the collection."""

from __future__ import annotations

import os
import platform
import shutil
from contextlib import nullcontext
from dataclasses import replace

from ..checks.script import abilities_of
from ..model.journal import Verified
from ..model.release import Release
from ..model.report import Provenance
from ..model.step import Checked
from ..progress import listed
from .engine import Engine, Given
from .results import failed

#: What every verification leaves in the directory of its results.
_REPORTS = ("results.json", "junit.xml")


def verify(engine: Engine, release: str, *, pretend: bool = False) -> Checked:
    """Check what runs. Changes nothing but the results.

    A test script that does something to machines takes the deployment for that time.

    :param release: that nodes have to be of.
    :param pretend: run no script that does something to machines.
    """
    kept = engine.releases.find(release)
    return _checked(_look(engine, kept, None, Given(), pretend=pretend), kept)


def run_script(engine: Engine, release: str, script: str, given: Given, *, pretend: bool = False) -> Checked:
    """The same with a test script of the user in place of the release's own.

    :param given: to the script.
    """
    kept = engine.releases.find(release)
    engine.desired.warnings += engine.desired.check_script(script, given.values)
    results = os.path.join(engine.state, "results", "script")
    shutil.rmtree(results, ignore_errors=True)  # what an earlier script has copied is not of this one
    verified = _look(engine, kept, script, given, pretend=pretend)
    return replace(
        _checked(verified, kept),
        records=verified.records,
        results=results,
        files=_files(results),
        provenance=_provenance(engine, kept, verified),
    )


def _look(engine: Engine, kept: Release, script: str | None, given: Given, *, pretend: bool) -> Verified:
    desired = engine.desired.released(kept, sorted({node.role for node in engine.nodes}))
    meant = {node.name: desired.image(node) for node in engine.nodes} if given.checks else {}
    waiting = [node.name for node in engine.nodes if node.name in kept.node_images]
    if waiting:
        engine.progress.say(f"verify: not of release {kept.number}, but on what was verified before: {listed(waiting)}")
    test_script, name = (desired.meaning.test_script, "verify") if script is None else (script, "script")
    handles = bool(abilities_of(test_script))
    if handles and pretend:
        engine.progress.say(f"{name}: in check mode the test script is not run, which switches or unplugs machines")
        test_script = ""
    with engine.claim if handles and not pretend else nullcontext():
        return engine.check(
            meant,
            desired.meaning,
            test_script,
            name,
            alone=handles and not pretend,
            given=given if script is not None else None,
        )


def _checked(verified: Verified, kept: Release) -> Checked:
    failures = verified.failures()
    everybody = verified.script if not failures else ""
    nodes = {
        node: replace(result, ok=not (message or everybody), message=message or everybody)
        for node, result in verified.nodes.items()
        for message in [failures.get(node, "")]
    }
    return Checked(False, nodes, failed(nodes), verified.checks, verified.script, kept.number)


def _files(directory: str) -> list[str]:
    """What a script has copied from machines, relative to the directory."""
    found = (
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, _folders, names in os.walk(directory)
        for name in names
    )
    return sorted(path for path in found if path not in _REPORTS)


def _provenance(engine: Engine, kept: Release, verified: Verified) -> Provenance:
    deployment = engine.deployment
    images: dict[str, str] = {}
    for node in deployment.nodes:
        image = kept.image(node.name, node.role)
        if image is not None:
            images.setdefault(node.role, image)
    return Provenance(
        composition=kept.composition_name,
        digest=kept.composition,
        revision=kept.revision,
        release=kept.number,
        builder=deployment.builder,
        platform=deployment.platform,
        host=platform.node(),
        images=images,
        nodes={node.name: node.role for node in deployment.nodes},
        machines=verified.facts,
    )
