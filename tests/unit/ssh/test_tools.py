# SPDX-License-Identifier: GPL-3.0-or-later
"""What people's own tools are given, wherever the state directory is. That they take it is tested on nodes."""

from __future__ import annotations

import os
import shlex
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.nodes.endpoint import Endpoint
from ansible_collections.immutable.compose.plugins.module_utils.nodes.keys import Keys
from ansible_collections.immutable.compose.plugins.module_utils.nodes.tools import write_tools


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / "100% $CFGDIR state"
    write_tools(str(state), "lab", {"node": ["node1", "node2"], "server": ["db"]})
    return state


def test_clush_finds_the_configuration_of_ssh(state: Path) -> None:
    configuration = ConfigParser()
    configuration.read(state / "clustershell/clush.conf")
    assert shlex.split(configuration["Main"]["ssh_options"]) == ["-F", str(state / "ssh_config")]
    environment = {**os.environ, "CLUSTERSHELL_CFGDIR": str(state / "clustershell")}
    shown = subprocess.run(["nodeset", "-f", "@lab:all"], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == "db,node[1-2]\n"


def test_connect_names_what_is_there(state: Path) -> None:
    Keys(str(state)).write_access({"node1": Endpoint("10.87.0.1")})
    refused = subprocess.run([state / "connect", "node2"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (1, f"connect: no node 'node2' in {state}/ssh_config\n")
    Keys(str(state)).write_access({})
    refused = subprocess.run([state / "connect"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (1, f"connect: no node in {state}/ssh_config\n")
