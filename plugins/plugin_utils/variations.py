# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments of the inventory as they would be with changes of their files. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader

from ansible_collections.immutable.compose.plugins.module_utils.describe.changes import CHANGES
from ansible_collections.immutable.compose.plugins.module_utils.describe.deployment import Others, name_of
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError, nearest
from ansible_collections.immutable.compose.plugins.module_utils.experiments.replay import Source
from ansible_collections.immutable.compose.plugins.module_utils.model.deployment import Deployment
from ansible_collections.immutable.compose.plugins.module_utils.model.free import Parameters
from ansible_collections.immutable.compose.plugins.plugin_utils.sources import PLUGIN, deployment_files, read_leniently


class Variations:
    """Reads deployment files again, with changes.

    :param sources: of the inventory, as the run was given them.
    :param others: what other sources define.
    """

    def __init__(self, loader: DataLoader, sources: t.Iterable[str], others: Others) -> None:
        self._loader = loader
        self._others = others
        self._plugin = inventory_loader.get(PLUGIN)
        #: Deployment → its file.
        self.files: dict[str, str] = {}
        for path in (file for source in sources for file in deployment_files(source)):
            try:
                content = read_leniently(path)
            except (OSError, ValueError, RecursionError, yaml.YAMLError):
                continue  # it has no host, as the inventory has said
            if isinstance(content, t.Mapping) and content.get("plugin") == PLUGIN:
                self.files.setdefault(name_of(content, path), path)

    def sources(self, names: t.Iterable[str]) -> list[Source]:
        """What deployments are made of, as their files have it, and those whose machines they are folded onto.

        :raises ComposeError: a file means none.
        """
        found = {name: self.read(name, {}) for name in dict.fromkeys(names)}
        under = [each.fold.onto for each in found.values() if each.fold]
        found = {**{name: self.read(name, {}) for name in under}, **found}
        return [Source(self.files[name], each.composition, each.state) for name, each in found.items()]

    def read(self, name: str, changes: Parameters) -> Deployment:
        """The deployment that a file means with changes. :raises ComposeError: it means none."""
        if name not in self.files:
            raise InputError(f"the inventory has no deployment {name!r}{nearest(name, self.files)}")
        variables = {CHANGES: {name: changes}}
        deployment: Deployment = self._plugin.varied(self._loader, self.files[name], variables, self._others).deployment
        return deployment
