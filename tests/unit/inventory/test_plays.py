# SPDX-License-Identifier: GPL-3.0-or-later
"""``lint_legacy``: which plays of a repository reach nodes, by the public playbook."""

from __future__ import annotations

import pytest

from .conftest import Site

LEGACY = "[legacy]\nold1\nold2\n"
PLAYS = """---
# everything
- name: Patch
  hosts: all
  serial: 2
  tasks: []
- hosts: all:!immutable
- hosts:
    - legacy
    - server
  vars: {secret: !vault x}
- hosts: legacy
- hosts: "{{ target }}"
- hosts: "{{ target | default('role_node') }}"
- hosts: "{{ lookup('immutable.compose.nodes') }}"
- import_playbook: other.yml
"""


@pytest.fixture
def repository(site: Site) -> Site:
    (site.directory / "10-legacy.ini").write_text(LEGACY)
    site.write("\nname: demo\nstate_dir: state\n", file="20-demo.compose.yml")
    return site


def test_plays_that_reach_nodes(repository: Site) -> None:
    path = repository.directory.parent / "playbooks"
    (path / "deep").mkdir(parents=True)
    (path / "site.yml").write_text(PLAYS)
    (path / "deep" / "broken.yml").write_text("- hosts: [all\n")
    (path / "deep" / "tasks.yaml").write_text("- ping:\n")
    where = ("-i", repository.directory, "-e", f"compose_path={path}")
    linted = repository.run("ansible-playbook", *where, "immutable.compose.lint_legacy")
    assert linted.returncode == 1, linted.stdout
    assert "3 plays reach immutable nodes, see above" in " ".join(linted.stderr.split())
    for said in (
        "site.yml:4: hosts: all reaches 2 nodes (node, server) and 2 other hosts; write hosts: all:!immutable. With",
        "site.yml:8: hosts: legacy,server reaches 1 nodes (server) and 2 other hosts; write hosts: legacy,server,!",
        "site.yml:14: hosts: {{ target | default('role_node') }} reaches 1 nodes (node) and no other host: what it",
        "site.yml:13: hosts: {{ target }} is known only in its play",
    ):
        assert said in linted.stdout, linted.stdout
    assert linted.stdout.count("site.yml:") == 4
    (path / "site.yml").write_text("- hosts: all:!immutable\n- hosts: legacy\n")
    linted = repository.run("ansible-playbook", *where, "immutable.compose.lint_legacy")
    assert (linted.returncode, linted.stderr) == (0, ""), linted.stdout
