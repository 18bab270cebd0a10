"""Benchmark ``noop``: a deploy that has nothing to do, against a task per host to observe and one to verify.

Both sides have the same 1,000 hosts. With so many, and nothing to report, ours ends without a task for every host
(see playbooks/deploy.yml): the recap shows one host, where the other side shows all. Ours runs on a platform that
only answers, so that the collection's own cost is measured; the other side runs ``true`` on the controller.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from usage import Usage, run

NODES = 1000
GOAL = 80

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

DEPLOYMENT = """
plugin: immutable.compose.composition
composition: web
name: noop
platform: answers
state_dir: state
roles:
  proxy: 1
  database: 1
  backend: {backends}
"""

TASKS = f"""
- hosts: all
  gather_facts: false
  vars:
    ansible_connection: local
    ansible_python_interpreter: {sys.executable}
  tasks:
    - name: Observe
      ansible.builtin.command: "true"
      changed_when: false
    - name: Verify
      ansible.builtin.command: "true"
      changed_when: false
"""


def collection_with(directory: Path, *parts: tuple[str, Path, str]) -> Path:
    """A copy of the collection with more platforms or builders: each is one file, and one line in a registry.

    :param parts: ``platforms`` or ``builders``, the file, and the class in it.
    """
    copy = directory / "ansible_collections" / "immutable" / "compose"
    for part in ("plugins", "playbooks", "roles", "meta", "nix", "galaxy.yml"):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, copy / part)
        else:
            shutil.copy(source, copy / part)
    for kind, file, name in parts:
        room = copy / "plugins" / "module_utils" / kind
        shutil.copy(file, room)
        with open(room / "registry.py", "a", encoding="utf-8") as registry:
            registry.write(f"\nfrom .{file.stem} import {name}  # noqa: E402\n\n{kind.upper()}[{name}.name] = {name}\n")
    return directory


def play(directory: Path, *args: str) -> tuple[Usage, str]:
    """What one ``ansible-playbook`` took, and its output."""
    env = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(directory),
        "ANSIBLE_FORKS": "5",
    }
    return run([str(BIN / "ansible-playbook"), *args], cwd=directory, env=env)


def site(directory: Path, nodes: int) -> None:
    """A deployment of many nodes on a platform that only answers, in ``noop.compose.yml``; nothing runs yet."""
    collection_with(directory, ("platforms", Path(__file__).parent / "platforms" / "answers.py", "Answers"))
    shutil.copytree(ROOT / "compositions" / "web", directory / "web")
    composition = directory / "web" / "composition.nix"
    composition.write_text(composition.read_text().partition("  testScript = ")[0] + "}\n")
    (directory / "noop.compose.yml").write_text(DEPLOYMENT.format(backends=nodes - 2))


def main() -> int:
    """Print the result; 0 if the goal is met."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        site(directory, NODES)
        (directory / "tasks.yml").write_text(TASKS)
        deploy = ("-i", "noop.compose.yml", "immutable.compose.deploy")
        play(directory, *deploy)
        ours = min((play(directory, *deploy)[0] for _run in range(3)), key=lambda usage: usage.seconds)
        _usage, output = play(directory, *deploy)
        if "changed=1" in output:
            raise SystemExit(f"the run changed something:\n{output[-2000:]}")
        (directory / "hosts.yml").write_text(f"all:\n  hosts:\n    host[1:{NODES}]:\n")
        theirs, _output = play(directory, "-i", "hosts.yml", "tasks.yml")
    ratio = theirs.seconds / ours.seconds
    print(f"noop: ours {ours}; a task per host {theirs}", file=sys.stderr)
    print(f"bench noop {ratio:.1f} {GOAL} {'met' if ratio >= GOAL else 'short'}")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
