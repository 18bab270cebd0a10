# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people's own tools reach the nodes with, beside ``ssh_config``. PRIVATE to the collection.

Below the state directory of the deployment::

    connect          a shell on each node, in panes of tmux: connect.sh, with its first line
    clustershell/    for ``CLUSTERSHELL_CFGDIR``: clush.conf, groups.conf, and groups.d/

The formats are those of clush.conf(5), groups.conf(5) and ClusterShell's YAML group files.
"""

from __future__ import annotations

import json
import os
import shlex
import typing as t
from contextlib import suppress

from ..files import write_text

_CONNECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "connect.sh")
_GROUPS = "[Main]\ndefault: role\nautodir: $CFGDIR/groups.d\n"


def write_tools(state: str, deployment: str, roles: t.Mapping[str, t.Sequence[str]]) -> None:
    """Write them; files that are right already are left alone.

    :param roles: the names of each role's nodes.
    """
    with open(_CONNECT, encoding="utf-8") as stream:
        connect = f"#!/bin/sh\n{stream.read()}"
    every = [name for names in roles.values() for name in names]
    groups = {role: ",".join(names) for role, names in {"all": every, **roles}.items()}
    # ClusterShell reads it with ConfigParser.
    options = f"-F {shlex.quote(os.path.join(state, 'ssh_config'))}".replace("%", "%%")
    texts = {
        "clustershell/clush.conf": f"[Main]\nssh_options: {options}\n",
        "clustershell/groups.conf": _GROUPS,
        "clustershell/groups.d/local.cfg": "",  # ClusterShell's own configuration has a source that reads it
        "clustershell/groups.d/compose.yaml": json.dumps({"role": groups, deployment: groups}, indent=2) + "\n",
        "connect": connect,
    }
    for name, text in texts.items():
        _write(os.path.join(state, name), text, 0o755 if name == "connect" else 0o644)


def _write(path: str, text: str, mode: int) -> None:
    with suppress(FileNotFoundError), open(path, encoding="utf-8", errors="replace") as stream:
        if stream.read() == text:
            return
    write_text(path, text, mode)
