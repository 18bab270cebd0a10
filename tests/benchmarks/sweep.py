"""Benchmark ``sweep``: an experiment of 24 combinations with an empty script, over the deployments alone.

Both sides bring the same containers from one combination to the next, in the same order: the experiment, and a run of
the playbook ``deploy`` for each. Nothing is built: the images are the same for all of them, and are built before.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import yaml
from tiny import Tiny, tiny

GOAL = 1.2
CLIENTS = (1, 2, 3, 4)
SIZES = (1, 2, 3, 4, 5, 6)


def changes(clients: object, size: object) -> dict[str, object]:
    """Of the deployment file, for a combination: nodes come and go, and those that stay boot again."""
    return {"roles": {"app": clients}, "parameters": {"size": size}}


def alone(lab: Tiny) -> float:
    """Seconds that the deployments take."""
    seconds = 0.0
    for clients in CLIENTS:
        for size in SIZES:
            variables = json.dumps({"compose_changes": {"one": changes(clients, size)}})
            seconds += lab.play("deploy", "-e", variables, "--limit", "deployment_one", quiet=True).seconds
    return seconds


def swept(lab: Tiny) -> float:
    """Seconds that the experiment takes."""
    (lab.directory / "empty.py").write_text("pass\n")
    experiment = {
        "deployment": "one",
        "script": "empty.py",
        "changes": changes("$clients", "$size"),
        "sweep": {"clients": list(CLIENTS), "size": list(SIZES)},
    }
    (lab.directory / "bench.experiment.yml").write_text(yaml.safe_dump(experiment))
    start = time.monotonic()
    lab.play("experiment", "-e", "experiment_file=bench.experiment.yml", quiet=True)
    return time.monotonic() - start


def main() -> int:
    """Print the result; 0 if the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        lab = tiny(Path(name), CLIENTS[0], 0)
        lab.drop_test_script()
        try:
            lab.play("deploy", quiet=True)
            deployments = alone(lab)
            lab.play("deploy", quiet=True)
            experiment = swept(lab)
        finally:
            lab.play("destroy", "-e", '{"compose_data": true}', quiet=True)
    ratio = experiment / deployments
    print(f"sweep: the experiment {experiment:.0f} s; its deployments alone {deployments:.0f} s", file=sys.stderr)
    print(f"bench sweep {ratio:.2f} {GOAL} {'met' if ratio <= GOAL else 'short'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
