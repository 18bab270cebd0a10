# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller elsewhere makes of the files of the host that runs the nodes."""

from __future__ import annotations

import base64
import os
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext

from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys, endpoints
from ansible_collections.immutable.compose.plugins.plugin_utils import connections, way_in
from ansible_collections.immutable.compose.plugins.plugin_utils.way_in import Gate

REACH = {
    "node1": Endpoint("10.87.0.1", proxy_command="nsenter --net=/run/netns/x nc %h %p"),
    "node2": Endpoint("127.0.0.1", 2201),
}


def gate(**variables: t.Any) -> Gate:
    return Gate("builder", t.cast(t.Any, {"builder": variables}), PlayContext())


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert endpoints(Keys(str(tmp_path)).ssh_config(REACH)) == REACH


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_controller_itself_is_no_gate(name: str) -> None:
    assert Gate(name, None, PlayContext()).is_here
    assert gate(ansible_connection="ansible.builtin.local").is_here
    assert not gate().is_here


def shown(tmp_path: Path, endpoint: Endpoint, program: str = "ssh") -> list[str]:
    """What OpenSSH runs to reach a node, word by word."""
    (tmp_path / program).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/words\n')
    (tmp_path / program).chmod(0o755)
    keys = Keys(str(tmp_path / "keys"))
    keys.write_access({})
    Path(keys.ssh_config_file).write_text(keys.ssh_config({"node": endpoint}))
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["/usr/bin/ssh", "-F", keys.ssh_config_file, "node"], env={"PATH": path}, check=False, timeout=60)
    return (tmp_path / "words").read_text().splitlines()


def test_nodes_are_reached_from_the_gate(tmp_path: Path) -> None:
    builder = gate(ansible_host="192.0.2.1", ansible_port=2222, ansible_ssh_common_args="-o ProxyCommand='x %h'")
    words = shown(tmp_path, builder.before(REACH["node2"]))
    assert words[-3:] == ["-W", "[127.0.0.1]:2201", "192.0.2.1"]
    assert "ProxyCommand=x %h" in words and "Port=2222" in words
    words = shown(tmp_path, builder.before(REACH["node1"]))
    assert words[-2:] == ["192.0.2.1", "/bin/sh -c 'exec nsenter --net=/run/netns/x nc 10.87.0.1 22'"]


def test_another_user_of_the_gate_becomes_who_runs_the_nodes(tmp_path: Path) -> None:
    words = shown(tmp_path, gate(ansible_user="me", ansible_become="yes").before(REACH["node1"]))
    assert words[-1].startswith("sudo -n -u root -- /bin/sh -c 'exec nsenter")


def test_a_host_that_is_not_reached_by_ssh_is_no_way(tmp_path: Path) -> None:
    with pytest.raises(AnsibleConnectionFailure, match=r"builder is reached by psrp, and nodes behind it need ssh"):
        gate(ansible_connection="psrp")


class Answers(Gate):
    """A gate that is asked in vain at first."""

    def __init__(self) -> None:
        super().__init__("builder", None, PlayContext())
        self.asked = 0

    def run(self, command: str, data: str) -> str:
        self.asked += 1
        raise AnsibleConnectionFailure("nobody is there")


def test_it_is_asked_once_by_all_forks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "directory_of_run", lambda: str(tmp_path))
    answers = Answers()
    for _dummy in range(3):
        with pytest.raises(AnsibleConnectionFailure, match="nobody is there"):
            way_in.way_in("/state/one", answers)
    assert answers.asked == 1
    with pytest.raises(AnsibleConnectionFailure):
        way_in.way_in("/state/two", answers)
    assert answers.asked == 2
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("compose-*/id_ed25519")} <= {0}


class Opens(Answers):
    """A gate that lets in, to nodes that have another address each time."""

    def run(self, command: str, data: str) -> str:
        self.asked += 1
        keys = Keys("/nowhere")
        texts = {
            "known_hosts": "",
            "ssh_config": keys.ssh_config({"node1": Endpoint(f"10.0.0.{self.asked}")}),
            "id-cert.pub": "CERTIFICATE",
        }
        return "".join(f"== {name}\n{base64.b64encode(text.encode()).decode()}\n" for name, text in texts.items())

    def before(self, endpoint: Endpoint) -> Endpoint:
        return endpoint


def test_it_is_found_anew_once_nodes_may_have_other_addresses_or_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "directory_of_run", lambda: str(tmp_path))
    opens = Opens()

    def address(state: str) -> str:
        return Path(way_in.way_in(state, opens)).read_text().split("HostName ")[1].split()[0]

    assert [address("/one"), address("/two"), address("/one")] == ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    connections.forget("/one")
    assert [address("/one"), address("/two"), address("/one")] == ["10.0.0.3", "10.0.0.2", "10.0.0.3"]


def test_a_line_lets_those_in_whose_keys_are_signed(tmp_path: Path) -> None:
    keys = Keys(str(tmp_path))
    kind, key = keys.run_authority().split()[:2]
    keys.host_key("node")  # the CA's file
    assert (kind, key) == ("cert-authority", (tmp_path / "ca.pub").read_text().split()[0])
