# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Ansible's connection plugins reach nodes. PRIVATE to the collection.

They keep connections open (ControlPersist of OpenSSH) and names their sockets by host name, port and user. Nodes of two
deployments may have the same, and a connection to a machine that was replaced leads nowhere, for as long as nobody
notices.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shlex
import shutil
from contextlib import suppress
from glob import escape, glob

from ansible import constants
from ansible.plugins.loader import connection_loader

from ansible_collections.immutable.compose.plugins.module_utils.files import replace_link
from ansible_collections.immutable.compose.plugins.plugin_utils.memory import directory_of_run

#: What finds the way to a node, and lets only those tasks through that do not change it.
SEALED = "immutable.compose.sealed_ssh"

#: Characters that the directory of a socket may have. The kernel takes 108, with Ansible's name and SSH's ending.
LONGEST = 108 - 30

#: What ``group_vars/all`` may say about other machines. All names count that the connection plugin ssh reads, and the
#: last one wins; null is as good as not set.
_OF_OTHERS = (
    "ansible_ssh_host",
    "ansible_port",
    "ansible_ssh_port",
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_password",
    "ansible_private_key",
    "ansible_ssh_private_key",
    "ansible_private_key_file",
    "ansible_ssh_private_key_file",
    "ansible_ssh_pkcs11_provider",
    "ansible_ssh_args",
    "ansible_ssh_extra_args",
    "ansible_sftp_extra_args",
    "ansible_scp_extra_args",
    "ansible_ssh_executable",
    "ansible_control_path",
    "ansible_ssh_pipelining",
    "ansible_shell_executable",
)


def reached(state: str, seal: str) -> dict[str, str | bool | None]:
    """Variables of a node that say how it is reached, but for its name.

    They belong to hosts: variables that an inventory plugin gives to a group lose against ``group_vars/all``.

    :param state: directory of its deployment.
    :param seal: what happens to tasks that may change it: ``refuse``, ``warn`` or ``off``.
    """
    return {
        "ansible_connection": SEALED,
        "compose_sealed": seal,
        **sealed(seal),
        # In memory. Tasks in check mode leave directories, too.
        **({} if seal == "off" else {"ansible_remote_tmp": "/run/ansible"}),
        "ansible_user": "root",
        "ansible_ssh_user": "root",
        "ansible_become": False,
        "ansible_ssh_common_args": ssh_arguments(ssh_config_in(state)),
        "ansible_shell_type": "sh",
        # AWX says otherwise for all jobs. The keys of nodes are known, so nothing else is ever to be accepted.
        "ansible_host_key_checking": True,
        "ansible_ssh_host_key_checking": True,
        **dict.fromkeys(_OF_OTHERS),
    }


def sealed(seal: str) -> dict[str, str | bool]:
    """Variables of a node by which tasks that may change it are refused, or warned of."""
    if seal == "off":
        return {}
    # With pipelining, modules that only read leave no files.
    return {"ansible_connection": SEALED, "compose_sealed": seal, "ansible_pipelining": True}


def ssh_config_in(state: str) -> str:
    """By what OpenSSH reaches the nodes of a deployment, on the host that has its state directory."""
    return os.path.join(state, "ssh_config")


def ssh_arguments(ssh_config: str) -> str:
    """``ansible_ssh_common_args`` for nodes that such a file leads to."""
    return f"-F {shlex.quote(ssh_config)}"


def control_directory(state: str) -> str:
    """Where the connections to the nodes of a deployment are kept, by its state directory; see :func:`forget`."""
    base = _base_of_control(state)
    try:
        return os.path.join(os.path.dirname(base), os.readlink(f"{base}.now"))
    except OSError:
        return f"{base}-0"


def _base_of_control(state: str) -> str:
    return os.path.join(constants.config.get_config_value("ANSIBLE_HOME"), "cp", f"compose-{_digest(state)}")


def way_directory(state: str, gate: str) -> str:
    """What this run has to reach the nodes of a deployment over another host.

    :param state: its state directory there.
    :param gate: name of that host.
    """
    return os.path.join(directory_of_run(), f"compose-{_digest(state)}-{_digest(gate)}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def forget(state: str) -> None:
    """Let the next task connect anew to each node, and find its way anew: addresses and keys may be others.

    Connections that lead nowhere end by themselves (ServerAlive…), and then remove whatever has the name of their
    socket. So new ones have another directory.
    """
    for way in glob(os.path.join(escape(directory_of_run()), f"compose-{_digest(state)}-*", "ssh_config")):
        with suppress(FileNotFoundError):
            os.utime(way, (0, 0))
    directory, base = control_directory(state), _base_of_control(state)
    if os.path.isdir(directory):
        replace_link(f"{base}.now", f"{os.path.basename(base)}-{secrets.token_hex(3)}")
        shutil.rmtree(directory, ignore_errors=True)  # somebody may connect just now


def prepare() -> None:
    """Load the connection plugin before Ansible forks: else each task of each host reads its long documentation."""
    connection_loader.get(SEALED, class_only=True)
