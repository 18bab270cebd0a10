# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tasks may change a node. PRIVATE to the collection.

Nobody can tell for sure what a task does on a node. So tasks are allowed by name, and all others may change it. The
tables are documented in docs/sealed.md.
"""

from __future__ import annotations

import fnmatch
import typing as t
from dataclasses import dataclass

from ansible.plugins.loader import action_loader, module_loader

from ansible_collections.immutable.compose.plugins.plugin_utils.command_lines import only_looks

#: Actions that only read, by resolved name, or patterns for them. Those that never touch a node need not be here.
READ_ONLY = (
    "ansible.builtin.fetch",
    "ansible.builtin.find",
    "ansible.builtin.gather_facts",
    "ansible.builtin.getent",
    "ansible.builtin.ping",
    "ansible.builtin.setup",
    "ansible.builtin.slurp",
    "ansible.builtin.stat",
    "ansible.builtin.wait_for",
    "ansible.builtin.wait_for_connection",
    "*_facts",  # by convention, in all collections
    "*_info",
)
#: Actions that run a command line.
COMMAND_LINES = ("ansible.builtin.raw", "ansible.builtin.command", "ansible.builtin.shell")


@dataclass(frozen=True)
class Act:
    """What a task is about to do."""

    #: Its name as the task has it.
    action: str
    arguments: t.Mapping[str, object]
    #: Where names without a collection are looked for.
    collections: t.Sequence[str]
    check_mode: bool
    #: It goes on while the play does, which takes files on the node.
    in_background: bool

    @property
    def name(self) -> str:
        """Name of the action with its collection, as Ansible finds it: an action plugin comes before a module."""
        for loader in (action_loader, module_loader):
            found = loader.find_plugin_with_context(self.action, collection_list=list(self.collections))
            if found.resolved:
                return str(found.resolved_fqcn)
        return self.action

    def may_change(self, read_only: t.Collection[str]) -> bool:
        """Whether the task may change a node.

        :param read_only: patterns of names that only read, besides :data:`READ_ONLY`.
        """
        if self.check_mode:
            return False
        if self.in_background:
            return True
        name = self.name
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in (*READ_ONLY, *read_only)):
            return False
        return name not in COMMAND_LINES or not only_looks(self.arguments)
