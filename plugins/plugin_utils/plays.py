# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays in the files of a directory, and where they are written. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

import yaml

#: Keywords by which a failed host ends a play for others.
ENDING = ("serial", "any_errors_fatal", "max_fail_percentage")
#: Where playbooks of others lie, or none at all.
PASSED_OVER = ("node_modules", "collections", "ansible_collections", "group_vars", "host_vars")


@dataclass(frozen=True)
class Play:
    """One play."""

    #: Relative to the directory that was asked for.
    file: str
    #: Of ``hosts``.
    line: int
    #: As written; a list is joined by commas.
    hosts: str
    #: Those of :data:`ENDING` that it has.
    ending: tuple[str, ...]

    @property
    def instead(self) -> str:
        """The pattern that leaves the nodes out."""
        return f"{self.hosts}{',' if ',' in self.hosts else ':'}!immutable"


def plays_in(directory: str) -> t.Iterator[Play]:
    """All plays of the YAML files in a directory, in order of files and lines; or of one file."""
    for path in [directory] if os.path.isfile(directory) else _files(directory):
        try:
            with open(path, encoding="utf-8") as stream:
                document = yaml.compose(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            continue  # no playbook, or none that Ansible could run
        shown = path if path == directory else os.path.relpath(path, directory)
        for item in document.value if isinstance(document, yaml.SequenceNode) else ():
            play = _play(item, shown)
            if play:
                yield play


def _files(directory: str) -> t.Iterator[str]:
    for above, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in PASSED_OVER)
        yield from (os.path.join(above, name) for name in sorted(names) if name.endswith((".yml", ".yaml")))


def _play(item: yaml.Node, file: str) -> Play | None:
    if not isinstance(item, yaml.MappingNode):
        return None
    entries = {key.value: (key, value) for key, value in item.value if isinstance(key, yaml.ScalarNode)}
    if "hosts" not in entries:
        return None
    key, value = entries["hosts"]
    words = value.value if isinstance(value, yaml.SequenceNode) else [value]
    hosts = ",".join(str(word.value) for word in words if isinstance(word, yaml.ScalarNode))
    return Play(file, key.start_mark.line + 1, hosts, tuple(word for word in ENDING if word in entries))
