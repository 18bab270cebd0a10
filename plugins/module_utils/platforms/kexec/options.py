# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the platform ``kexec`` in a deployment file. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ...describe.options import Option

_PATH, _A_PATH = "[/~].*", "an absolute path, or one that begins with ~"

OPTIONS: t.Mapping[str, Option] = {
    "host": Option(
        str,
        None,
        "Name or address by which SSH reaches the machine. By default the node's address.",
        pattern=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
        expected="a host name or an IPv4 address",
    ),
    "port": Option(int, 22, "Port of the SSH server of the machine's own Linux.", least=1),
    "user": Option(
        str, "root", "User of the machine's own Linux.", pattern="[A-Za-z_][A-Za-z0-9_.-]*", expected="a user name"
    ),
    "key": Option(
        str,
        None,
        "Private key of that user. By default what C(ssh) takes by itself.",
        pattern=_PATH,
        expected=_A_PATH,
    ),
    "known_hosts": Option(
        str,
        None,
        "File that has the host key of the machine. By default what C(ssh) takes by itself.",
        pattern=_PATH,
        expected=_A_PATH,
    ),
    "become": Option(bool, True, "Whether a user other than root becomes root, with C(sudo) without a password."),
    "ssh_port": Option(int, 22, "Port of O(host) that leads to the SSH server of the node.", least=1),
    "nfs": Option(
        str,
        None,
        "NFS export from which the node has its root file system, so that it does not travel to each machine: "
        "C(ADDRESS:/PATH). By default all of the image is in memory.",
        pattern=r"[0-9]{1,3}(\.[0-9]{1,3}){3}:/[^\s,]*",
        expected="the IPv4 address of a server and what it exports, ADDRESS:/PATH",
    ),
    "nfs_dir": Option(
        str,
        None,
        "Directory of the host that deploys, which is what O(nfs) exports: images are copied there.",
        pattern=_PATH,
        expected=_A_PATH,
    ),
    "confirm_within": Option(
        int,
        900,
        "Seconds after its start in which a node must be verified and settled. Then the machine goes back to its "
        "own Linux by itself.",
        least=60,
    ),
    "reboot_timeout": Option(int, 600, "Seconds for the machine to boot its own Linux.", least=1),
}

#: Option → variable in which other inventory sources have it.
HOST_VARIABLES: t.Mapping[str, str] = {
    "host": "ansible_host",
    "port": "ansible_port",
    "user": "ansible_user",
    "key": "ansible_ssh_private_key_file",
}
