# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of the module of the same name."""

from __future__ import annotations

import typing as t

import yaml

from ansible_collections.immutable.compose.plugins.module_utils.composition.model import Deployment
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.plugin_utils.fleet import FleetAction


class ActionModule(FleetAction):
    """See :class:`FleetAction`."""

    def _arguments(
        self, name: str, hosts: list[str], batch: list[str], deployment: Deployment, task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        args = super()._arguments(name, hosts, batch, deployment, task_vars)
        if isinstance(args.get("advisories"), str):
            args["advisories"] = read(args["advisories"])
        return args


def read(path: str) -> t.Any:
    """Content of a file with advisories; JSON is YAML, too. :raises InputError: unreadable, or neither."""
    try:
        with open(path, encoding="utf-8") as stream:
            return yaml.load(stream, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"advisories: {error}") from None
