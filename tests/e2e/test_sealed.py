# SPDX-License-Identifier: GPL-3.0-or-later
"""What plays that were there before can do to a sealed node; tests/sealed has those on other nodes."""

from __future__ import annotations

import json
import typing as t

import pytest
from beside import Site, site_in


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    with site_in(tmp_path_factory.mktemp("sealed")) as site:
        yield site


def test_what_may_change_a_node_is_refused_and_all_else_goes_through(site: Site) -> None:
    site.play_table("--limit", "sealed1")


def test_a_refusal_says_what_to_do_instead(site: Site) -> None:
    done = site.run("ansible", "sealed1", "-m", "copy", "-a", "content=x dest=/srv/x")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2
    assert "sealed1 is sealed: ansible.builtin.copy may change it" in said
    assert (
        f"Edit role 'front' of composition 'shop' in {site.directory / 'shop' / 'composition.nix'}, and deploy" in said
    )
    assert "'hosts: all:!immutable'" in said and "interpreter" not in said
    # With what a module of Python needs, or without.
    done = site.run(
        "ansible", "sealed1", "-m", "copy", "-a", "content=x dest=/srv/x", "-e", "ansible_python_interpreter=/no"
    )
    assert "sealed1 is sealed: ansible.builtin.copy may change it" in done.stdout + done.stderr


def test_a_node_that_is_unsealed_keeps_a_record(site: Site) -> None:
    done = site.run("ansible", "sealed1", "-m", "raw", "-a", "touch /srv/helped", "-e", "immutable_unseal='disk full'")
    assert done.returncode == 0, done.stdout
    assert "sealed1 is unsealed (disk full): what tasks change on it is gone when it boots again" in done.stderr
    record = site.run("ansible", "sealed1", "-m", "raw", "-a", "cat /run/compose/unsealed").stdout
    entry = json.loads(next(line for line in record.splitlines() if line.startswith("{")))
    assert (entry["reason"], entry["action"]) == ("disk full", "ansible.builtin.raw")
    assert site.hosts["sealed1"].written() == ["srv", "srv/helped"]
