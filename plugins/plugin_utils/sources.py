# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which deployment files of this process no play acts on, and why. PRIVATE to the collection.

Ansible tries its other inventory plugins on a file that one refused, and shows their complaints after ours. So ours is
said once more at the end, whatever happened in between.
"""

from __future__ import annotations

import atexit
import os
import sys
import typing as t

import yaml

#: Ends of the names of deployment files.
ENDINGS = (".compose.yml", ".compose.yaml")

PLUGIN = "immutable.compose.composition"

#: Path → why it was refused.
_REFUSED: dict[str, str] = {}
#: Path → name of the deployment, of which no role has a node.
_WITHOUT_NODES: dict[str, str] = {}
_owner = 0


def reading(path: str) -> None:
    """A deployment file is read, maybe again."""
    _REFUSED.pop(path, None)
    _WITHOUT_NODES.pop(path, None)


def has_no_nodes(path: str, name: str) -> None:
    """A deployment file was read, and its deployment has no host that a play could act on."""
    _WITHOUT_NODES[path] = name


def without_nodes() -> list[str]:
    """Names of the deployments that no play acts on."""
    return sorted(_WITHOUT_NODES.values())


def refused(path: str, why: str) -> None:
    """A deployment file was refused."""
    global _owner  # pylint: disable=global-statement
    if not _owner:
        _owner = os.getpid()
        atexit.register(_say_last)
    _REFUSED[path] = why


def _say_last() -> None:
    if os.getpid() == _owner:  # not in forks
        for why in _REFUSED.values():
            print(f"[ERROR]: left out of the inventory: {why}", file=sys.stderr)


def why_no_nodes(given: t.Sequence[str]) -> str:
    """Why the inventory has no node of any deployment.

    :param given: the inventory sources as they were given, files, directories or lists of hosts.
    """
    files = [file for source in given for file in deployment_files(source)]
    missing = [source for source in given if "," not in source and not os.path.exists(source)]
    said = [*filter(None, map(_complaint, files)), *(f"{source}: no such file or directory" for source in missing)]
    if said:
        return "\n".join(said)
    if files:
        return f"{', '.join(files)}: no role has a node"
    shown = ", ".join(given) or "none"
    return f"none of the inventory sources is a deployment file (NAME.compose.yml); sources: {shown}"


def deployment_files(source: str) -> list[str]:
    """Those that an inventory source is, or that are below it."""
    source = os.path.abspath(source)
    if os.path.isfile(source):
        return [source] if source.endswith(ENDINGS) else []
    found = (os.path.join(folder, name) for folder, _folders, names in os.walk(source) for name in names)
    return sorted(file for file in found if file.endswith(ENDINGS))


def _complaint(file: str) -> str:
    """What is wrong with a deployment file; some are refused by Ansible before the plugin sees them."""
    if file in _REFUSED:
        return _REFUSED[file]
    try:
        data = read_leniently(file)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        return f"{file}: cannot be read: {error}"
    if not isinstance(data, t.Mapping) or data.get("plugin") != PLUGIN:
        given = data.get("plugin") if isinstance(data, t.Mapping) else None
        return f"{file}: plugin is {given!r}, expected {PLUGIN!r}"
    return ""


def read_leniently(file: str) -> object:
    """What a file says, with nothing in the place of what is encrypted. :raises yaml.YAMLError: it is no YAML."""
    with open(file, encoding="utf-8") as stream:
        return yaml.load(stream, _Lenient)


class _Lenient(yaml.SafeLoader):
    """Takes tags as Ansible's own for encrypted values without a look at them."""


_Lenient.add_multi_constructor("!", lambda loader, suffix, node: None)
