"""Benchmark ``plan10k``: the playbook ``plan`` on 10,000 nodes, against a task that reads one variable of every host.

Both sides run on the same inventory, our own, so that what Ansible takes to read 10,000 hosts counts for both. The
nodes are on a platform that only answers, and run what they should already; the plan before, when none of them
exists, is made as well, but not measured.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from noop import play, site
from usage import Usage

NODES = 10_000
RUNS = 3
GOAL = 3

#: The deploy alone, without a report for each host.
DEPLOY = """
- hosts: immutable
  gather_facts: false
  tasks:
    - name: Deploy
      ansible.builtin.import_role:
        name: immutable.compose.deploy
        tasks_from: steps
        rolespec_validate: false
"""

READ = """
- hosts: immutable
  gather_facts: false
  tasks:
    - name: Read one variable of every host
      ansible.builtin.debug:
        msg: "{{ groups['immutable'] | map('extract', hostvars, 'compose_role') | unique | sort }}"
      run_once: true
"""


def main() -> int:
    """Print the result; 0 if the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        site(directory, NODES)
        (directory / "deploy.yml").write_text(DEPLOY)
        (directory / "read.yml").write_text(READ)
        inventory = ("-i", "noop.compose.yml")
        _usage, output = play(directory, *inventory, "immutable.compose.plan")
        require(rf"plan: {NODES} create", output)
        play(directory, *inventory, "deploy.yml")
        sides: dict[str, list[Usage]] = {"plan": [], "read": []}
        for _run in range(RUNS):
            usage, output = play(directory, *inventory, "immutable.compose.plan")
            require(rf"plan: {NODES} keep", output)
            sides["plan"].append(usage)
            usage, output = play(directory, *inventory, "read.yml")
            require("proxy", output)
            sides["read"].append(usage)
    ours, theirs = (min(usages, key=lambda usage: usage.seconds) for usages in sides.values())
    ratio = ours.seconds / theirs.seconds
    print(f"plan10k: ours {ours}; reading one variable {theirs}", file=sys.stderr)
    print(f"bench plan10k {ratio:.2f} {GOAL} {'met' if ratio <= GOAL else 'short'}")
    return 0 if ratio <= GOAL else 1


def require(pattern: str, output: str) -> None:
    if not re.search(pattern, output):
        raise SystemExit(f"no {pattern!r} in:\n{output[-2000:]}")


if __name__ == "__main__":
    raise SystemExit(main())
