"""Benchmark ``confined``: the build of a role in namespaces of its own, against the same build as root of this host.

Both sides run the same scripts with the same tools on the same packages, as root. What differs is ``enter.sh``, in
whose place the other side has ``unconfined.sh``. Each builds the root file system of a role anew, in turns; the median
counts.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from container import NODE
from lab import ROOT, Lab

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import REQUIRED, Debian
from ansible_collections.immutable.compose.plugins.module_utils.progress import Progress

GOAL = 1.1
ROUNDS = 5


def built(support: Path, lab: Lab) -> str:
    """Derivation of the role's root file system, which is in the store when this returns."""
    image = Debian(str(support), Progress()).build(
        str(lab.composition), {}, [NODE], ["root"], str(lab.directory / "roots")
    )
    asked = ["nix-store", "--query", "--deriver", os.path.realpath(image[NODE].path("root"))]
    return subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def again(derivation: str) -> float:
    """Seconds of building it a second time; the results must be the same."""
    settings = {**REQUIRED, "build-users-group": "", "substituters": ""}
    config = "\n".join(f"{key} = {value}" for key, value in settings.items())
    begin = time.monotonic()
    subprocess.run(
        ["nix-store", "--realise", "--check", derivation],
        env={**os.environ, "NIX_CONFIG": config},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - begin


def main() -> int:
    """Print the result; 0 if the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        lab = Lab(Path(name) / "lab", "web", {"platform": "nspawn"})
        lab.drop_kernels()
        other = Path(shutil.copytree(ROOT / "nix", Path(name) / "nix"))
        shutil.copy(Path(__file__).parent / "unconfined.sh", other / "debian" / "build" / "enter.sh")
        mine, theirs = built(ROOT / "nix", lab), built(other, lab)
        seconds: dict[str, list[float]] = {mine: [], theirs: []}
        for _round in range(ROUNDS):
            for derivation, taken in seconds.items():
                taken.append(again(derivation))
    ours, bare = (statistics.median(taken) for taken in seconds.values())
    print(f"confined: ours {ours:.1f} s, as root of this host {bare:.1f} s", file=sys.stderr)
    print(f"bench confined {ours / bare:.2f} {GOAL} {'met' if ours / bare <= GOAL else 'short'}")
    return 0 if ours / bare <= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
