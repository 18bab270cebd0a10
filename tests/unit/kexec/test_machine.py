# SPDX-License-Identifier: GPL-3.0-or-later
"""Who answers at the address of a machine, as OpenSSH's client tells."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import CommandError, ComposeError
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec import machine
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kexec.machine import Login, Machine
from ansible_collections.immutable.compose.plugins.module_utils.process import Completed

REFUSED = Completed(255, "", "ssh: connect to host 192.0.2.7 port 22: Connection refused\n")
DENIED = Completed(255, "", "admin@192.0.2.7: Permission denied (publickey).\n")
OTHER_KEY = Completed(255, "", "Host key verification failed.\n")
OWN = Completed(0, "boot 1\narchitecture x86_64\nmemory 1000\n", "")
NODE = Completed(0, "boot 2\narchitecture x86_64\nowner lab/web1\nidentity v1\n", "")


class Client:
    """In place of ssh: says one thing after another, the last again and again."""

    def __init__(self, *says: Completed) -> None:
        self.says = list(says)
        self.commands: list[list[str]] = []

    def run(self, command: list[str], **options: t.Any) -> Completed:
        self.commands.append(command)
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]


def made(
    directory: Path, patch: pytest.MonkeyPatch, client: Client, user: str = "admin", become: bool = True
) -> Machine:
    patch.setattr(machine, "run", client.run)
    patch.setattr(machine, "POLL", 0.01)
    (directory / "known_hosts").write_text("")
    login = Login("192.0.2.7", 2222, user, become, "/key", "/known hosts", 22)
    return Machine("web1", login, Keys(str(directory)))


def test_its_own_linux_has_its_own_user_port_and_host_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(OWN)
    answer = made(tmp_path, monkeypatch, client).ask()
    assert answer is not None and answer.node is None
    (command,) = client.commands
    words = " ".join(command)
    assert "-p 2222 -l admin -- 192.0.2.7 sudo -n -- sh -c " in words and "-i /key" in words
    assert "StrictHostKeyChecking=yes" in words and 'UserKnownHostsFile="/known hosts"' in words


def test_a_node_is_asked_with_the_keys_of_the_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(OTHER_KEY, NODE)
    answer = made(tmp_path, monkeypatch, client).ask()
    assert answer is not None and answer.node is not None and answer.node.owner == "lab/web1"
    words = " ".join(client.commands[1])
    assert "HostKeyAlias=web1" in words and "-p 22 -l root" in words and "sudo" not in words
    assert f"-i {tmp_path}/id_ed25519" in words


def test_nobody_answers_and_it_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = made(tmp_path, monkeypatch, Client(REFUSED))
    assert there.ask() is None
    assert there.why == "ssh: connect to host 192.0.2.7 port 22: Connection refused"


@pytest.mark.parametrize(
    ("user", "become", "sudo"), [("root", True, False), ("admin", False, False), ("admin", True, True)]
)
def test_who_becomes_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str, become: bool, sudo: bool) -> None:
    client = Client(OWN)
    made(tmp_path, monkeypatch, client, user, become).ask()
    assert ("sudo -n --" in " ".join(client.commands[0])) == sudo


def test_who_cannot_become_root_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = made(tmp_path, monkeypatch, Client(Completed(1, "", "sudo: a password is required\n")))
    with pytest.raises(ComposeError, match=r"admin cannot become root there: sudo: a password is required"):
        there.ask()


def test_what_lets_nobody_in_any_more_has_not_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(DENIED, DENIED, REFUSED)
    made(tmp_path, monkeypatch, client).wait_for_end(10)
    assert len(client.commands) == 3
    made(tmp_path, monkeypatch, Client(OTHER_KEY)).wait_for_end(10)
    with pytest.raises(ComposeError, match="own Linux has not ended within 0 s"):
        made(tmp_path, monkeypatch, Client(DENIED)).wait_for_end(0)


def test_a_command_that_fails_is_no_connection_that_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = made(tmp_path, monkeypatch, Client(Completed(1, "", "no kernel\n")))
    with pytest.raises(CommandError, match="no kernel"):
        there.do("starting", "true", may_break=True)
    made(tmp_path, monkeypatch, Client(REFUSED)).do("starting", "true", may_break=True)
    with pytest.raises(CommandError, match="Connection refused"):
        made(tmp_path, monkeypatch, Client(REFUSED)).do("copying", "true")
