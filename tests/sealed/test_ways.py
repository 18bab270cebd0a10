# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to a node that others have prepared for other machines: tasks, variables, and AWX's settings."""

from __future__ import annotations

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
#: What ``group_vars/all`` may say about other machines.
OTHERS = """
ansible_user: deploy
ansible_connection: ssh
ansible_port: 2222
ansible_become: true
ansible_ssh_common_args: -J bastion
ansible_ssh_extra_args: -J bastion
ansible_sftp_extra_args: -J bastion
ansible_scp_extra_args: -J bastion
ansible_ssh_private_key_file: /nowhere/key
ansible_ssh_executable: /nowhere/ssh
ansible_control_path: /nowhere/%%h
ansible_shell_type: powershell
ansible_shell_executable: /nowhere/bash
ansible_ssh_transfer_method: scp
ansible_remote_tmp: /nowhere/tmp
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    with site_in(tmp_path_factory.mktemp("ways")) as site:
        yield site


def test_a_task_of_another_host_that_is_delegated_to_a_node_is_refused(site: Site) -> None:
    (site.directory / "other.yml").write_text(DELEGATED)
    done = site.run("ansible-playbook", "other.yml")
    assert done.returncode == 2
    said = " ".join((done.stdout + done.stderr).split())
    assert "sealed1 is sealed: ansible.builtin.raw may change it" in said and "Edit role 'front'" in said
    assert "ok: [localhost -> sealed1]" in done.stdout
    assert "srv/delegated" not in site.hosts["sealed1"].written()


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


def test_group_vars_of_other_machines_do_no_harm(site: Site) -> None:
    variables = site.directory / "inventory" / "group_vars"
    variables.mkdir()
    (variables / "all.yml").write_text(OTHERS)
    fetch = f"src=/etc/hostname dest={site.directory}/fetched/"
    for module, arguments in (("raw", "true"), ("ping", ""), ("fetch", fetch)):
        done = site.run("ansible", "open1,warned1", "-m", module, "-a", arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    (variables / "all.yml").unlink()
    variables.rmdir()
