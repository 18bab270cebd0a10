# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments of one batch of which some are folded onto machines of others. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.immutable.compose.plugins.module_utils.model.plan import SWITCHED
from ansible_collections.immutable.compose.plugins.plugin_utils.views import Views

#: After these, a machine has forgotten its nodes.
_FORGETS = (*SWITCHED, "retire")


class Folds:
    """In a batch.

    :param found: deployment → its hosts in the batch.
    """

    def __init__(self, found: t.Mapping[str, t.Sequence[str]], views: Views) -> None:
        self._found = found
        folds = {name: views[hosts[0]].get("compose_fold") for name, hosts in found.items()}
        #: Folded deployment → the one that has its machines.
        self._onto = {name: str(fold["onto"]) for name, fold in folds.items() if fold}

    def ordered(self, *, backwards: bool) -> dict[str, list[str]]:
        """The batch: machines before what is folded onto them, or backwards."""
        return {
            name: list(self._found[name]) for name in sorted(self._found, key=lambda n: (n in self._onto) != backwards)
        }

    def carried(self, name: str) -> dict[str, tuple[str, ...]]:
        """Deployment that is folded onto this one → its nodes in the batch."""
        return {each: tuple(self._found[each]) for each, onto in self._onto.items() if onto == name}

    def under(self, name: str, planned: t.Mapping[str, t.Mapping[str, t.Any]]) -> str | None:
        """The deployment whose machines are about to boot, or to go, under this one, by its plan."""
        onto = self._onto.get(name, "")
        nodes = planned.get(onto, {}).get("nodes", {}).values()
        return onto if any(node.get("action") in _FORGETS for node in nodes) else None
