# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmark ``audit``: 1,000 advisories over 200 images and 1,000 nodes, against only reading what it reads.

Both sides run in this process, and count its CPU time. Ours is all that the module does for a deployment but the
evaluation of the composition, which is Nix's; the other side loads the ``image.json`` of the same images. Runs
alternate, the fastest of each counts.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.immutable.compose.plugins.module_utils.deploy.audit import audit
from ansible_collections.immutable.compose.plugins.module_utils.deploy.engine import Engine
from ansible_collections.immutable.compose.plugins.module_utils.model import codec
from ansible_collections.immutable.compose.plugins.module_utils.model.boot import Seen
from ansible_collections.immutable.compose.plugins.module_utils.model.composition import Composition, Role
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment, Node
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, Package
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

IMAGES, PACKAGES, NODES, ADVISORIES = 200, 400, 1000, 1000
RUNS = 5
GOAL = 20


def identity(number: int) -> str:
    return f"{number:032x}-bench-role{number}"


def write_images(roots: Path) -> None:
    """Images of one distribution, built at different times: each time, some packages have another version."""
    chance = random.Random(1)
    minor = [0] * PACKAGES
    for number in range(IMAGES):
        for package in chance.sample(range(PACKAGES), PACKAGES // 20):
            minor[package] += 1
        packages = tuple(
            Package(f"package{each}", f"1.{minor[each]}-1+deb12u1", source=f"source{each}") for each in range(PACKAGES)
        )
        image = Image(f"role{number}", "debian", identity(number), "amd64", {}, packages=packages)
        codec.write(str(roots / identity(number) / "image.json"), image)


def advisories() -> list[dict[str, str]]:
    """Half of them are about packages that the images have, in versions that the first images have."""
    return [
        {"id": f"CVE-{number}", "package": f"package{number % (2 * PACKAGES)}", "versions": "< 1.1"}
        for number in range(ADVISORIES)
    ]


def main() -> int:
    """Print the result; 0 if the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        write_images(state / "roots")
        nodes = tuple(Node(f"node{number}", f"role{number % IMAGES}", number) for number in range(NODES))
        deployment = Deployment("bench", "", "debian", "nspawn", nodes, state=name)
        engine = Engine(deployment, [node.name for node in nodes], "", Progress())
        roles = {f"role{number}": Role(f"role{number}", identity(number)) for number in range(IMAGES)}
        composition = Composition("bench", "debian", "", "", roles)
        seen = {node.name: Seen("running", identity(number % IMAGES)) for number, node in enumerate(nodes)}
        engine.desired.evaluate = lambda: composition
        engine.platform.observe = lambda nodes: seen
        ours, reading = [], []
        for _run in range(RUNS):
            start = time.process_time()
            for path in sorted((state / "roots").glob("*/image.json")):
                json.loads(path.read_text())
            reading.append(time.process_time() - start)
            start = time.process_time()
            result = audit(engine, advisories())
            ours.append(time.process_time() - start)
        if result.unknown or not result.failed_nodes or not result.findings:
            raise SystemExit("the audit did not find what is there")
    ratio = min(ours) / min(reading)
    print(
        f"audit: ours {min(ours):.2f} s ({len(result.findings)} findings), only reading {min(reading):.2f} s",
        file=sys.stderr,
    )
    print(f"bench audit {ratio:.1f} {GOAL} {'met' if ratio <= GOAL else 'short'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
