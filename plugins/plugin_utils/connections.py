# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections that Ansible keeps open to nodes (ControlPersist of OpenSSH). PRIVATE to the collection.

Ansible names their sockets by host name, port and user. Nodes of two deployments may have the same, and a connection to
a machine that was replaced leads nowhere, for as long as nobody notices.
"""

from __future__ import annotations

import hashlib
import os


def control_directory(state: str) -> str:
    """``ansible_control_path_dir`` of a deployment, by its state directory."""
    return f"~/.ansible/cp/compose-{hashlib.sha256(state.encode()).hexdigest()[:12]}"


def forget(state: str) -> None:
    """Let the next task connect anew to each node. Connections that lead nowhere end by themselves (ServerAlive…)."""
    directory = os.path.expanduser(control_directory(state))
    if os.path.isdir(directory):
        for entry in os.listdir(directory):
            os.unlink(os.path.join(directory, entry))
