"""Benchmark ``inventory``: 10,000 nodes of a deployment file against a plugin that only adds what it reads.

Both sides are ``ansible-inventory --list --export`` with the same result; runs alternate, the fastest of each counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NODES = 10_000
RUNS = 7
GOAL = 1.3

ROOT = Path(__file__).resolve().parents[2]
MINIMUM = Path(__file__).resolve().parent / "minimum"

DEPLOYMENT = f"""
plugin: immutable.compose.composition
composition: {ROOT}/compositions/nfs
platform: {{name: qemu, memory: 512}}
roles:
  server:
    options: {{memory: 1024}}
  node:
    count: {NODES - 1}
    variables: {{rack: left}}
nodes:
  node7: {{address: 10.87.100.7}}
"""


def listing(source: Path, **env: str) -> tuple[float, str]:
    """Seconds and output of one listing."""
    command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(source), "--list", "--export"]
    start = time.monotonic()
    # In the directory of the source, so that no ansible.cfg takes part.
    done = subprocess.run(
        command, env={**os.environ, **env}, cwd=source.parent, stdout=subprocess.PIPE, text=True, check=True
    )
    return time.monotonic() - start, done.stdout


def main() -> int:
    """Print the result; 0 if the goal is met."""
    common = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}
    ours_env = {**common, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "collections")}
    minimum_env = {**common, "ANSIBLE_INVENTORY_PLUGINS": str(MINIMUM), "ANSIBLE_INVENTORY_ENABLED": "minimum"}
    with tempfile.TemporaryDirectory() as directory:
        ours, minimum = Path(directory, "bench.compose.yml"), Path(directory, "bench.json")
        ours.write_text(DEPLOYMENT)
        _seconds, listed = listing(ours, **ours_env)
        minimum.write_text(listed)
        times: dict[str, list[float]] = {"ours": [], "minimum": []}
        for _run in range(RUNS):
            for side, source, env in (("minimum", minimum, minimum_env), ("ours", ours, ours_env)):
                seconds, output = listing(source, **env)
                if json.loads(output) != json.loads(listed):
                    raise SystemExit(f"{side} lists something else")
                times[side].append(seconds)
    hosts = len(json.loads(listed)["_meta"]["hostvars"])
    if hosts != NODES:
        raise SystemExit(f"{hosts} hosts, expected {NODES}")
    best = {side: min(seconds) for side, seconds in times.items()}
    ratio = best["ours"] / best["minimum"]
    print(f"inventory: ours {best['ours']:.2f} s, minimum {best['minimum']:.2f} s", file=sys.stderr)
    print(f"bench inventory {ratio:.2f} {GOAL} {'met' if ratio <= GOAL else 'short'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
