# SPDX-License-Identifier: GPL-3.0-or-later
"""What plays that were there before can do to a sealed node; tests/sealed has those on other nodes."""

from __future__ import annotations

import json
import typing as t

import pytest
from beside import Site, site_in

DELEGATED = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.stat: {path: /etc/hostname}
      delegate_to: sealed1
    - ansible.builtin.raw: touch /srv/delegated
      delegate_to: sealed1
"""


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


def test_a_task_of_another_host_that_is_delegated_to_a_node_is_refused(site: Site) -> None:
    (site.directory / "other.yml").write_text(DELEGATED)
    done = site.run("ansible-playbook", "other.yml")
    assert done.returncode == 2
    said = " ".join((done.stdout + done.stderr).split())
    assert "sealed1 is sealed: ansible.builtin.raw may change it" in said and "Edit role 'front'" in said
    assert "ok: [localhost -> sealed1]" in done.stdout
    assert "srv/delegated" not in site.hosts["sealed1"].written()


def test_a_node_that_is_unsealed_keeps_a_record(site: Site) -> None:
    done = site.run("ansible", "sealed1", "-m", "raw", "-a", "touch /srv/helped", "-e", "immutable_unseal='disk full'")
    assert done.returncode == 0, done.stdout
    assert "sealed1 is unsealed (disk full): what tasks change on it is gone when it boots again" in done.stderr
    record = site.run("ansible", "sealed1", "-m", "raw", "-a", "cat /run/compose/unsealed").stdout
    entry = json.loads(next(line for line in record.splitlines() if line.startswith("{")))
    assert (entry["reason"], entry["action"]) == ("disk full", "ansible.builtin.raw")
    assert site.hosts["sealed1"].written() == ["srv", "srv/helped"]


def test_a_host_key_that_is_not_the_node_s_is_never_accepted(site: Site) -> None:
    """AWX runs all of its jobs without that check."""
    known_hosts = site.directory / "keys" / "known_hosts"
    good = known_hosts.read_text()
    known_hosts.write_text("")
    connect = {"ANSIBLE_HOST_KEY_CHECKING": "False", "ANSIBLE_SSH_ARGS": "-C"}  # no connection is kept
    done = site.run("ansible", "open1,warned1", "-m", "raw", "-a", "true", **connect)
    known_hosts.write_text(good)
    assert done.returncode == 4 and (done.stdout + done.stderr).count("Host key verification failed") >= 2
    assert site.run("ansible", "open1,warned1", "-m", "raw", "-a", "true", **connect).returncode == 0
