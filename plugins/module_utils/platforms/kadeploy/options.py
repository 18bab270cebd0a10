# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the platform ``kadeploy`` in a deployment file, and its credentials. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ...describe.options import Option
from .disks import EXPECTED, PATTERN

#: What logs in to the server: name → variable of the controller.
ENVIRONMENT: t.Mapping[str, str] = {"user": "KADEPLOY_USER", "password": "KADEPLOY_PASSWORD"}

_NAME, _A_NAME = r"[A-Za-z0-9][\w.-]*", "the name of a machine, as Kadeploy has it"

OPTIONS: t.Mapping[str, Option] = {
    "backend": Option(
        str,
        "rest",
        "How Kadeploy is asked: by its REST interface, by its commands, or by the API of Grid'5000.",
        choices=("rest", "command", "grid5000"),
    ),
    "url": Option(
        str,
        None,
        "Address of Kadeploy's REST interface, such as C(https://kadeploy.example.org:25300), which C(backend: rest) "
        "needs; or of the API of Grid'5000.",
        pattern=r"https?://\S+",
        expected="an address that begins with http:// or https://",
    ),
    "site": Option(
        str,
        None,
        "Site of Grid'5000, which C(backend: grid5000) needs.",
        pattern=r"[a-z]+",
        expected="such as grenoble",
    ),
    "frontend": Option(
        str,
        None,
        "Host that C(ssh) logs in to, C(USER@HOST), where Kadeploy's commands and O(directory) are. By default both "
        "are on the host that deploys.",
    ),
    "ssh_config": Option(str, None, "Configuration of C(ssh) for O(frontend), instead of the user's.", pattern="/.*"),
    "user": Option(str, None, "User of Kadeploy. Default: E(KADEPLOY_USER), else the user who deploys."),
    "ca_file": Option(
        str, None, "Certificate of the authority that signed Kadeploy's, on the host that deploys.", pattern="/.*"
    ),
    "machine": Option(
        str,
        None,
        "Name of the node's machine, as Kadeploy has it. By default one of O(machines).",
        pattern=_NAME,
        expected=_A_NAME,
    ),
    "machines": Option(
        list,
        [],
        "Machines for nodes without O(machine), with ranges as C(dahu-[1-4].example.org). A node keeps the one it has.",
        pattern=r"[A-Za-z0-9][\w.,\[\]-]*",
        expected="names of machines, as Kadeploy has them, with ranges such as dahu-[1-4]",
    ),
    "directory": Option(
        str,
        None,
        "Directory of O(frontend), or of the host that deploys, for images and node documents that Kadeploy fetches. "
        "Needed.",
        pattern="/.*",
        expected="an absolute path",
    ),
    "directory_url": Option(
        str,
        None,
        "How Kadeploy finds O(directory): C(server://PATH), or a web address. By default C(server://) and that path.",
        pattern=r"(server|https?)://\S+",
        expected="an address that begins with server://, http:// or https://",
    ),
    "partition": Option(
        str, None, "Number or label of the partition that is deployed to. By default the one that the site has for it."
    ),
    "kernel_parameters": Option(str, None, "More parameters for the kernel, after those of the image."),
    "postinstalls": Option(
        list,
        [],
        "Post-installations of the site: an archive as Kadeploy finds it, and the script in it with its arguments.",
        pattern=r"\S+ \S.*",
        expected="an archive and a script, such as server:///postinstalls/site.tgz site-postinstall --net none",
    ),
    "volumes": Option(
        list,
        [],
        "Disks for data volumes: its name, C(=), and a scratch disk as OAR has it, C(disk1), or a path below "
        "C(/dev/disk). The node makes a file system there once.",
        pattern=PATTERN,
        expected=EXPECTED,
    ),
    "raw_disks": Option(
        list,
        [],
        "Disks that the node has as they are, such as for OSDs of Ceph: a name, C(=), and the disk, as in O(volumes). "
        "It is C(/dev/disk/by-id/virtio-NAME) there.",
        pattern=PATTERN,
        expected=EXPECTED,
    ),
    "wipe": Option(
        list, [], "Data volumes on whose disk anything may be overwritten that is not theirs. It is kept otherwise."
    ),
    "proxy_command": Option(
        str, None, "C(ProxyCommand) by which SSH reaches the machines, with C(%h) and C(%p). By default straight."
    ),
    "deploy_timeout": Option(int, 3600, "Seconds for one deployment; then it is cancelled.", least=60),
}
