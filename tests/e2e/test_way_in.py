# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays reach nodes from a controller that has nothing but the inventory, and a way to the host that runs them."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml
from builder import NAME, builder_of
from lab import PATIENCE
from tiny import Tiny

#: A controller elsewhere: no state of deployments, no Nix, no file of the user's.
ENTER = """
for hidden in "$1" /nix /var/lib/immutable-compose ~/.ssh ~/.ansible; do
  if [ -d "$hidden" ]; then mount -t tmpfs tmpfs "$hidden"; fi
done
shift
for program in $(command -v nix-instantiate nix); do mount --bind /dev/null "$(readlink -f "$program")"; done
exec env HOME="$HIS_HOME" "$@"
"""


class Elsewhere:
    """:param home: empty, and its only directory."""

    def __init__(self, lab: Tiny, home: Path) -> None:
        self.lab = lab
        self.home = home

    def run(self, program: str, *arguments: str | Path, inventory: Path | None = None) -> str:
        """Output of a command that ends as it should."""
        done = self.start(program, *arguments, inventory=inventory)
        assert done.returncode == 0, done.stdout
        assert "[DEPRECATION WARNING]" not in done.stdout
        return done.stdout

    def start(
        self, program: str, *arguments: str | Path, inventory: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        source = inventory or self.lab.inventory
        return subprocess.run(
            ["unshare", "--mount", "sh", "-ec", ENTER, "enter", self.lab.state.parent, self.lab.program(program)]
            + ["-i", source, *arguments],
            cwd=self.lab.directory,
            env={**self.lab.environment(), "HIS_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


@pytest.fixture(scope="module")
def lab(tiny_of: t.Callable[..., Tiny]) -> t.Iterator[Tiny]:
    lab = tiny_of(1, ["other"])
    with builder_of(lab):
        variables = {"compose_host": NAME, "ansible_user": "deploy", "ansible_port": 2222}
        (lab.inventory / "group_vars").mkdir()
        (lab.inventory / "group_vars" / "all.yml").write_text(yaml.safe_dump(variables))
        lab.play("deploy")
        yield lab
        (lab.inventory / "group_vars" / "all.yml").unlink()  # the host is gone when nodes are destroyed


@pytest.fixture
def elsewhere(lab: Tiny) -> t.Iterator[Elsewhere]:
    with TemporaryDirectory() as home:  # names of sockets are short
        yield Elsewhere(lab, Path(home))


def test_nodes_of_two_deployments_answer(elsewhere: Elsewhere) -> None:
    said = elsewhere.run("ansible", "immutable", "-m", "raw", "-a", "hostname", "-vvv")
    assert {"app1", "other"} <= set(said.split())
    assert "PRIVATE KEY" not in said
    accepted = elsewhere.lab.on("app1", "journalctl --no-pager --grep 'Accepted publickey.*ED25519-CERT'")
    assert "ID root@" in accepted  # who it was
    left = [path for path in elsewhere.home.rglob("*") if path.is_file()]
    assert left == []


PLAYS = """
- hosts: immutable
  gather_facts: false
  become: true
  tasks:
    - ansible.builtin.raw: hostname
      register: itself
      failed_when: itself.stdout_lines[-1] != inventory_hostname
    - ansible.builtin.raw: echo {{ item }}
      loop: [1, 2]
    - ansible.builtin.raw: touch /run/changed
      register: refused
      ignore_errors: true
    - ansible.builtin.assert: {that: "'is sealed' in refused.msg"}
    - ansible.builtin.raw: touch /run/changed
      vars: {immutable_unseal: a test}
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.raw: hostname
      delegate_to: other
      register: there
      failed_when: there.stdout_lines[-1] != 'other'
    - ansible.builtin.meta: reset_connection
"""


def test_plays_reach_them_with_what_a_controller_has_stored(elsewhere: Elsewhere, tmp_path: Path) -> None:
    play = tmp_path / "legacy.yml"
    play.write_text(PLAYS)
    handed = elsewhere.lab.handed()
    assert "PRIVATE KEY" not in handed.read_text()
    elsewhere.run("ansible-playbook", play, inventory=handed)
    assert elsewhere.lab.on("app1", "cat /run/compose/unsealed").count("\n") == 1


ROTATES = """
- hosts: immutable
  gather_facts: false
  tasks: &ask
    - ansible.builtin.raw: hostname
      register: itself
      failed_when: itself.stdout_lines[-1] != inventory_hostname
- import_playbook: immutable.compose.rotate
- hosts: immutable
  gather_facts: false
  tasks: *ask
"""


def test_keys_that_a_run_changes_let_its_own_plays_in(elsewhere: Elsewhere, tmp_path: Path) -> None:
    play = tmp_path / "rotates.yml"
    play.write_text(ROTATES)
    before = (elsewhere.lab.state / "ca").read_bytes()
    elsewhere.run("ansible-playbook", play, inventory=elsewhere.lab.handed())
    assert (elsewhere.lab.state / "ca").read_bytes() != before


def test_a_host_that_is_off_is_named(elsewhere: Elsewhere) -> None:
    done = elsewhere.start("ansible", "immutable", "-m", "raw", "-a", "hostname", "-e", "compose_host=builder2")
    assert done.returncode == 4
    for node in ("app1", "other"):
        said = done.stdout.partition(f"{node} | UNREACHABLE")[2]
        assert "compose_host builder2, through which nodes are reached: " in said.partition("UNREACHABLE")[0]


def test_what_a_controller_without_nix_reads_is_written(lab: Tiny, elsewhere: Elsewhere) -> None:
    missing = lab.play("evaluate", "--check", expect=2)
    assert missing.said("composition.json is missing or stale: ")
    lab.play("evaluate")
    assert "without its composition" not in elsewhere.run("ansible-inventory", "--list")
    lab.edit("v${toString", "w${toString")
    done = elsewhere.start("ansible-inventory", "--list")
    assert done.returncode != 0
    assert "does not match the files of the composition any more" in " ".join(done.stdout.split())
